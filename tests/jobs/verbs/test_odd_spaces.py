"""Spaces that cannot be trained in are refused before the queue, in words; others are not."""

from typing import Any

import pytest

from apps.errors import InvalidSpec
from apps.experiments.models import Run
from apps.jobs.verbs import checking
from apps.jobs.verbs.preflight import preflight
from tests.builders import TINY_PPO

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def in_world(name: str) -> dict[str, Any]:
    return {**TINY_PPO, "environment": f"tests.worlds.odd_worlds:{name}-v0"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("TextObservation", r"observations are Text\(1, 8.*allowed: Box, Discrete"),
        ("Unbounded", r"actions are Box\(-inf, inf.*give each number a low and a high"),
    ],
)
def test_what_nothing_can_be_trained_in_is_refused_before_the_queue(name: str, words: str) -> None:
    with pytest.raises(InvalidSpec, match=words) as refused:
        checking.check_spec(in_world(name))
    assert [error.field for error in refused.value.errors] == ["environment"]
    checked = preflight(in_world(name))
    assert [finding.message for finding in checked.findings] == [refused.value.errors[0].message]
    assert checked.severity == "refusal"
    assert Run.objects.count() == 0


@pytest.mark.parametrize("name", ["Offset", "Grid", "SmallPicture"])
def test_what_can_be_shifted_is_taken(name: str) -> None:
    assert checking.check_spec(in_world(name)).environment.endswith(f"{name}-v0")
