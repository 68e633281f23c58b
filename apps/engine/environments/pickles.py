"""Pickles that say nothing of where our own classes are, so that these may move.

In a checkpoint's pickles a class of ours goes by a name of `OURS`, which stays whatever becomes of
its module. Those of before name modules; `MOVED` says where what was in them is now.
"""

import io
import pickle
from importlib import import_module
from typing import Any, BinaryIO

import cloudpickle

MAX_REASON = 300
OURS = {
    "AtariFrames": "apps.engine.wrappers:AtariFrames",
    "ClipReward": "apps.engine.wrappers:ClipReward",
    "EpisodeMonitor": "apps.engine.stepping.episode_monitor:EpisodeMonitor",
    "EpisodeSoFar": "apps.engine.environments.journal:EpisodeSoFar",
    "FrameStack": "apps.engine.wrappers:FrameStack",
    "InProcess": "apps.engine.stepping.in_process:InProcess",
    "LifeIsEpisode": "apps.engine.wrappers:LifeIsEpisode",
    "PlainSpaces": "apps.engine.environments.plain_spaces:PlainSpaces",
    "SameStepCartPole": "apps.engine.stepping.native:SameStepCartPole",
}
MOVED = {
    "apps.engine.episode_monitor": "apps.engine.stepping.episode_monitor",
    "apps.engine.in_process_vec_env": "apps.engine.stepping.in_process",
    "apps.engine.journal": "apps.engine.environments.journal",
    "apps.engine.native_vec_env": "apps.engine.stepping.native",
    "apps.engine.plain_spaces": "apps.engine.environments.plain_spaces",
}
_NAMES = {path: name for name, path in OURS.items()}


class CannotRestore(Exception):
    """An environment's state could not be brought back; the message says why."""


class CannotPickle(Exception):
    """Something cannot be pickled; the message says what was raised."""


class _Pickler(cloudpickle.Pickler):
    def persistent_id(self, thing: Any) -> str | None:
        if not isinstance(thing, type):
            return None
        return _NAMES.get(f"{thing.__module__}:{thing.__qualname__}")


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, name: str) -> Any:
        if name not in OURS:
            raise pickle.UnpicklingError(f"it holds {name!r}, of which nothing is known here")
        module, _, attribute = OURS[name].partition(":")
        return getattr(import_module(module), attribute)

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(MOVED.get(module, module), name)


def dump(thing: Any, file: BinaryIO) -> None:
    """Pickle something into a file; raises whatever the thing raises."""
    _Pickler(file).dump(thing)


def load(file: BinaryIO) -> Any:
    """Unpickle what `dump` wrote; raises whatever that raises."""
    return _Unpickler(file).load()


def pickled(thing: Any) -> bytes:
    """Pickle what strangers wrote, whose code may raise anything when it is asked for its state.

    Raises:
        CannotPickle: Something was raised.
    """
    file = io.BytesIO()
    try:
        dump(thing, file)
    except (Exception, SystemExit) as error:
        raise CannotPickle(f"{type(error).__name__}: {error}"[:MAX_REASON]) from error
    return file.getvalue()


def unpickled(content: bytes) -> Any:
    """Unpickle what `pickled` made.

    Raises:
        CannotRestore: Something was raised.
    """
    try:
        return load(io.BytesIO(content))
    except (Exception, SystemExit) as error:
        words = f"it cannot be unpickled here ({type(error).__name__}: {error})"[:MAX_REASON]
        raise CannotRestore(words) from error
