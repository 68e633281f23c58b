"""What may be named in a spec by whoever comes through a page or a request.

A login has no terminal: it names environments and wrappers that are registered, and paths inside
the data directory. Nothing here imports what it judges, opens a path, or says whether one exists.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.catalogue.environments.families import FAMILIES
from apps.errors import FieldError
from apps.spec.run import RunSpec
from apps.words import shown

# Gymnasium registers these to load what an argument names, of any module; it takes them without
# their version too.
LOADERS = re.compile(r"GymV(21|26)Environment(-v\d+)?")
# Importing one of these runs nothing that a process with environments has not run already.
FAMILY_MODULES = frozenset(family.package for family in FAMILIES.values())
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*|(file|data|jar):.*", re.DOTALL | re.IGNORECASE)
# At the top of the data directory: nobody's environment has a use for them.
PRIVATE_FILES = re.compile(r"\.?secret_key.*|(db|queue)\.sqlite3.*", re.DOTALL)


def _paths(module: str, names: str) -> frozenset[str]:
    return frozenset(f"{module}:{name}" for name in names.split())


# Those that take numbers and words, and neither write, nor open a window, nor load a module.
WRAPPERS = (
    _paths(
        "apps.engine.wrappers",
        "AtariFrames ClipReward FrameStack LifeIsEpisode",
    )
    | _paths(
        "gymnasium.wrappers",
        "AddRenderObservation AddWhiteNoise AtariPreprocessing ClipAction ClipReward "
        "DelayObservation DiscretizeAction DiscretizeObservation DtypeObservation "
        "FilterObservation FlattenObservation FrameStackObservation GrayscaleObservation "
        "MaxAndSkipObservation NormalizeObservation NormalizeReward OrderEnforcing "
        "PassiveEnvChecker RecordEpisodeStatistics RepeatAction RescaleAction "
        "RescaleObservation ReshapeObservation ResizeObservation StickyAction "
        "TimeAwareObservation TimeLimit",
    )
    | _paths(
        "stable_baselines3.common.atari_wrappers",
        "AtariWrapper ClipRewardEnv EpisodicLifeEnv FireResetEnv MaxAndSkipEnv NoopResetEnv "
        "StickyActionEnv WarpFrame",
    )
    | _paths("sb3_contrib.common.wrappers", "TimeFeatureWrapper")
    | _paths(
        "minigrid.wrappers",
        "ActionBonus DictObservationSpaceWrapper DirectionObsWrapper FlatObsWrapper "
        "FullyObsWrapper ImgObsWrapper NoDeath OneHotPartialObsWrapper PositionBonus "
        "RGBImgObsWrapper RGBImgPartialObsWrapper ReseedWrapper StochasticActionWrapper "
        "SymbolicObsWrapper ViewSizeWrapper",
    )
)


@dataclass(frozen=True, slots=True)
class Registered:
    """What the owner of a machine lets logins name.

    Attributes:
        folder: The data directory, which paths stay in.
        workplace: The working directory of trainers, which relative paths begin at.
        modules: Modules whose environments and wrappers may be named, with all within them.
    """

    folder: Path
    workplace: Path
    modules: frozenset[str] = field(default_factory=frozenset)

    def has(self, module: str) -> bool:
        """Whether a module, or a package that it is in, is registered."""
        parts = module.split(".")
        return any(".".join(parts[:count]) in self.modules for count in range(1, len(parts) + 1))


def refusals(
    spec: RunSpec, registered: Registered, inherited: Mapping[str, Any] | None = None
) -> list[FieldError]:
    """Return what a login may not name in a spec.

    Args:
        spec: The spec, valid in itself.
        registered: What may be named.
        inherited: The spec of the run that it goes on from: what is the same there has been
            started already by whoever might.
    """
    before = inherited or {}
    is_same = before.get("environment") == spec.environment
    known = before.get("environment_kwargs", {}) if is_same else {}
    errors = []
    if not is_same and (words := _wrong_environment(spec.environment, registered)):
        errors.append(FieldError("environment", words))
    for name, value in spec.environment_kwargs.items():
        if not (name in known and known[name] == value):
            errors += _wrong_paths("environment_kwargs", {name: value}, registered)
    for index, wrapper in enumerate(spec.wrappers):
        if wrapper not in before.get("wrappers", []):
            errors += _wrong_wrapper(f"wrappers.{index}", wrapper, registered)
    return errors


def leads_outside(text: str, registered: Registered) -> bool:
    """Whether a text is a path out of the data directory, or one of its private files.

    What looks like a path is judged by its letters, so that the answer does not tell whether it
    exists; a mere word counts as one only where trainers work beside a file of that name.
    """
    if "\0" in text or URL.fullmatch(text):
        return True
    named = os.path.join(registered.workplace, os.path.expanduser(text))  # noqa: PTH111, PTH118
    is_word = not (set(text) & {"/", "\\"} or text.startswith("~") or text in {".", ".."})
    if not text or (is_word and not os.path.lexists(named)):
        return False
    if ".." in re.split(r"[/\\]", text):
        return True
    return not all(
        _is_open(Path(make(named)), Path(make(registered.folder)))
        for make in (os.path.abspath, os.path.realpath)
    )


def _is_open(path: Path, folder: Path) -> bool:
    if not path.is_relative_to(folder):
        return False
    first = path.relative_to(folder).parts[:1]
    return not (first and PRIVATE_FILES.fullmatch(first[0]))


def _wrong_environment(environment: str, registered: Registered) -> str:
    module, colon, name = environment.rpartition(":")
    if LOADERS.fullmatch(name):
        return f"{shown(environment)} loads environments by name; name the environment itself"
    if not colon or module in FAMILY_MODULES or registered.has(module):
        return ""
    return f"{shown(environment)} is not allowed: {_how_to_register(module)}"


def _wrong_wrapper(field_name: str, wrapper: Any, registered: Registered) -> list[FieldError]:
    entry: Mapping[str, Any] = {"path": wrapper} if isinstance(wrapper, str) else wrapper
    path = entry["path"]
    module = path.partition(":")[0]
    if path not in WRAPPERS and not registered.has(module):
        words = f"{shown(path)} is not allowed: {_how_to_register(module)}"
        return [FieldError(field_name, f"{words}. The wrappers that are: docs/security.md")]
    return [*_wrong_paths(field_name, entry.get("kwargs", {}), registered)]


def _how_to_register(module: str) -> str:
    return (
        f"module {shown(module)} is not registered for pages and REST; put it into "
        "$RLGYM_HOME/environments, name it in RLGYM_ENVIRONMENTS or RLGYM_TRUSTED_MODULES, or use "
        "the command line on the machine itself"
    )


def _wrong_paths(
    field_name: str, kwargs: Mapping[str, Any], registered: Registered
) -> Iterator[FieldError]:
    for name, value in kwargs.items():
        for text in _texts(value):
            if leads_outside(text, registered):
                yield FieldError(
                    field_name,
                    f"{shown(text)} in {shown(name)} is not allowed; what pages and REST name as "
                    "a path stays inside the data directory ($RLGYM_HOME), its key and databases "
                    "excepted; the command line on the machine itself may name others",
                )


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value of JSON, the names of objects included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(name)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
