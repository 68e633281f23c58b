"""Evaluation: recorded seeds, honest numbers, an end."""

import json
import math
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.engine.checkpoints import loading, saving
from apps.engine.control import Control
from apps.engine.models.classes import ALGORITHM_CLASSES
from apps.engine.playing import evaluation
from apps.engine.playing.evaluation import (
    Deadline,
    Episode,
    EvalResult,
    Interrupted,
    Player,
    TimeIsUp,
    evaluate,
    play,
)
from apps.errors import DamagedCheckpoint
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json, sha256_of, write_json
from apps.rundir.log import read_lines
from apps.spec.evaluation import EvalSpec
from apps.spec.run import RunSpec
from tests.builders import TINY, events_of, make_directory
from tests.trainings import train_tiny


@pytest.fixture
def tiny_run(tmp_path: Path) -> tuple[RunSpec, RunDirectory]:
    directory, _ = train_tiny(tmp_path / "run", "ppo")
    return RunSpec.from_dict(TINY["ppo"]), directory


def test_the_same_seeds_give_the_same_episodes(trained: tuple[RunSpec, RunDirectory]) -> None:
    _, directory = trained
    model = loading.load(ALGORITHM_CLASSES["ppo"], directory, 256, "cpu")
    spec = EvalSpec(is_deterministic=False)
    env = gymnasium.make("CartPole-v1")
    first = [play(Player(model), env, spec, seed) for seed in (5, 6, 5)]
    assert first[0].episode_return == first[2].episode_return
    assert first[0].length == first[2].length


def test_the_summary_says_what_the_episodes_say(tiny_run: tuple[RunSpec, RunDirectory]) -> None:
    spec, directory = tiny_run
    asked = EvalSpec(n_episodes=4, seed=7, should_film=False)
    result = evaluate(directory, spec, 256, asked, "eval_test")
    returns = [episode.episode_return for episode in result.episodes]
    assert [episode.seed for episode in result.episodes] == [7, 8, 9, 10]
    assert result.summary()["return_mean"] == pytest.approx(np.mean(returns))
    assert result.summary()["return_std"] == pytest.approx(np.std(returns))
    assert result.summary()["return_min"] == min(returns)
    assert result.summary()["n_terminated"] + result.summary()["n_truncated"] == 4
    assert all(episode.elapsed_ms > 0 for episode in result.episodes)
    written = json.loads((directory.evaluations / "eval_test.json").read_text())
    assert written["return_mean"] == result.summary()["return_mean"]
    assert events_of(directory, "evaluation")[0]["name"] == "eval_test"


def test_an_episode_that_does_not_end_is_capped(tiny_run: tuple[RunSpec, RunDirectory]) -> None:
    spec, directory = tiny_run
    asked = EvalSpec(n_episodes=2, max_episode_steps=3, should_film=False)
    result = evaluate(directory, spec, 256, asked, "eval_test")
    assert result.summary()["n_capped"] == 2
    assert [episode.length for episode in result.episodes] == [3, 3]


def test_the_figures_are_there_before_anything_is_filmed(
    tiny_run: tuple[RunSpec, RunDirectory],
) -> None:
    spec, directory = tiny_run
    evaluate(directory, spec, 256, EvalSpec(n_episodes=2), "eval_test")
    assert [path.name for path in directory.evaluations.iterdir()] == ["eval_test.json"]
    assert len(events_of(directory, "evaluation")) == 1
    assert events_of(directory, "film") == []


def test_an_evaluation_that_takes_too_long_keeps_the_episodes_that_ended(
    tiny_run: tuple[RunSpec, RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, directory = tiny_run
    asked = EvalSpec(n_episodes=5, max_episode_steps=3, should_film=False)
    clock = iter(range(10**6))  # Each look takes a second; an episode of three steps four.
    monkeypatch.setattr(evaluation.time, "monotonic", lambda: next(clock))
    result = evaluate(directory, spec, 256, asked, "eval_test", deadline=Deadline(9))
    assert len(result.episodes) == 2
    assert result.interrupted == "it was ended after 9 s, with 2 of 5 episodes"
    written = read_json(directory.evaluations / "eval_test.json")
    assert (written["n_episodes"], written["interrupted"]) == (2, result.interrupted)
    assert events_of(directory, "evaluation")[0]["interrupted"] == result.interrupted


def test_an_evaluation_without_an_episode_in_time_fails_plainly(
    tiny_run: tuple[RunSpec, RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, directory = tiny_run
    clock = iter(range(10**6))
    monkeypatch.setattr(evaluation.time, "monotonic", lambda: next(clock))
    with pytest.raises(TimeIsUp, match=r"RLGYM_EVALUATION_LIMIT_S.*that had 2 steps"):
        evaluate(directory, spec, 256, EvalSpec(), "eval_test", deadline=Deadline(2))
    assert list(directory.evaluations.iterdir()) == []


def test_an_evaluation_that_is_asked_to_end_does_so_at_its_next_step(
    tiny_run: tuple[RunSpec, RunDirectory],
) -> None:
    spec, directory = tiny_run
    control = Control()
    control.request_stop()
    with pytest.raises(Interrupted, match="asked to end"):
        evaluate(directory, spec, 256, EvalSpec(), "eval_test", deadline=Deadline(9, control))
    assert list(directory.evaluations.iterdir()) == []
    assert events_of(directory, "evaluation") == []


def played(*returns: float) -> EvalResult:
    episodes = [Episode(seed, one, 3, True, False, False, 4.0) for seed, one in enumerate(returns)]
    return EvalResult(0, EvalSpec(), episodes)


def test_returns_that_are_not_finite_are_null_and_named() -> None:
    told = played(-np.inf, 1.0).as_dict("eval_x")
    assert (told["return_mean"], told["return_min"], told["return_max"]) == (None, None, 1.0)
    assert told["special"] == {"return_mean": "-inf", "return_std": "nan", "return_min": "-inf"}
    assert told["episodes"][0]["episode_return"] is None
    assert told["episodes"][0]["special"] == {"episode_return": "-inf"}
    assert "special" not in told["episodes"][1]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_the_mean_of_finite_returns_is_finite_and_among_them(returns: list[float]) -> None:
    summary = played(*returns).summary()
    assert math.isfinite(summary["return_mean"])
    assert math.isfinite(summary["return_std"])
    slack = 1e-9 * max(map(abs, returns))
    assert min(returns) - slack <= summary["return_mean"] <= max(returns) + slack


def test_tiny_returns_keep_every_digit() -> None:
    assert played(1e-8, 3e-8).as_dict("x")["return_mean"] == pytest.approx(2e-8, rel=1e-12)


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete"])
def test_a_damaged_checkpoint_is_refused_before_it_is_unpickled(
    tiny_run: tuple[RunSpec, RunDirectory], harm: str
) -> None:
    spec, directory = tiny_run
    path = directory.checkpoints / "256" / "model.zip"
    data = path.read_bytes()
    if harm == "flip":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif harm == "truncate":
        path.write_bytes(data[:-10])
    else:
        path.unlink()
    with pytest.raises(DamagedCheckpoint, match="choose another checkpoint"):
        evaluate(directory, spec, 256, EvalSpec(), "eval_test")


def test_a_manifest_that_is_not_the_recorded_one_is_refused(
    tiny_run: tuple[RunSpec, RunDirectory],
) -> None:
    spec, directory = tiny_run
    path = directory.checkpoints / "256" / "manifest.json"
    recorded = sha256_of(path)
    evaluate(directory, spec, 256, EvalSpec(1, should_film=False), "eval_test", recorded)
    manifest = read_json(path)
    write_json(path, {**manifest, "is_best": not manifest["is_best"]})
    with pytest.raises(DamagedCheckpoint, match="not the one that was recorded"):
        evaluate(directory, spec, 256, EvalSpec(), "eval_test", recorded)
    write_json(path, {**manifest, "files": {}})
    with pytest.raises(DamagedCheckpoint, match=r"does not name model\.zip, state\.pkl"):
        evaluate(directory, spec, 256, EvalSpec(), "eval_test")


def test_a_checkpoint_that_never_was_is_refused(tiny_run: tuple[RunSpec, RunDirectory]) -> None:
    spec, directory = tiny_run
    with pytest.raises(DamagedCheckpoint, match="does not exist"):
        evaluate(directory, spec, 12345, EvalSpec(), "eval_test")


def test_an_untrained_directory_has_no_checkpoints(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "run", RunSpec.from_dict(TINY["ppo"]))
    assert saving.steps_of(directory) == []
    assert read_lines(directory.log) == ([], 0)
