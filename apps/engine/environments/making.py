"""The registry of environments: what is known of each, how one is made and described.

The cards of known environments are plain data, so that a page can list them at no cost. Anything
that constructs an environment (`make_env`, `describe`) may run foreign code and belongs in a
trainer process, never in a web server.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import reduce
from importlib.metadata import entry_points
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import FlattenObservation
from numpy.typing import NDArray

from apps.catalogue.environments.descriptions import EnvironmentDescription, SpaceDescription
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.environments.ids import (
    ENTRY_POINT_GROUP,
    family_of,
    space_kind,
    unknown_message,
)
from apps.engine.environments.plain_spaces import (
    in_plain_spaces,
    shifts_of,
    wrong_with_action,
    wrong_with_observation,
)
from apps.engine.wrappers import FrameStack
from apps.errors import UnknownEnvironment

Env = gymnasium.Env[Any, Any]
MAX_BOUNDS = 512  # A space of more numbers is told by its extreme bounds alone.
MAX_SUMMARY = 200


def discover(module: str) -> list[str]:
    """Import a module and return the ids of its own classes, each as `module:Env-v0`, sorted.

    What other packages register because the module imports them is not its own.

    Raises:
        UnknownEnvironment: There is no such module, or one that it imports is missing.
    """
    try:
        _register(module)
    except ImportError as error:
        raise UnknownEnvironment(_missing_module(module, error)) from error
    package = module.partition(".")[0]
    ids = sorted(name for name, spec in gymnasium.registry.items() if _package(spec) == package)
    return [f"{module}:{name}" for name in ids]


def _package(spec: EnvSpec) -> str:
    """Return the top-level package that an environment's class is of."""
    entry = spec.entry_point
    module = entry if isinstance(entry, str) else getattr(entry, "__module__", "")
    return module.partition(":")[0].partition(".")[0]


def _register(module: str) -> None:
    """Import a module, and call what an entry point of its package names in it to register."""
    importlib.import_module(module)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.module == module and entry.attr:
            entry.load()()


def _missing_module(module: str, error: ImportError) -> str:
    if error.name and module.startswith(error.name):
        return (
            f"there is no module {module!r}: put it into the folder of your own environments, "
            "install its package, or name its folder in PYTHONPATH"
        )
    return f"{module} cannot be imported: {error}"


def _missing_package(environment: str, error: Exception) -> str:
    # Gymnasium keeps each family of its own in a folder of that name.
    spec = gymnasium.registry.get(environment)
    folder = str(spec.entry_point).split(".")[2:3] if spec else []
    family = family_of(environment) or FAMILIES.get("".join(folder))
    what = f"type {family.install}" if family else str(error)
    return f"{environment} needs a package that is not installed: {what}"


def make_env(
    environment: str,
    kwargs: Mapping[str, Any] | None = None,
    render_mode: str | None = None,
    wrappers: Iterable[Any] = (),
    frame_stack: int = 0,
) -> Env:
    """Construct an environment by id (`CartPole-v1`, or `module:Env-v0` for one of your own).

    Args:
        environment: Gymnasium's id.
        kwargs: Keyword arguments for its constructor.
        render_mode: `rgb_array` where frames are wanted.
        wrappers: As in `RunSpec.wrappers`; what is for training only is left out.
        frame_stack: How many of the latest observations are seen at once; 0: the present one.

    Raises:
        UnknownEnvironment: There is no such id, its package is missing, it refuses the kwargs, or
            a wrapper cannot be found or refuses it.
    """
    extra: dict[str, Any] = {"render_mode": render_mode} if render_mode else {}
    family = family_of(environment)
    module, colon, name = environment.rpartition(":")
    try:
        if family:
            importlib.import_module(family.package)  # It registers its ids.
        elif colon and name not in gymnasium.registry:
            _register(module)
        env = gymnasium.make(environment, **(kwargs or {}), **extra)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        if colon and isinstance(error, ImportError):
            raise UnknownEnvironment(_missing_module(module, error)) from error
        raise UnknownEnvironment(_missing_package(environment, error)) from error
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv) as error:
        raise UnknownEnvironment(f"{unknown_message(environment)} ({error})") from error
    except (gymnasium.error.Error, TypeError, ValueError, LookupError, AssertionError) as error:
        raise UnknownEnvironment(f"{environment} could not be made: {error!r}") from error
    env = _wrapped(env, wrappers, is_training_only=False)
    for kind, space in (("observation", env.observation_space), ("action", env.action_space)):
        if not isinstance(space, spaces.Space):
            raise UnknownEnvironment(
                f"the {kind}_space of {environment} is {type(space).__name__}, not a space of "
                "gymnasium; an environment of the older gym has to be ported"
            )
    # Policies read vectors, images and dictionaries, so a tuple (Blackjack's) becomes a vector.
    seen = env.observation_space
    if isinstance(seen, spaces.Tuple) and seen.is_np_flattenable:
        env = FlattenObservation(env)
    return in_plain_spaces(_stacked(env, frame_stack) if frame_stack else env)


def training_wrapper(wrappers: Iterable[Any]) -> Callable[[Env], Env]:
    """Return what wraps an environment in training alone, around the count of its returns.

    A wrapper is for training only where its class says `is_for_training_only = True`: reward
    clipping, say. Episodes and returns in the log are those of the game without it.
    """
    chosen = list(wrappers)
    return lambda env: _wrapped(env, chosen, is_training_only=True)


def _wrapped(env: Env, wrappers: Iterable[Any], is_training_only: bool) -> Env:
    def wrap(inner: Env, wrapper: Any) -> Env:
        path = wrapper if isinstance(wrapper, str) else wrapper["path"]
        kwargs = {} if isinstance(wrapper, str) else wrapper.get("kwargs", {})
        wrapper_class = import_wrapper(path)
        if getattr(wrapper_class, "is_for_training_only", False) != is_training_only:
            return inner
        try:
            return wrapper_class(inner, **kwargs)
        except (
            gymnasium.error.Error,
            TypeError,
            ValueError,
            LookupError,
            AttributeError,
            AssertionError,
            ImportError,
        ) as error:
            raise UnknownEnvironment(f"{path} cannot wrap {inner}: {error!r}") from error

    return reduce(wrap, wrappers, env)


def import_wrapper(path: str) -> type[gymnasium.Wrapper[Any, Any, Any, Any]]:
    """Return the wrapper that an import path names.

    Raises:
        UnknownEnvironment: It cannot be imported, is something else, or is another package's.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UnknownEnvironment(f"wrapper {path} cannot be imported: {error}") from error
    # Nothing else is called: a path that names a function of any module must not run it.
    if not (isinstance(found, type) and issubclass(found, gymnasium.Wrapper)):
        raise UnknownEnvironment(f"{path} is not a class derived from gymnasium.Wrapper")
    # Else naming a module of one's own would name whatever that module imports.
    if found.__module__.partition(".")[0] != module.partition(".")[0]:
        raise UnknownEnvironment(f"{path} is of another package; name {found.__module__}:{name}")
    return found


def _stacked(env: Env, count: int) -> Env:
    if not isinstance(env.observation_space, spaces.Box) or not env.observation_space.shape:
        raise UnknownEnvironment(
            f"frame_stack needs an observation of numbers, and that of {env} is "
            f"{type(env.observation_space).__name__}; set frame_stack to 0"
        )
    return FrameStack(env, count)


def describe(
    environment: str,
    kwargs: Mapping[str, Any] | None = None,
    wrappers: Iterable[Any] = (),
    frame_stack: int = 0,
) -> EnvironmentDescription:
    """Construct an environment, read its spaces and metadata, and close it again.

    Raises:
        UnknownEnvironment: As for `make_env`, and for an id without its version.
    """
    env = make_env(environment, kwargs, wrappers=wrappers, frame_stack=frame_stack)
    try:
        spec = env.spec
        if spec and spec.id != environment.rpartition(":")[2]:
            # Gymnasium takes the newest version then: an upgrade would change what a spec means.
            raise UnknownEnvironment(f"{environment!r} names no version; write {spec.id}")
        return replace(
            describe_made(environment, env),
            max_episode_steps=spec.max_episode_steps if spec else None,
            reward_threshold=spec.reward_threshold if spec else None,
            render_modes=tuple(mode for mode in env.metadata.get("render_modes", ()) if mode),
            render_fps=int(env.metadata.get("render_fps") or 30),
            summary=_summary(env),
            shifted=tuple(words for shift in shifts_of(env) for words in shift.shifted),
            loading_lines=tuple(line for shift in shifts_of(env) for line in shift.loading_lines),
        )
    finally:
        env.close()


def describe_made(environment: str, env: Env) -> EnvironmentDescription:
    """Return what decides who can act in an environment that is made already."""
    return replace(
        describe_spaces(environment, env.observation_space, env.action_space),
        has_action_masks=env.has_wrapper_attr("action_masks"),
        has_goal_reward=env.has_wrapper_attr("compute_reward"),
    )


def describe_spaces(
    environment: str, observation: spaces.Space[Any], action: spaces.Space[Any]
) -> EnvironmentDescription:
    """Return what an environment's spaces alone say of it."""
    return EnvironmentDescription(
        id=environment,
        observation_space=_describe_space(observation),
        action_space=_describe_space(action),
        max_episode_steps=None,
        reward_threshold=None,
        render_modes=(),
        render_fps=30,
        untrainable=wrong_with_observation(observation) or wrong_with_action(action),
    )


def _describe_space(space: spaces.Space[Any]) -> SpaceDescription:
    box = space if isinstance(space, spaces.Box) and space.low.size else None
    lows, highs = (_each(box.low), _each(box.high)) if box else ((), ())
    if len({*lows}) <= 1 and len({*highs}) <= 1:
        lows = highs = ()
    kind = space_kind(space)
    is_named = kind != "other" or isinstance(space, spaces.Dict)
    return SpaceDescription(
        kind=kind,
        type_name="" if is_named else type(space).__name__,
        shape=tuple(space.shape or ()),
        dtype=str(space.dtype),
        n=int(space.n) if isinstance(space, spaces.Discrete) else None,
        low=_number(box.low.min()) if box and box.is_bounded("below") else None,
        high=_number(box.high.max()) if box and box.is_bounded("above") else None,
        lows=lows,
        highs=highs,
        parts={name: _describe_space(part) for name, part in space.items()}
        if isinstance(space, spaces.Dict)
        else {},
    )


def _each(bounds: NDArray[Any]) -> tuple[float | None, ...]:
    """Return bounds one by one; the greatest numbers there are stand for no bound at all."""
    if bounds.size > MAX_BOUNDS:
        return ()
    limit = np.finfo(np.float32).max
    return tuple(_number(bound) if abs(bound) < limit else None for bound in bounds.flat)


def _number(bound: np.generic) -> float:
    """Return a bound as it was written: 4.8, not the 4.80000019 that a float of 32 bits holds."""
    return float(str(bound))


def _summary(env: Env) -> str:
    """Return the first sentence of an environment's own docstring, the class's not Gymnasium's."""
    text = vars(type(env.unwrapped)).get("__doc__") or ""
    lines = [line.strip() for line in text.splitlines() if not line.strip().startswith("#")]
    paragraph = " ".join(" ".join(lines).split())
    return paragraph.partition(". ")[0].rstrip(".")[:MAX_SUMMARY]
