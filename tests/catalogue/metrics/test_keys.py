"""The catalogue of metrics is complete: whatever a library or the engine can log is in it."""

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from apps.catalogue.metrics.aliases import ALIASES, names_of
from apps.catalogue.metrics.keys import EVALUATION_FIELDS, METRICS
from apps.engine.playing.evaluation import Episode, EvalResult
from apps.spec.evaluation import EvalSpec

ENGINE = Path(__file__).resolve().parents[3] / "apps" / "engine"
KEY = re.compile(r"(rollout|train|time|eval|rlgym|episode)/[a-z_0-9]+")
# Keys put together as f"train/{name}": the lean loops log what the library's own log, which a test
# of theirs compares; sbx's optimizers differ in the name of their rate.
PUT_TOGETHER = {
    "engine/models/lean/on_policy.py": {
        "train/loss",
        "train/policy_loss",
        "train/approx_kl",
        "train/value_loss",
    },
    "sbx/common/off_policy_algorithm.py": {"train/learning_rate"},
}


def sources(package: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the modules of a package, by their paths."""
    root = ENGINE
    if package != "engine":
        pytest.importorskip(package)
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        yield f"{package}/{name}", ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", ["stable_baselines3", "sb3_contrib", "sbx", "engine"])
def test_every_key_that_can_be_logged_is_in_the_catalogue(package: str) -> None:
    found: dict[str, str] = {}
    for path, tree in sources(package):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if KEY.fullmatch(node.value):
                    found[node.value] = path
            elif isinstance(node, ast.JoinedStr) and is_put_together(node):
                assert path in PUT_TOGETHER, f"{path} puts a key together: {ast.unparse(node)}"
                found |= dict.fromkeys(PUT_TOGETHER[path], path)
    assert found, f"{package} logs nothing"
    assert {key: path for key, path in found.items() if key not in METRICS} == {}


def is_put_together(node: ast.JoinedStr) -> bool:
    """Whether an f-string begins as a key does."""
    first = node.values[0]
    return isinstance(first, ast.Constant) and bool(
        re.fullmatch(r"(rollout|train|time|eval|rlgym|episode)/", str(first.value))
    )


def test_the_summary_of_an_evaluation_is_explained_field_by_field() -> None:
    episode = Episode(1, 2.0, 3, True, False, False, 4.0)
    assert EvalResult(0, EvalSpec(), [episode]).summary().keys() == EVALUATION_FIELDS.keys()


def test_every_alias_names_a_metric_and_hides_none() -> None:
    assert {alias.target for alias in ALIASES.values()} <= METRICS.keys()
    assert ALIASES.keys() & METRICS.keys() == set()
    assert {alias.library for alias in ALIASES.values()} == {
        "CleanRL",
        "Sample-Factory",
        "Tianshou",
        "RLlib",
    }
    assert all(alias.note for alias in ALIASES.values() if alias.factor != 1)
    assert names_of(["train/ent_coef"]) == {
        "train/ent_coef": "train/ent_coef",
        "losses/alpha": "train/ent_coef",
        "learners/default_policy/alpha_value": "train/ent_coef",
    }
