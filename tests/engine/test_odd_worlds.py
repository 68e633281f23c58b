"""Each odd world gives what its docstring says: trained, evaluated, and gone on with."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from apps.engine.checkpoints import saving
from apps.engine.playing.evaluation import evaluate
from apps.engine.training.training import Attempt, train
from apps.errors import NotFinite
from apps.rundir.directory import RunDirectory
from apps.spec.evaluation import EvalSpec
from apps.spec.run import RunSpec
from tests.builders import events_of, make_directory
from tests.worlds import odd_worlds

SMALL = {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "net_arch": [8]}
# Told of elsewhere: refused before the queue (`jobs/test_odd_spaces`), ended with their process
# (`jobs/test_exits`), endless (`test_filming`).
ELSEWHERE = {"TextObservation", "Unbounded", "Exits", "ExitsPolitely", "Endless"}
WITHOUT_NUMBERS = {
    "NanReward": "the reward of step 700 was nan",
    "HugeReward": "the reward of step 1 was inf, or beyond 3.4e38",
}


def spec_of(world: str, **fields: object) -> RunSpec:
    return RunSpec.from_dict(
        {
            "algorithm": "ppo",
            "environment": f"tests.worlds.odd_worlds:{world}-v0",
            "total_timesteps": 768,
            "hyperparameters": SMALL,
            **fields,
        }
    )


def trained(folder: Path, spec: RunSpec) -> RunDirectory:
    directory = make_directory(folder, spec)
    train(spec, directory)
    return directory


HERE = [w.__name__ for w in odd_worlds.WORLDS if w.__name__ not in ELSEWHERE | {*WITHOUT_NUMBERS}]


@pytest.mark.parametrize("world", HERE)
def test_a_world_is_trained_evaluated_and_gone_on_with(world: str, tmp_path: Path) -> None:
    spec = spec_of(world)
    directory = trained(tmp_path / "run", spec)
    assert events_of(directory)[-1]["status"] == "completed"
    expected = pytest.approx(1e-7 if world == "TinyReward" else 10.0, rel=1e-6)
    episodes = events_of(directory, "episode")
    assert [event["return"] for event in episodes] == [expected] * len(episodes)
    step = saving.steps_of(directory)[-1]
    result = evaluate(directory, spec, step, EvalSpec(2, should_film=False), "eval_test")
    told = json.loads((directory.evaluations / "eval_test.json").read_text())
    assert result.summary()["return_mean"] == expected
    assert told["return_mean"] == expected
    train(replace(spec, total_timesteps=1536), directory, attempt=Attempt(2))
    assert [event["fidelity"] for event in events_of(directory, "attempt")] == ["exact"]


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("world", WITHOUT_NUMBERS)
def test_a_reward_that_is_no_number_fails_the_run_with_its_step(
    world: str, tmp_path: Path
) -> None:
    with pytest.raises(NotFinite, match=WITHOUT_NUMBERS[world]):
        trained(tmp_path / "run", spec_of(world))
