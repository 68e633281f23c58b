"""Backend sbx: what it learns is the bare port's, comes back bit for bit, and can be played."""

import inspect
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.sbx import SBX_ALGORITHMS
from apps.engine.checkpoints import saving
from apps.engine.checkpoints.loading import load_model
from apps.engine.models.arguments import constructor_arguments, policy_for
from apps.engine.models.building import build_model
from apps.engine.playing.evaluation import evaluate
from apps.engine.stepping.making import make_env_for, make_vec_env_for
from apps.engine.training.training import Attempt, train
from apps.errors import DamagedCheckpoint, InvalidSpec
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json
from apps.spec.evaluation import EvalSpec
from apps.spec.run import RunSpec
from tests.builders import events_of, make_directory
from tests.trainer_processes import send, start
from tests.trainings import arrays, position, train_with_pauses, visible, wait_for_step

sbx = pytest.importorskip("sbx", reason="the extra sbx is not installed")
jax = pytest.importorskip("jax")
serialization = pytest.importorskip("flax.serialization")

_REPLAY = {"learning_starts": 40, "buffer_size": 500, "batch_size": 16, "train_freq": 4}
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 32, "batch_size": 16, "n_epochs": 1, "net_arch": [8]},
    "dqn": {**_REPLAY, "net_arch": [8, 8], "target_update_interval": 50},
    "sac": {**_REPLAY, "net_arch": [8]},
    "td3": {**_REPLAY, "net_arch": [8], "noise_type": "normal", "gradient_steps": 2},
    "ddpg": {**_REPLAY, "net_arch": [8], "noise_type": "ornstein-uhlenbeck"},
    "tqc": {**_REPLAY, "net_arch": [8], "n_quantiles": 5},
    "crossq": {**_REPLAY, "net_arch": [8], "critic_net_arch": [16]},
}
each_algorithm = pytest.mark.parametrize("algorithm", SBX_ALGORITHMS.values(), ids=SBX_ALGORITHMS)


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every model compiles anew, for seconds, unless JAX remembers it from another test."""
    folder = str(tmp_path_factory.mktemp("compiled"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", folder)  # For trainer processes.
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        yield


def small_spec(algorithm: str, **changes: Any) -> RunSpec:
    """Return a spec that trains 200 steps on a tiny net."""
    able = SBX_ALGORITHMS[algorithm].action_spaces
    return RunSpec.from_dict(
        {
            "backend": "sbx",
            "algorithm": algorithm,
            "environment": "tests.worlds.short_walk:ShortWalk-v0",
            "environment_kwargs": {"actions": "discrete" if "discrete" in able else "box"},
            "total_timesteps": 224,
            **changes,
            "hyperparameters": {**SMALL[algorithm], **changes.get("hyperparameters", {})},
        }
    )


def networks(directory: RunDirectory) -> bytes:
    """The networks of a run's last checkpoint, optimizers and random keys included."""
    step = saving.steps_of(directory)[-1]
    return (directory.checkpoints / str(step) / "networks.msgpack").read_bytes()


def assert_same_run(one: RunDirectory, other: RunDirectory) -> None:
    assert networks(one) == networks(other)
    assert arrays(one) == arrays(other)
    np.testing.assert_equal(position(one), position(other))
    assert visible(one) == visible(other)


@each_algorithm
def test_a_run_ends_with_the_networks_of_the_bare_port_and_can_be_played(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    spec = small_spec(algorithm.name)
    directory = make_directory(tmp_path / "run", spec)
    assert train(spec, directory).status == "completed"
    env = make_vec_env(lambda: make_env_for(spec), n_envs=1, seed=spec.seed)
    bare = getattr(sbx, algorithm.title)(
        policy_for(algorithm, env.observation_space, spec.hyperparameters),
        env,
        seed=spec.seed,
        **constructor_arguments(spec, env.action_space),
    ).learn(spec.total_timesteps)
    ours = serialization.msgpack_restore(networks(directory))
    for owner, holder in (("model", bare), ("policy", bare.policy)):
        theirs = {name: serialization.to_state_dict(vars(holder)[name]) for name in ours[owner]}
        np.testing.assert_equal(ours[owner], theirs)
    logged = {key for event in events_of(directory, "metrics") for key in event["values"]}
    assert {*algorithm.diagnostics, "rollout/ep_rew_mean"} <= logged
    asked = EvalSpec(n_episodes=2, is_deterministic=False, should_film=False)
    step = saving.steps_of(directory)[-1]
    played = [evaluate(directory, spec, step, asked, name).episodes for name in ("one", "two")]
    assert [e.episode_return for e in played[0]] == [e.episode_return for e in played[1]]


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("ppo", {"hyperparameters": {"target_kl": 0.01}, "normalize": True}),
        ("dqn", {}),
        ("sac", {"normalize": True}),
    ],
)
def test_a_paused_run_goes_on_as_if_it_had_never_been_paused(
    tmp_path: Path, algorithm: str, changes: dict[str, Any]
) -> None:
    spec = small_spec(algorithm, **changes)
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    broken, _ = train_with_pauses(tmp_path / "broken", spec, 60, 130)
    assert [event["fidelity"] for event in events_of(broken, "attempt")] == ["exact"] * 2
    assert_same_run(whole, broken)


@pytest.mark.exact
@pytest.mark.timeout(600)
@each_algorithm
def test_every_algorithm_killed_three_times_ends_as_if_it_had_lived(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    spec = small_spec(algorithm.name, total_timesteps=3000, save_freq=150)
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    directory = make_directory(tmp_path / "killed", spec)
    pick = random.Random(algorithm.name)
    for number in (1, 2, 3):
        process = start("--supervised")
        send(process, {"job": "train", "directory": str(directory.path), "attempt": number})
        wait_for_step(directory, pick.randint(number * 600, number * 800))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    train(spec, directory, attempt=Attempt(4))
    attempts = events_of(directory, "attempt")
    assert [event["fidelity"] for event in attempts] == ["exact"] * 3
    assert_same_run(whole, directory)


# Ours, and no keyword of a policy: they shape two networks, or make an object.
NOT_OF_POLICIES = {"critic_net_arch", "noise_type", "noise_std"}


@each_algorithm
def test_the_catalogue_says_what_the_ports_constructors_take(algorithm: Algorithm) -> None:
    port = getattr(sbx, algorithm.title)
    constructor = inspect.signature(port).parameters
    policy = inspect.signature(port.policy_aliases["MlpPolicy"]).parameters
    for name, schema in algorithm.hyperparameters.items():
        if not schema.is_ours:
            assert schema.default == constructor[name].default
            assert isinstance(schema.default, bool) == isinstance(constructor[name].default, bool)
        elif name not in NOT_OF_POLICIES:
            assert schema.default in (None, policy[name].default)
    kinds = {"vector": "MlpPolicy", "image": "CnnPolicy", "dict": "MultiInputPolicy"}
    there = {kind for kind, alias in kinds.items() if alias in port.policy_aliases}
    assert algorithm.observations == there


@each_algorithm
def test_what_the_catalogue_leaves_out_is_known(algorithm: Algorithm) -> None:
    port = getattr(sbx, algorithm.title)
    numbers = {
        name
        for name, parameter in inspect.signature(port).parameters.items()
        if isinstance(parameter.default, int | float) and name not in {"verbose", "seed"}
    }
    # How the library records and builds; n-step returns; state-dependent exploration.
    left_out = {
        "stats_window_size",
        "_init_setup_model",
        "optimize_memory_usage",
        "use_sde",
        "sde_sample_freq",
        "use_sde_at_warmup",
    }
    if algorithm.has_replay_buffer:
        left_out.add("n_steps")
    assert numbers - left_out <= set(algorithm.hyperparameters)


@each_algorithm
def test_a_schedule_is_offered_where_the_port_follows_it(algorithm: Algorithm) -> None:
    source = inspect.getsource(getattr(sbx, algorithm.title))
    schema = algorithm.hyperparameters["learning_rate"]
    assert schema.is_schedule == ("_update_learning_rate" in source)


@each_algorithm
def test_the_widths_that_null_stands_for_are_the_port_s(algorithm: Algorithm) -> None:
    names = {"net_arch", "critic_net_arch"} & algorithm.hyperparameters.keys()
    spec = small_spec(algorithm.name, hyperparameters=dict.fromkeys(names))
    policy = build_model(spec, make_vec_env_for(spec)).policy
    states = [
        getattr(policy, name) for name in ("actor_state", "qf_state") if name in vars(policy)
    ]
    parts = jax.tree_util.tree_leaves([state.params for state in states])
    assert algorithm.hyperparameters["net_arch"].unset in {part.shape[-2:] for part in parts}


def test_it_computes_in_the_threads_that_the_run_began_with() -> None:
    program = """
import os
from apps.engine.models.building import build_model
from apps.engine.stepping.making import make_vec_env_for
from apps.spec.run import RunSpec
spec = RunSpec.from_dict({"backend": "sbx", "algorithm": "sac", "environment": "Pendulum-v1"})
build_model(spec, make_vec_env_for(spec), threads=3)
print(os.environ["PJRT_NPROC"])
"""
    environment = {name: value for name, value in os.environ.items() if name != "PJRT_NPROC"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split()[-1] == "3"


def test_categories_are_not_fed_to_networks_as_numbers() -> None:
    spec = small_spec("ppo", environment="FrozenLake-v1", environment_kwargs={})
    with pytest.raises(InvalidSpec, match="categories as bare numbers; use torch"):
        build_model(spec, make_vec_env_for(spec))


def test_the_provenance_names_the_port_and_what_it_computes_with(tmp_path: Path) -> None:
    spec = small_spec("dqn", total_timesteps=32, device="auto")
    directory = make_directory(tmp_path / "run", spec)
    train(spec, directory)
    provenance = read_json(directory.provenance)
    assert {"sbx-rl", "jax", "flax", "stable-baselines3"} <= provenance["packages"].keys()
    assert (provenance["algorithm_class"], provenance["device"]) == ("sbx:DQN", "cpu")
    assert os.environ["JAX_PLATFORMS"] == "cpu"


def test_other_networks_do_not_fit_a_checkpoint(tmp_path: Path) -> None:
    spec = small_spec("dqn", total_timesteps=32)
    directory = make_directory(tmp_path / "run", spec)
    train(spec, directory)
    other = small_spec("dqn", hyperparameters={"net_arch": [16, 16]})
    with pytest.raises(DamagedCheckpoint, match="do not fit this spec: a layer has another shape"):
        load_model(other, directory, 32)
