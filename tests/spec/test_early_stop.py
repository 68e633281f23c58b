"""When a run may be stopped early, as a spec says it."""

from typing import Any

import pytest

from apps.errors import InvalidSpec
from apps.spec.run import RunSpec


@pytest.mark.parametrize(
    ("option", "field", "said"),
    [
        (True, "early_stop", "True is not an object with after_fraction and below"),
        ({"when": 1}, "early_stop", "not an object with"),
        ({"after_fraction": 0}, "early_stop.after_fraction", "a number from 0.1 to 0.9"),
        ({"after_fraction": "half"}, "early_stop.after_fraction", "a number from 0.1 to 0.9"),
        ({"after_fraction": True}, "early_stop.after_fraction", "a number from 0.1 to 0.9"),
        ({"below": "mean"}, "early_stop.below", "a number or median"),
        ({"below": float("inf")}, "early_stop.below", "a number or median"),
        ({"below": None}, "early_stop.below", "a number or median"),
    ],
)
def test_an_option_that_cannot_be_is_refused(option: Any, field: str, said: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        RunSpec.from_dict({"early_stop": option})
    assert [error.field for error in refused.value.errors] == [field]
    assert said in refused.value.errors[0].message


def test_what_an_option_leaves_out_is_filled_in() -> None:
    assert RunSpec.from_dict({"early_stop": {}}).early_stop == {
        "after_fraction": 0.5,
        "below": "median",
    }
    assert RunSpec.from_dict({"early_stop": None}).early_stop is None
