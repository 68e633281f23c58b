"""The script that goes with a downloaded checkpoint: it plays it with the stock library alone.

Text is made here and nothing is run. Everything a user named stands in it as a literal.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apps.catalogue.environments.ids import family_of
from apps.spec.run import RunSpec

SCRIPT = "load.py"
STATISTICS = "normalization.npz"
OUR_FRAMES = "apps.engine.wrappers:AtariFrames"
OUR_WRAPPERS = "apps.engine.wrappers:"
PACKAGES = {"stable_baselines3": "stable-baselines3", "sb3_contrib": "sb3-contrib"}

NORMALIZED = """
# What it learnt to see is normalised: the statistics are arrays, and nothing is unpickled.
saved = np.load(HERE / "normalization.npz", allow_pickle=False)
names = [name.removesuffix(".mean") for name in saved if name.endswith(".mean")]
keys = [name.partition(":")[2] for name in names if name != "rewards"]
env = VecNormalize(
    env,
    training=False,
    norm_reward=False,
    clip_obs=float(saved["clip_obs"]),
    epsilon=float(saved["epsilon"]),
    norm_obs_keys=[key for key in keys if key] or None,
)
for key in keys:
    name = f"observations:{key}" if key else "observations"
    statistics = env.obs_rms[key] if key else env.obs_rms
    statistics.mean, statistics.var = saved[f"{name}.mean"], saved[f"{name}.var"]
"""
# A replay buffer is not needed to play, and a hindsight buffer would ask for its environment.
LOADED = """
playing = {{"buffer_size": 1, "replay_buffer_class": None, "replay_buffer_kwargs": {{}}}}
model = {title}.load(HERE / "model.zip", device="cpu", custom_objects=playing)
"""
PLAYED = """
env.seed(10_001)
observation, state, starts, total, length = env.reset(), None, np.ones(1, bool), 0.0, 0
while True:
    action, state = model.predict(
        observation, state=state, episode_start=starts, deterministic=True{masks}
    )
    observation, reward, starts, _ = env.step(action)
    total, length = total + float(reward[0]), length + 1
    if starts[0]:
        break
print(f"return {{total:.6g}} in {{length}} steps")
"""
FLAX = """
from pathlib import Path

from flax.serialization import msgpack_restore

# Parameters, targets, optimizer and random keys of {title} as JAX has them: nested dictionaries of
# arrays. sbx has no file of its own for them; rlgym builds the model and puts them in:
#     python manage.py evaluate {run}@{step}
networks = msgpack_restore(Path(__file__).with_name("networks.msgpack").read_bytes())


def show(name, part):
    for key, value in part.items():
        if isinstance(value, dict):
            show(f"{{name}}/{{key}}", value)
        elif hasattr(value, "shape"):
            print(f"{{name}}/{{key}}", value.shape, value.dtype)


show("", networks)
"""


STACKED_AND_SHIFTED = """
raise SystemExit(
    "its observations are stacked, then laid out anew, and the stock library has no wrapper for "
    "both: play it with rlgym"
)
"""


def loading_script(
    spec: RunSpec, run: str, step: int, has_statistics: bool, shifts: Sequence[str] = ()
) -> str:
    """Write the script that loads and plays a checkpoint that lies beside it.

    Args:
        spec: The run's spec.
        run: The run's id.
        step: The checkpoint's step.
        has_statistics: Whether `normalization.npz` lies there, too. Those of rewards alone do not
            matter to who plays.
        shifts: Python that makes the spaces of the bare environment plain, a line for each.
    """
    head = f'"""{spec.schema.full_title}, step {step:,} of run {run}.'
    if spec.backend != "torch":
        said = f'{head}\n\nNeeds: pip install flax\n"""\n'
        return said + FLAX.format(title=spec.schema.title, run=run, step=step)
    has_statistics = has_statistics and bool(spec.normalize and spec.normalize["norm_obs"])
    packages = " ".join(dict.fromkeys(["stable-baselines3", PACKAGES[spec.schema.library]]))
    parts = [
        f'{head}\n\nNeeds: pip install {packages}, and what the environment needs.\n"""\n\n',
        "\n".join(_imports(spec, has_statistics)),
        "\n\nHERE = Path(__file__).parent\n\n\n",
        "\n".join(_environment(spec, shifts)),
        STACKED_AND_SHIFTED if spec.frame_stack and _sees_anew(shifts) else "",
        NORMALIZED if has_statistics else "",
        LOADED.format(title=spec.schema.title),
        PLAYED.format(masks=", action_masks=get_action_masks(env)" * _is_masked(spec)),
    ]
    return "".join(parts)


def _sees_anew(shifts: Sequence[str]) -> bool:
    return any("TransformObservation" in line for line in shifts)


def _is_masked(spec: RunSpec) -> bool:
    return spec.schema.needs_action_masks


def _wrappers(spec: RunSpec) -> list[tuple[str, Mapping[str, Any]]]:
    given: Iterator[Mapping[str, Any]] = (
        {"path": one} if isinstance(one, str) else one for one in spec.wrappers
    )
    return [(one["path"], one.get("kwargs") or {}) for one in given]


def _imports(spec: RunSpec, has_statistics: bool) -> Iterator[str]:
    if any(not path.startswith(OUR_WRAPPERS) for path, _ in _wrappers(spec)):
        yield "import importlib"
    yield from ("from pathlib import Path", "", "import gymnasium")
    yield "import numpy as np"
    if family := family_of(spec.environment):
        yield f"import {family.package}  # It registers its environments."
    yield f"from {spec.schema.library} import {spec.schema.title}"
    if _is_masked(spec):
        yield "from sb3_contrib.common.maskable.utils import get_action_masks"
    if any(path == OUR_FRAMES for path, _ in _wrappers(spec)):
        yield "from stable_baselines3.common.atari_wrappers import AtariWrapper"
    classes = ["DummyVecEnv", *["VecFrameStack"] * bool(spec.frame_stack)]
    classes += ["VecNormalize"] * has_statistics
    yield f"from stable_baselines3.common.vec_env import {', '.join(classes)}"


def _environment(spec: RunSpec, shifts: Sequence[str]) -> Iterator[str]:
    kwargs = f", **{_literal(spec.environment_kwargs)}" if spec.environment_kwargs else ""
    yield "def make_env():"
    yield f"    env = gymnasium.make({spec.environment!r}{kwargs})"
    for path, given in _wrappers(spec):
        yield from _wrapped(path, given)
    yield "    if isinstance(env.observation_space, gymnasium.spaces.Tuple):"
    yield "        env = gymnasium.wrappers.FlattenObservation(env)"
    yield from (f"    {line}" for line in shifts)
    yield from ("    return env", "", "", "env = DummyVecEnv([make_env])")
    if spec.frame_stack:
        yield f'env = VecFrameStack(env, {spec.frame_stack}, channels_order="last")'


def _wrapped(path: str, kwargs: Mapping[str, Any]) -> Iterator[str]:
    if path == OUR_FRAMES:
        yield "    env = AtariWrapper(env, terminal_on_life_loss=False, clip_reward=False)"
    elif not path.startswith(OUR_WRAPPERS):  # Ours are for training only, but for the one above.
        module, _, name = path.partition(":")
        yield f"    wrapper = getattr(importlib.import_module({module!r}), {name!r})"
        yield '    if not getattr(wrapper, "is_for_training_only", False):'
        yield f"        env = wrapper(env, **{_literal(kwargs)})"


def _literal(value: Any) -> str:
    """Return what JSON can hold as Python; a name of a user's stays in its quotes."""
    return repr(json.loads(json.dumps(value)))
