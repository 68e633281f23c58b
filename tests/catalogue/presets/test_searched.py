"""The search of Fast presets: what it chooses, and that the presets are what it found."""

from dataclasses import replace

import pytest

from apps.catalogue.presets.presets import SEARCHES, preset_for
from apps.catalogue.presets.searched import Estimate, Finalist, Search

ROUNDED = Estimate(9.0, 8.0, 10.0)
TUNED = Finalist(
    n_envs=8,
    hyperparameters={"n_epochs": 20},
    normalize=None,
    vectorization="auto",
    seeds=20,
    solved=19,
    cpu_s=ROUNDED,
    seconds=ROUNDED,
    steps=ROUNDED,
    evaluation=Estimate(500.0, 490.0, 500.0),
)


def search_of(*finalists: Finalist, tuned: Finalist = TUNED) -> Search:
    return Search("ppo", "CartPole-v1", 475.0, 100, 100_000, 10, {}, {}, tuned, tuple(finalists))


def finalist(cpu_s: float | None, solved: int = 20, evaluation: float | None = 480.0) -> Finalist:
    return replace(
        TUNED,
        solved=solved,
        cpu_s=Estimate(cpu_s, None, None),
        evaluation=Estimate(evaluation, None, None),
    )


def test_the_fastest_of_those_that_learn_as_reliably_is_chosen() -> None:
    fast, faster = finalist(3.0, solved=19), finalist(2.0)
    assert search_of(fast, faster).chosen is faster
    assert search_of(fast, finalist(None, solved=20)).chosen is fast


@pytest.mark.parametrize(
    "unreliable",
    [finalist(1.0, solved=18), finalist(1.0, evaluation=470.0), finalist(1.0, evaluation=None)],
    ids=["solved less often", "not good at the end", "NaN at the end"],
)
def test_faster_and_less_reliable_does_not_count(unreliable: Finalist) -> None:
    assert search_of(unreliable).chosen is TUNED


def test_a_policy_need_not_be_better_at_the_end_than_the_tuned_one() -> None:
    tuned = replace(TUNED, solved=3, evaluation=Estimate(300.0, None, None))
    candidate = finalist(2.0, solved=5, evaluation=310.0)
    assert search_of(candidate, tuned=tuned).chosen is candidate


def test_without_a_reliable_one_the_tuned_setting_is_chosen() -> None:
    never = replace(TUNED, solved=0, cpu_s=Estimate(None, None, None))
    assert search_of(finalist(1.0, solved=2, evaluation=None), tuned=never).chosen is never


@pytest.mark.parametrize("key", SEARCHES, ids=" ".join)
def test_a_searched_preset_and_its_table_are_in_step(key: tuple[str, str]) -> None:
    search, preset, tuned = SEARCHES[key], preset_for(*key, "fast"), preset_for(*key, "high_score")
    for found, offered in ((search.chosen, preset), (search.tuned, tuned)):
        assert offered.hyperparameters == found.hyperparameters
        assert (offered.n_envs, offered.normalize) == (found.n_envs, found.normalize)
        assert offered.vectorization == found.vectorization
    assert all(each.seeds >= 20 for each in (search.tuned, *search.finalists))
