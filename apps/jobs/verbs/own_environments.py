"""Environments of the user's own: where they are named, and what they say of themselves.

Three places name them: the folder `ENVIRONMENTS_FOLDER`, the setting `ENVIRONMENTS`, and entry
points of installed packages. A module is imported only in a describer, a process of its own; what
it said is kept in a file until the module's files change. Whoever asks is answered at once with
what is known; the rest is read meanwhile, one module after the other.
"""

import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

import orjson
from django.conf import settings

from apps.catalogue.environments.descriptions import EnvironmentDescription
from apps.catalogue.environments.ids import ENTRY_POINT_GROUP
from apps.jobs import trainers
from apps.jobs.module_files import fingerprint
from apps.protocol import messages
from apps.rundir.files import write_json

# What is missing may be installed meanwhile, which changes no file of the module.
RETRY_BROKEN_S = 300.0
MAX_ALONE = 1000
MAX_IDS = 100  # Of one module: describing each takes about a third of a second.

State = Literal["ready", "broken", "reading"]


@dataclass(frozen=True, slots=True)
class Source:
    """A module that somebody named.

    Attributes:
        origin: Who named it, in words.
        module: Its dotted name.
        ids: Ids of it that were named one by one; empty for all that it registers.
    """

    origin: str
    module: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnEnvironment:
    """One environment of the user's own, or a module that could not be read.

    Attributes:
        id: `module:Env-v0`; the module's name alone where it could not be imported.
        origin: Who named it, in words.
        state: `reading` while nobody knows yet.
        description: What it says of itself when it is ready.
        problem: Why it is broken.
    """

    id: str
    origin: str
    state: State
    description: EnvironmentDescription | None = None
    problem: str = ""


def sources() -> list[Source]:
    """Return the modules that are named, each once; imports none of them."""
    found = [*_in_folder(settings.ENVIRONMENTS_FOLDER), *_in_setting(), *_in_packages()]
    by_module = {source.module: source for source in reversed(found)}
    return sorted(by_module.values(), key=lambda source: source.module)


def _in_folder(folder: Path) -> Iterator[Source]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        is_module = path.suffix == ".py" or (path / "__init__.py").exists()
        if is_module and path.stem.isidentifier() and not path.stem.startswith("_"):
            yield Source(f"{folder.name}/{path.name}", path.stem)


def _in_setting() -> Iterator[Source]:
    named: dict[str, list[str]] = {}
    for entry in settings.ENVIRONMENTS:
        module, colon, _ = entry.partition(":")
        named.setdefault(module, []).extend([entry] if colon else [])
    for module, ids in named.items():
        is_whole = module in settings.ENVIRONMENTS
        yield Source("RLGYM_ENVIRONMENTS", module, () if is_whole else tuple(ids))


def _in_packages() -> tuple[Source, ...]:
    folders = [Path(place) for place in sys.path]
    return _named_by_packages(
        tuple((folder, folder.stat().st_mtime_ns) for folder in folders if folder.is_dir())
    )


@lru_cache(maxsize=1)
def _named_by_packages(installed: tuple[tuple[Path, int], ...]) -> tuple[Source, ...]:
    """Read every package's metadata, which takes milliseconds, once after each installation.

    Args:
        installed: The folders of packages and when something in them came or went.
    """
    return tuple(
        Source(
            f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.name, entry.module
        )
        for entry in entry_points(group=ENTRY_POINT_GROUP)
    )


def own_environments(wait_s: float = 0.0) -> list[OwnEnvironment]:
    """Return the user's own environments, module by module.

    Args:
        wait_s: How long to wait for those that nobody has described yet; after that they come as
            `reading`, and a later call has them.
    """
    deadline = time.monotonic() + wait_s
    files = {source: _file(source) for source in sources()}
    readers = [
        _start(_read, source, file) for source, file in files.items() if not _is_fresh(_kept(file))
    ]
    for reader in readers:
        reader.join(max(0.0, deadline - time.monotonic()))
    return [one for source, file in files.items() for one in _known(source, _kept(file))]


def own_environment(name: str, wait_s: float = 0.0) -> OwnEnvironment | None:
    """Return one of the user's own environments, None where no module has it.

    Where its module has not been read, it alone is described and none of its neighbours.

    Args:
        name: `module:Env-v0`, or a module's name alone.
        wait_s: How long to wait for it; after that it comes as `reading`.
    """
    module = name.partition(":")[0]
    source = next((each for each in sources() if each.module == module), None)
    if source is None:
        return None
    file = _file(source)
    kept = _kept(file)
    if (kept is not None and _is_fresh(kept)) or name == module:
        known = own_environments(wait_s) if kept is None else _known(source, kept)
        return next((one for one in known if one.id == name), None)
    _start(_read_alone, source, file, name).join(wait_s)
    said = _alone.get((file, name), UNREAD)
    if said is UNREAD:
        return OwnEnvironment(name, source.origin, "reading")
    return next(_known(source, {"environments": {name: said}}), None) if said else None


def _known(source: Source, kept: dict[str, Any] | None) -> Iterator[OwnEnvironment]:
    if kept is None:
        yield OwnEnvironment(source.module, source.origin, "reading")
        return
    for name, said in kept["environments"].items():
        if "problem" in said:
            yield OwnEnvironment(name, source.origin, "broken", problem=said["problem"])
        else:
            description = EnvironmentDescription.from_dict(said)
            yield OwnEnvironment(name, source.origin, "ready", description)


def _file(source: Source) -> Path:
    state = fingerprint(source.module, settings.ENVIRONMENTS_FOLDER)
    key = hashlib.sha256(repr((state, source.ids)).encode()).hexdigest()[:16]
    return Path(settings.HOME) / "cache" / "environments" / f"{source.module}-{key}.json"


def _kept(file: Path) -> dict[str, Any] | None:
    try:
        kept: dict[str, Any] = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    return kept


def _is_fresh(kept: dict[str, Any] | None) -> bool:
    if kept is None:
        return False
    is_broken = any("problem" in said for said in kept["environments"].values())
    return not is_broken or time.time() - kept["read_at"] < RETRY_BROKEN_S


_readers: dict[tuple[Path, str], threading.Thread] = {}
# What was said of single environments, by the file that their module's will be in; None: there is
# no such environment.
_alone: dict[tuple[Path, str], dict[str, Any] | None] = {}
_readers_lock = threading.Lock()
_one_at_a_time = threading.Lock()
# Whoever asks for many names that there are not starts no more processes for it.
_one_alone_at_a_time = threading.Lock()
UNREAD: dict[str, Any] = {}


def _start(
    read: Callable[..., None], source: Source, file: Path, name: str = ""
) -> threading.Thread:
    """Return the thread that reads a module, or one of its environments, started if none is."""
    with _readers_lock:
        for key in [key for key, reader in _readers.items() if not reader.is_alive()]:
            del _readers[key]
        reader = _readers.get((file, name))
        if reader is None:
            # A daemon: a server that ends does not wait for a module that hangs.
            arguments = (source, file, name) if name else (source, file)
            reader = threading.Thread(target=read, args=arguments, daemon=True)
            _readers[file, name] = reader
            reader.start()
    return reader


def _read_alone(source: Source, file: Path, name: str) -> None:
    said = _alone.get((file, name), UNREAD)
    if said is None or (said is not UNREAD and "problem" not in said):
        return
    try:
        with _one_alone_at_a_time:
            found = _said(name) if name in _ids_of(source) else None
    except trainers.TrainerFailed as error:
        found = {"problem": str(error)}
    if len(_alone) >= MAX_ALONE:
        _alone.clear()
    _alone[file, name] = found


def _read(source: Source, file: Path) -> None:
    with _one_at_a_time:
        said = _everything_said(source)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"read_at": time.time(), "environments": said})
    for other in file.parent.glob(f"{source.module}-*.json"):
        if other != file:
            other.unlink(missing_ok=True)


def _everything_said(source: Source) -> dict[str, dict[str, Any]]:
    try:
        ids = _ids_of(source)
    except trainers.TrainerFailed as error:
        return {source.module: {"problem": str(error)}}
    return {name: _said(name) for name in ids[:MAX_IDS]}


def _ids_of(source: Source) -> Sequence[str]:
    if source.ids:
        return source.ids
    refusal = f"{source.module} could not be imported"
    job: messages.DiscoverJob = {"job": "discover", "module": source.module}
    ids: list[str] = trainers.ask_describer(job, refusal)["ids"]
    return ids


def _said(environment: str) -> dict[str, Any]:
    # Each in a process of its own: one that breaks takes none of its neighbours along.
    refusal = f"{environment} could not be described"
    try:
        return trainers.ask_describer({"job": "describe", "environment": environment}, refusal)
    except trainers.TrainerFailed as error:
        return {"problem": str(error)}
