"""Every space is either trained in, with no action outside of it, or refused in words before."""

import json
import os
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.engine.environments.making import describe, make_env
from apps.engine.environments.plain_spaces import TAKEN_NAMES, PlainSpaces
from apps.engine.playing.evaluation import evaluate
from apps.engine.training.training import Attempt, train
from apps.errors import InvalidSpec, UnknownEnvironment
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json
from apps.spec.evaluation import EvalSpec
from apps.spec.fitting import refusals
from apps.spec.run import RunSpec
from tests.builders import make_directory
from tests.worlds.any_spaces import AnySpaces

ID = "tests.worlds.any_spaces:AnySpaces-v0"
TINY = {
    "n_steps": 32,
    "batch_size": 16,
    "n_epochs": 1,
    "net_arch": [8],
    "learning_starts": 20,
    "buffer_size": 200,
    "lstm_hidden_size": 8,
    "train_freq": 8,
    "policy": "mlp",
    "n_delta": 2,
    "n_top": 1,
}
VECTOR = spaces.Box(-1, 1, (2,))
CHOICE = spaces.Discrete(3)
PICTURE = spaces.Box(0, 255, (40, 40, 3), np.uint8)


@pytest.fixture(autouse=True)
def one_of_any_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("seen", "taken"):
        monkeypatch.setattr(AnySpaces, name, getattr(AnySpaces, name))
    AnySpaces.actions.clear()


def spec_for(algorithm: str, environment: str = ID, steps: int = 200, **fields: Any) -> RunSpec:
    known = ALGORITHMS[algorithm].hyperparameters
    small = {name: value for name, value in TINY.items() if name in known}
    return RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": environment,
            "total_timesteps": steps,
            "hyperparameters": small,
            **fields,
        }
    )


def refusal(algorithm: str, seen: Any, taken: Any) -> str:
    """Return the words that refuse a run in spaces before it is queued, empty for none."""
    AnySpaces.seen, AnySpaces.taken = seen, taken
    spec = spec_for(algorithm)
    try:
        errors = refusals(spec, describe(spec.environment))
    except UnknownEnvironment as refused:
        return str(refused)
    return "; ".join(error.message for error in errors)


def train_and_evaluate(spec: RunSpec, directory: RunDirectory, **attempt: Any) -> None:
    train(spec, directory, attempt=Attempt(**attempt))
    step = read_json(directory.checkpoints / "manifest.json")["last"]
    evaluate(directory, spec, step, EvalSpec(n_episodes=1, seed=3, should_film=False), "e")


UNREADABLE: dict[str, Any] = {
    "text": (spaces.Text(5), "Text(1, 5"),
    "a sequence": (spaces.Sequence(VECTOR), "Sequence"),
    "a graph": (spaces.Graph(VECTOR, None), "Graph"),
    "one of several": (spaces.OneOf([VECTOR, CHOICE]), "OneOf"),
    "a tuple that holds a sequence": (spaces.Tuple([VECTOR, spaces.Sequence(VECTOR)]), "Tuple"),
    "an empty dictionary": (spaces.Dict(), "empty Dict"),
    "a nested dictionary": (spaces.Dict(a=spaces.Dict(b=VECTOR)), "part 'a'"),
    "a text in a dictionary": (spaces.Dict(a=spaces.Text(3)), "part 'a'"),
    "a part named as a network's own": (spaces.Dict(keys=VECTOR), "called 'keys'"),
    "a part with a dot": (spaces.Dict({"a.b": VECTOR}), "called 'a.b'"),
    "a part that is a number": (spaces.Dict({1: VECTOR}), "called 1"),
    "pictures of both orders": (
        spaces.Dict(a=PICTURE, b=spaces.Box(0, 255, (3, 40, 40), np.uint8)),
        "channels first (b)",
    ),
    "nothing": (spaces.Box(-1, 1, (0,)), "no number at all"),
    "numbers of 128 bits": (spaces.Box(-1, 1, (2,), np.longdouble), "float64"),
    "a billion categories": (spaces.Discrete(10**9), "1,000,000,000 categories"),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("algorithm", ["ppo", "dqn", "ars"])
def test_observations_that_no_network_reads_are_refused_in_words(
    algorithm: str, name: str
) -> None:
    space, words = UNREADABLE[name]
    assert words in refusal(algorithm, space, CHOICE)


UNACTABLE: dict[str, Any] = {
    "no bounds": (spaces.Box(-np.inf, np.inf, (1,)), "without bounds"),
    "half a bound": (spaces.Box(0, np.inf, (1,)), "without bounds"),
    "bounds at the ends of all numbers": (spaces.Box(-3e38, 3e38, (1,)), "without bounds"),
    "whole numbers": (spaces.Box(-5, 5, (2,), np.int64), "MultiDiscrete"),
    "numbers of 16 bits": (spaces.Box(-1, 1, (2,), np.float16), "float32"),
    "nothing": (spaces.Box(-1, 1, (0,)), "nothing to choose"),
    "text": (spaces.Text(3), "no algorithm here acts"),
    "a tuple": (spaces.Tuple([CHOICE]), "Discrete, MultiDiscrete"),
    "a dictionary": (spaces.Dict(a=CHOICE), "Discrete, MultiDiscrete"),
    "a sequence": (spaces.Sequence(CHOICE), "no algorithm here acts"),
    "a graph": (spaces.Graph(VECTOR, None), "no algorithm here acts"),
    "one of several": (spaces.OneOf([CHOICE, CHOICE]), "no algorithm here acts"),
    "too many": (spaces.Discrete(10**8), "100,000,000 categories"),
}


@pytest.mark.parametrize("name", UNACTABLE)
def test_actions_that_no_algorithm_gives_are_refused_in_words(name: str) -> None:
    space, words = UNACTABLE[name]
    for algorithm in ("ppo", "sac"):
        assert words in refusal(algorithm, VECTOR, space)


def test_what_one_algorithm_cannot_do_is_refused_to_it_alone() -> None:
    fixed = spaces.Box(np.array([0, 1], np.float32), np.array([1, 1], np.float32))
    assert "same low and high" in refusal("sac", VECTOR, fixed)
    assert refusal("ppo", VECTOR, fixed) == ""
    assert "multi_binary" in refusal("recurrent_ppo", VECTOR, spaces.MultiBinary(3))
    assert "no MultiDiscrete" in refusal("recurrent_ppo", spaces.MultiDiscrete([3, 2]), CHOICE)


def test_the_trainer_refuses_by_the_same_words(tmp_path: Path) -> None:
    words = refusal("ppo", VECTOR, spaces.Box(-np.inf, np.inf, (1,)))
    spec = spec_for("ppo")
    with pytest.raises(InvalidSpec) as refused:
        train(spec, make_directory(tmp_path / "run", spec))
    assert words in str(refused.value)


def test_names_that_a_network_has_itself_are_those_of_the_installed_torch() -> None:
    own = {name for name in dir(torch.nn.ModuleDict()) if not name.startswith("_")}
    assert own <= TAKEN_NAMES


sizes = st.integers(1, 4)
starts = st.integers(-9, 9)
shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
counts = st.lists(sizes, min_size=1, max_size=4)
discrete = st.builds(lambda n, start: spaces.Discrete(n, start=start), sizes, starts)
tables = st.builds(
    lambda rows, start: spaces.MultiDiscrete(np.array(rows), start=np.full_like(rows, start)),
    st.integers(1, 3).flatmap(
        lambda width: st.lists(
            st.lists(sizes, min_size=width, max_size=width), min_size=1, max_size=2
        )
    )
    | counts,
    starts,
)
switches = (st.lists(sizes, min_size=1, max_size=2).map(tuple) | sizes).map(spaces.MultiBinary)
boxes = st.builds(
    # From no bound on, a width leads nowhere: it is the upper bound itself.
    lambda low, width, shape, kind: spaces.Box(
        low, width if np.isinf(low) else low + width, shape, kind
    ),
    st.sampled_from([-np.inf, -3e38, -1e30, -0.1, 0, 1]),
    st.sampled_from([np.inf, 1e30, 0.4, 1, 2]),
    shapes,
    st.sampled_from([np.float32, np.float64]),
)
pictures = st.builds(
    lambda sides, kind: spaces.Box(0, 255 if kind == np.uint8 else 1, sides, kind),
    st.permutations([36, 40, 3]) | st.sampled_from([(16, 16, 3), (36, 35, 3), (40, 40, 2)]),
    st.sampled_from([np.uint8, np.float32]),
)
others = st.sampled_from([spaces.Text(3), spaces.Sequence(CHOICE), spaces.OneOf([CHOICE, VECTOR])])
leaves = discrete | tables | switches | boxes
any_seen = (
    leaves
    | pictures
    | others
    | st.lists(leaves | others, max_size=2).map(spaces.Tuple)
    | st.dictionaries(st.sampled_from(["a", "b.c", "type"]), leaves | pictures, max_size=2).map(
        spaces.Dict
    )
)
any_taken = leaves | others


@given(
    algorithm=st.sampled_from(["ppo", "a2c", "dqn", "sac", "td3", "maskable_ppo"]),
    seen=any_seen,
    taken=any_taken,
)
@settings(
    max_examples=int(os.environ.get("SPACES_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_space_is_refused_or_trained_in_with_actions_inside_of_it(
    tmp_path_factory: pytest.TempPathFactory, algorithm: str, seen: Any, taken: Any
) -> None:
    if refusal(algorithm, seen, taken):
        return
    spec = spec_for(algorithm)
    train_and_evaluate(spec, make_directory(tmp_path_factory.mktemp("any") / "run", spec))
    assert len(AnySpaces.actions) >= 200  # Each was inside, or the environment would have raised.


SHIFTED: dict[str, Any] = {
    "dqn": (spaces.Discrete(4, start=5), spaces.Discrete(3, start=5)),
    "ppo": (
        spaces.Dict(a=spaces.Box(0, 255, (16, 16, 3), np.uint8), b=spaces.Discrete(3, start=-1)),
        spaces.MultiDiscrete(np.array([[3, 2], [2, 4]]), start=np.array([[1, 2], [3, 4]])),
    ),
    "sac": (spaces.Box(-1, 1, ()), spaces.Box(-0.1, 0.3, (2, 2))),
    "a2c": (spaces.MultiDiscrete([[3, 2]], start=[[1, 1]]), spaces.MultiBinary((2, 2))),
}


@pytest.mark.parametrize("algorithm", SHIFTED)
def test_the_stock_library_plays_a_shifted_model_by_the_lines_that_the_run_keeps(
    algorithm: str, tmp_path: Path
) -> None:
    AnySpaces.seen, AnySpaces.taken = SHIFTED[algorithm]
    spec = spec_for(algorithm)
    directory = make_directory(tmp_path / "run", spec)
    train_and_evaluate(spec, directory)
    told = json.loads(directory.provenance.read_text())["spaces"]
    assert len(told["shifted"]) == len(told["loading_lines"]) == 2
    names = {"gymnasium": gymnasium, "np": np, "env": AnySpaces()}
    exec("\n".join(told["loading_lines"]), names)
    env: Any = names["env"]
    step = read_json(directory.checkpoints / "manifest.json")["last"]
    stock = getattr(stable_baselines3, algorithm.upper())
    model = stock.load(directory.checkpoints / str(step) / "model.zip", env=env)
    AnySpaces.actions.clear()
    observation, _ = env.reset(seed=0)
    ours = make_env(ID)
    assert isinstance(ours, PlainSpaces)
    for _ in range(5):
        assert model.observation_space.contains(observation)
        observation, *_ = env.step(model.predict(observation)[0])
    assert len(AnySpaces.actions) == 5


@pytest.mark.parametrize("vectorization", ["dummy", "subprocess"])
def test_a_shifted_run_that_was_paused_goes_on_exactly(tmp_path: Path, vectorization: str) -> None:
    offset = "tests.worlds.odd_worlds:Offset-v0"
    fields = {"vectorization": vectorization, "n_envs": 2}
    whole = spec_for("ppo", offset, 256, **fields)
    train(whole, make_directory(tmp_path / "whole", whole))
    half = spec_for("ppo", offset, 128, **fields)
    directory = make_directory(tmp_path / "half", half)
    train(half, directory)
    train(whole, directory, attempt=Attempt(number=2))
    ends = [tmp_path / name / "checkpoints" / "256" for name in ("whole", "half")]
    weights = [stable_baselines3.PPO.load(end / "model.zip").get_parameters() for end in ends]
    for name, tensor in weights[0]["policy"].items():
        assert torch.equal(tensor, weights[1]["policy"][name])
    attempts = [
        line for line in map(json.loads, directory.log.open()) if line["type"] == "attempt"
    ]
    assert [line["fidelity"] for line in attempts] == ["exact"]


@pytest.mark.parametrize("name", ["Offset", "Grid", "SmallPicture"])
def test_odd_worlds_are_trained_right(name: str, tmp_path: Path) -> None:
    spec = spec_for("ppo", f"tests.worlds.odd_worlds:{name}-v0")
    directory = make_directory(tmp_path / "run", spec)
    train_and_evaluate(spec, directory)
    result = read_json(directory.evaluations / "e.json")
    assert result["return_mean"] == 10.0
    assert describe(spec.environment).shifted


@pytest.mark.parametrize("name", ["TextObservation", "Unbounded"])
def test_odd_worlds_that_cannot_be_trained_in_say_so(name: str) -> None:
    spec = spec_for("ppo", f"tests.worlds.odd_worlds:{name}-v0")
    (error,) = refusals(spec, describe(spec.environment))
    assert error.field == "environment"
    assert "allowed: Box, Discrete" in error.message or "without bounds" in error.message
