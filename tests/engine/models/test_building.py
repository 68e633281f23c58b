"""Building: every algorithm trains through our walls as it would without them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from torch import nn

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.ids import is_installed, space_kind
from apps.catalogue.presets.presets import PRESET_TITLES
from apps.engine.checkpoints import saving
from apps.engine.models import devices
from apps.engine.models.arguments import constructor_arguments, observation_kind, policy_for
from apps.engine.models.building import build_model
from apps.engine.models.classes import ALGORITHM_CLASSES
from apps.engine.playing.evaluation import Player, evaluate, play
from apps.engine.stepping.making import make_env_for, make_vec_env_for
from apps.errors import EngineError, InvalidSpec
from apps.spec.evaluation import EvalSpec
from apps.spec.run import RunSpec
from tests.builders import SMALL, events_of, small_spec
from tests.trainings import train_small, weights

each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


def model_for(spec: RunSpec) -> BaseAlgorithm:
    return build_model(spec, make_vec_env_for(spec))


def test_every_algorithm_is_tried_here() -> None:
    assert set(SMALL) == set(ALGORITHMS) == set(ALGORITHM_CLASSES)
    assert len(ALGORITHM_CLASSES) == len(ALGORITHMS)


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters", "share", "threads"),
    [
        ("ppo", {"net_arch": [256, 256], "n_steps": 512, "batch_size": 512}, None, 1),
        ("ars", {}, None, 1),
        ("dqn", {"net_arch": [256, 256], "batch_size": 64}, None, 1),
        ("dqn", {"net_arch": [1024], "batch_size": 1024}, None, 1),
        ("sac", {"batch_size": 128}, None, 1),
        ("sac", {"batch_size": 256}, None, 2),
        ("sac", {"batch_size": 256}, 1, 1),
        ("td3", {"batch_size": 256}, None, 3),
        ("td3", {"batch_size": 256}, 2, 2),
        ("sac", {"net_arch": [64, 64], "critic_net_arch": [512, 512]}, None, 8),
        ("crossq", {}, None, 8),
    ],
)
def test_large_updates_from_experience_take_threads_of_their_share(
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
    hyperparameters: dict[str, Any],
    share: int | None,
    threads: int,
) -> None:
    monkeypatch.setattr(devices, "DEFAULT_THREADS", 8)
    environment = "CartPole-v1" if algorithm == "dqn" else "Pendulum-v1"
    spec = RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": environment,
            "total_timesteps": 100,
            "hyperparameters": hyperparameters,
        }
    )
    assert devices.threads_for(spec, is_image=False, share=share) == threads
    assert devices.threads_for(spec, is_image=True, share=share) == (share or 8)


@each_algorithm
def test_the_widths_that_null_stands_for_are_the_library_s(algorithm: str) -> None:
    schemas = ALGORITHMS[algorithm].hyperparameters
    own = {"net_arch": None, "critic_net_arch": None, "policy": "mlp"}
    own = {name: value for name, value in own.items() if name in schemas}
    spec = small_spec(algorithm, hyperparameters=own)
    layers = [part for part in model_for(spec).policy.modules() if isinstance(part, nn.Linear)]
    assert schemas["net_arch"].unset in {
        (layer.in_features, layer.out_features) for layer in layers
    }


@each_algorithm
def test_the_same_seed_twice_gives_the_same_episodes_and_the_same_weights(
    tmp_path: Path, algorithm: str
) -> None:
    spec = small_spec(algorithm)
    first, outcome = train_small(tmp_path / "first", spec)
    torch.rand(3), np.random.rand(3)  # noqa: NPY002 - stir the global streams
    second, _ = train_small(tmp_path / "second", spec)
    curves = [
        [(event["step"], event["return"], event["env"]) for event in events_of(folder, "episode")]
        for folder in (first, second)
    ]
    assert outcome.status == "completed"
    assert outcome.episodes >= 32
    assert curves[0] == curves[1]
    assert [step for step, _, _ in curves[0]][:32] == list(range(10, 330, 10))
    one, two = weights(algorithm, first), weights(algorithm, second)
    assert all(torch.equal(one[name], two[name]) for name in one)


@each_algorithm
def test_what_our_walls_train_is_what_the_bare_library_trains(
    tmp_path: Path, algorithm: str
) -> None:
    spec = small_spec(algorithm)
    directory, _ = train_small(tmp_path / "run", spec)
    env = make_vec_env(lambda: make_env_for(spec), n_envs=1, seed=spec.seed)
    module, _, name = ALGORITHMS[algorithm].class_path.partition(":")
    bare = getattr(__import__(module), name)(
        policy_for(ALGORITHMS[algorithm], env.observation_space, spec.hyperparameters),
        env,
        seed=spec.seed,
        device="cpu",
        **constructor_arguments(spec, env.action_space),
    )
    bare.learn(spec.total_timesteps)
    ours, theirs = weights(algorithm, directory), bare.policy.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert len(ours) == len(theirs) > 0


@each_algorithm
def test_what_is_worth_a_chart_is_in_the_log(tmp_path: Path, algorithm: str) -> None:
    # The library's A2C tells the log about every hundredth rollout.
    more = {"total_timesteps": 808} if algorithm == "a2c" else {}
    spec = small_spec(algorithm, **more)
    directory, _ = train_small(tmp_path / "run", spec)
    logged = {key for event in events_of(directory, "metrics") for key in event["values"]}
    assert set(ALGORITHMS[algorithm].diagnostics) <= logged
    assert "rollout/ep_rew_mean" in logged


@each_algorithm
def test_a_trained_checkpoint_can_be_evaluated(tmp_path: Path, algorithm: str) -> None:
    spec = small_spec(algorithm)
    directory, outcome = train_small(tmp_path / "run", spec)
    asked = EvalSpec(n_episodes=2, is_deterministic=False, should_film=False)
    result = evaluate(directory, spec, outcome.step, asked, "eval_test")
    assert [episode.length for episode in result.episodes] == [10, 10]
    again = evaluate(directory, spec, outcome.step, asked, "eval_again")
    assert [e.episode_return for e in again.episodes] == [
        e.episode_return for e in result.episodes
    ]


@pytest.mark.parametrize(
    ("algorithm", "actions"),
    [(a.name, kind) for a in ALGORITHMS.values() for kind in sorted(a.action_spaces)],
)
def test_an_algorithm_acts_in_every_kind_of_space_that_it_claims(
    algorithm: str, actions: str
) -> None:
    spec = small_spec(algorithm, actions)
    if algorithm == "maskable_ppo" and actions != "discrete":
        pytest.skip("the masks of this environment are for its discrete actions")
    model = model_for(spec)
    assert space_kind(model.action_space) == actions
    action, _ = model.predict(model.observation_space.sample())
    assert action in model.action_space


@pytest.mark.parametrize("preset", PRESET_TITLES)
@each_algorithm
def test_a_model_can_be_built_from_every_preset(algorithm: str, preset: str) -> None:
    able = ALGORITHMS[algorithm].action_spaces
    small = {"buffer_size": 100} if ALGORITHMS[algorithm].has_replay_buffer else {}
    spec = RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": "ShortWalk-v0",
            "environment_kwargs": {"actions": "discrete" if "discrete" in able else "box"},
            "preset": preset,
            "hyperparameters": small,
        }
    )
    assert model_for(spec).n_envs == spec.n_envs


def test_an_algorithm_that_needs_masks_refuses_an_environment_without_them() -> None:
    spec = RunSpec.from_dict({"algorithm": "maskable_ppo", "environment": "CartPole-v1"})
    with pytest.raises(InvalidSpec, match=r"needs an environment with action_masks\(\)"):
        model_for(spec)


def test_a_masked_policy_never_takes_an_invalid_action(tmp_path: Path) -> None:
    spec = small_spec("maskable_ppo")
    model = model_for(spec)
    env = make_env_for(spec)
    for seed in range(5):
        play(Player(model), env, EvalSpec(is_deterministic=False), seed)
    assert env.unwrapped.forbidden == []  # type: ignore[attr-defined]
    unmasked = model_for(small_spec("ppo"))
    for seed in range(5):
        play(Player(unmasked), env, EvalSpec(is_deterministic=False), seed)
    assert env.unwrapped.forbidden != []  # type: ignore[attr-defined]


class StateSpy:
    """A recurrent model that counts steps in its state."""

    def __init__(self) -> None:
        self.starts: list[bool] = []
        self.states: list[Any] = []

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        self.starts.append(bool(episode_start[0]))
        self.states.append(state)
        return np.array(1), (0 if state is None else state) + 1


def test_the_state_of_a_recurrent_policy_is_carried_and_starts_anew_with_each_episode() -> None:
    spy = StateSpy()
    env = make_env_for(small_spec("recurrent_ppo"))
    for seed in (1, 2):
        play(Player(spy), env, EvalSpec(), seed)  # type: ignore[arg-type]
    assert spy.starts == [True, *[False] * 9] * 2
    assert spy.states == [None, *range(1, 10)] * 2


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (spaces.Box(-1, 1, (3,)), "vector"),
        (spaces.Discrete(4), "vector"),
        (spaces.Box(0, 255, (84, 84, 4), np.uint8), "image"),
        (spaces.Dict({"a": spaces.Box(-1, 1, (3,))}), "dict"),
    ],
)
def test_an_observation_asks_for_a_kind_of_policy(space: Any, kind: str) -> None:
    assert observation_kind(space) == kind
    for algorithm in ALGORITHMS.values():
        if kind in algorithm.observations:
            policy = policy_for(algorithm, space, {})
            assert policy in ALGORITHM_CLASSES[algorithm.name].policy_aliases


def test_a_linear_policy_is_one_map_from_observation_to_action() -> None:
    shapes = [tuple(p.shape) for p in model_for(small_spec("ars")).policy.parameters()]
    assert shapes == [(3, 2)]
    wide = small_spec("ars", hyperparameters={"policy": "mlp", "net_arch": [7]})
    assert (7, 2) in [tuple(p.shape) for p in model_for(wide).policy.parameters()]


def test_networks_of_policy_and_critic_may_differ() -> None:
    changed = {"net_arch": [8], "critic_net_arch": [16]}
    on_policy = model_for(small_spec("a2c", hyperparameters=changed)).policy.mlp_extractor
    assert on_policy.policy_net[0].out_features == 8
    assert on_policy.value_net[0].out_features == 16
    off_policy = model_for(small_spec("sac", hyperparameters=changed))
    assert off_policy.actor.latent_pi[0].out_features == 8
    assert off_policy.critic.qf0[0].out_features == 16


def test_action_noise_has_the_shape_of_actions() -> None:
    env = gymnasium.make("ShortWalk-v0", actions="box")
    for noise_type, kind in [
        ("normal", NormalActionNoise),
        ("ornstein-uhlenbeck", OrnsteinUhlenbeckActionNoise),
    ]:
        given = {"noise_type": noise_type, "noise_std": 0.5}
        spec = small_spec("td3", hyperparameters=given)
        noise = constructor_arguments(spec, env.action_space)["action_noise"]
        assert isinstance(noise, kind)
        assert noise().shape == (1,)
        assert noise._sigma.tolist() == [0.5]
    silent = small_spec("td3", hyperparameters={"noise_type": "none"})
    assert "action_noise" not in constructor_arguments(silent, env.action_space)


def test_names_that_are_ours_do_not_reach_the_library() -> None:
    spec = small_spec(
        "sac", hyperparameters={"log_std_init": -2, "use_expln": True, "train_freq": "episode"}
    )
    arguments = constructor_arguments(spec)
    assert arguments["policy_kwargs"] == {"net_arch": [8], "log_std_init": -2.0, "use_expln": True}
    assert arguments["train_freq"] == (1, "episode")
    assert not {"noise_type", "noise_std", "n_critics"} & set(arguments)


HINDSIGHT = [name for name, a in ALGORITHMS.items() if "her" in a.hyperparameters]


def test_hindsight_is_offered_where_the_library_can_and_observations_may_have_goals() -> None:
    assert [
        name
        for name, algorithm in ALGORITHMS.items()
        if algorithm.has_replay_buffer and "dict" in algorithm.observations
    ] == HINDSIGHT


@pytest.mark.parametrize("algorithm", HINDSIGHT)
def test_hindsight_learns_from_goals_that_were_reached(algorithm: str) -> None:
    wanted = {"her": True, "n_sampled_goal": 3, "goal_selection_strategy": "final"}
    model = model_for(small_spec(algorithm, environment="GoalWalk-v0", hyperparameters=wanted))
    model.learn(120)
    buffer = model.replay_buffer
    assert isinstance(buffer, HerReplayBuffer)
    assert (buffer.n_sampled_goal, buffer.copy_info_dict) == (3, False)
    goals = buffer.sample(64).observations["desired_goal"]
    reached = buffer.next_observations["achieved_goal"]
    assert not np.isin(goals[:16].numpy(), reached).all()
    assert np.isin(goals[16:].numpy(), reached).all()


def test_hindsight_is_refused_where_there_are_no_goals() -> None:
    with pytest.raises(InvalidSpec, match="achieved_goal, desired_goal, observation, and here"):
        model_for(small_spec("sac", hyperparameters={"her": True}))


def test_training_after_every_episode_learns(tmp_path: Path) -> None:
    spec = small_spec("td3", hyperparameters={"train_freq": "episode", "gradient_steps": -1})
    directory, outcome = train_small(tmp_path / "run", spec)
    assert outcome.step == 320
    updates = [e["values"].get("train/n_updates") for e in events_of(directory, "metrics")]
    # Ten gradient steps after each of the episodes that end after step 40.
    assert max(update for update in updates if update) == 280


def test_random_search_saves_and_stops_between_its_updates(tmp_path: Path) -> None:
    spec = small_spec("ars", save_freq=40)
    directory, _ = train_small(tmp_path / "run", spec)
    saved = [event["step"] for event in events_of(directory, "checkpoint")]
    # Two directions, both ways, ten steps an episode: an update is forty steps.
    assert saved == list(range(40, 321, 40))
    assert saving.steps_of(directory) == saved


def test_an_algorithm_of_the_other_library_costs_nothing_until_it_is_asked_for() -> None:
    script = (
        "import sys; from apps.engine.models import classes; assert 'sb3_contrib' not in "
        "sys.modules;classes.ALGORITHM_CLASSES['qrdqn']; assert 'sb3_contrib' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_training_sees_every_wrapper_and_counts_returns_without_those_of_its_own() -> None:
    spec = small_spec(
        "ppo",
        wrappers=[
            "tests.worlds.wrappers:Doubling",
            "tests.worlds.wrappers:TrainingDoubling",
        ],
        frame_stack=3,
    )
    env = make_vec_env_for(spec)
    assert env.observation_space.shape == (6,)
    env.reset()
    returns = 0.0
    for _ in range(10):
        _, rewards, _, infos = env.step([2])
        returns += float(rewards[0])
    assert infos[0]["episode"]["r"] == pytest.approx(returns / 2, abs=1e-4)
    assert env.seed(1) == [1]


@pytest.mark.parametrize(
    "changes", [{"wrappers": ["tests.worlds.wrappers:Doubling"]}, {"frame_stack": 2}]
)
def test_training_without_a_wrapper_of_the_spec_is_refused(changes: dict[str, Any]) -> None:
    bare = make_vec_env_for(small_spec("ppo"))
    with pytest.raises(EngineError, match=r"lacks (Doubling|FrameStack)"):
        build_model(small_spec("ppo", **changes), bare)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "environment", "family"),
    [
        ("dqn", "ALE/Breakout-v5", "atari"),
        ("recurrent_ppo", "ALE/Pong-v5", "atari"),
        ("ppo", "MiniGrid-Empty-Random-5x5-v0", "minigrid"),
        ("ppo", "CarRacing-v3", "box2d"),
        ("qrdqn", "LunarLander-v3", "box2d"),
        ("crossq", "Hopper-v5", "mujoco"),
        ("a2c", "FrozenLake-v1", "toy_text"),
    ],
)
def test_a_model_learns_in_every_family_and_the_same_policy_plays_without_vectors(
    algorithm: str, environment: str, family: str
) -> None:
    if not is_installed(family):
        pytest.skip(f"{family} is missing")
    small = {name: value for name, value in SMALL[algorithm].items() if "net_arch" not in name}
    spec = RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": environment,
            "hyperparameters": small,
        }
    )
    env = make_vec_env_for(spec)
    model = build_model(spec, env)
    model.learn(96)
    assert model.num_timesteps >= 96
    with make_env_for(spec) as alone:
        episode = play(Player(model), alone, EvalSpec(max_episode_steps=20), seed=1)
    assert 1 <= episode.length <= 20
    env.close()
