"""Spaces as networks read them and act in them: what is shifted until they can, what cannot be.

Networks see numbers, categories that count from 0 in one row, and pictures of some size. An
environment that counts from 5, or lays its choices out as a table, is shifted here, in training
and evaluation alike; one that shows text cannot be trained in, and is told so before it is queued.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Space = spaces.Space[Any]

MIN_PICTURE = 36  # Pixels of a side; less, and the library's convolutions have nothing left.
MAX_CATEGORIES = 1_000_000  # A network has an input, or an output, for each.
# Attributes of the module that holds a network for each part of a dictionary: a part may not be
# called like one. Those that begin with `_` and those with a dot are refused as well.
_NAMES_OF_MODULES = (
    "T_destination add_module apply bfloat16 buffers call_super_init children clear compile cpu "
    "cuda double dump_patches eval extra_repr float forward get_buffer get_extra_state "
    "get_parameter get_submodule half ipu items keys load_state_dict modules mtia named_buffers "
    "named_children named_modules named_parameters parameters pop register_backward_hook "
    "register_buffer register_forward_hook register_forward_pre_hook "
    "register_full_backward_hook register_full_backward_pre_hook "
    "register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module "
    "register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ "
    "set_extra_state set_submodule share_memory state_dict to to_empty train training type update "
    "values xpu zero_grad"
)
TAKEN_NAMES = frozenset(_NAMES_OF_MODULES.split())
READABLE = "Box, Discrete, MultiDiscrete, MultiBinary"
ACTABLE = "Discrete, MultiDiscrete, MultiBinary or a bounded Box of floats"
_NUMBERS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True, slots=True)
class Shift:
    """How one space stands for another.

    Attributes:
        plain: What the learner sees.
        turn: Makes an observation plain, or a plain action one of the environment.
        words: What stands for what, for people.
        code: The same in Python, of `observation` or `action`, for those who have only Gymnasium.
    """

    plain: Space
    turn: Callable[[Any], Any]
    words: str
    code: str


class PlainSpaces(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Shows an environment to a learner in plain spaces, and takes plain actions.

    Attributes:
        shifted: What stands for what, in words.
        loading_lines: Python that does the same to the bare environment `env` with nothing but
            Gymnasium: for whoever plays a model with the stock library.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._seen = observation_shift(env.observation_space)
        self._done = action_shift(env.action_space)
        self.shifted: list[str] = []
        self.loading_lines: list[str] = []
        for kind, shift in (("observation", self._seen), ("action", self._done)):
            if shift:
                setattr(self, f"{kind}_space", shift.plain)
                self.shifted.append(shift.words)
                self.loading_lines.append(
                    f"env = gymnasium.wrappers.Transform{kind.title()}"
                    f"(env, lambda {kind}: {shift.code}, {_as_code(shift.plain)})"
                )

    def __reduce__(self) -> tuple[type["PlainSpaces"], tuple[gymnasium.Env[Any, Any]]]:
        """Pickle what it stands around: the rest follows from that, and names functions here."""
        return PlainSpaces, (self.env,)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset, and show what is seen plainly."""
        observation, info = self.env.reset(seed=seed, options=options)
        return (self._seen.turn(observation) if self._seen else observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step with the action that a plain one stands for."""
        taken = self._done.turn(action) if self._done else action
        observation, *rest = self.env.step(taken)
        return (self._seen.turn(observation) if self._seen else observation), *rest


def in_plain_spaces(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Return an environment whose spaces are plain where they can be made so."""
    return env if has_plain_spaces(env.observation_space, env.action_space) else PlainSpaces(env)


def has_plain_spaces(observation: Space, action: Space) -> bool:
    """Whether a learner takes spaces as they are."""
    return observation_shift(observation) is None and action_shift(action) is None


def observation_shift(space: Space) -> Shift | None:
    """Return what makes observations plain, None where they are, or cannot be made so."""
    if isinstance(space, spaces.Discrete) and space.start != 0:
        start, n = int(space.start), int(space.n)
        words = f"observations 0 to {n - 1} stand for {start} to {start + n - 1}"
        return Shift(spaces.Discrete(n), partial(_less, start), words, f"observation - {start}")
    if isinstance(space, spaces.MultiDiscrete) and not _is_plain_row(space):
        words = f"observations are {_choices(space)}"
        code = f"(observation - {_array(space.start)}).ravel()"
        return Shift(_row_of(space), partial(_less_in_a_row, space.start), words, code)
    if isinstance(space, spaces.Box) and space.shape == ():
        plain = spaces.Box(space.low.reshape(1), space.high.reshape(1), dtype=space.dtype.type)
        words = "observations are an array of one number, not a bare one"
        return Shift(plain, partial(np.reshape, shape=(1,)), words, "observation.reshape(1)")
    if _is_small_picture(space):
        size = " x ".join(map(str, space.shape or ()))
        plain = spaces.Box(0.0, 1.0, (int(np.prod(space.shape or ())),), np.float32)
        words = (
            f"pictures of {size} are too small for convolutions (at least {MIN_PICTURE} x "
            f"{MIN_PICTURE} are): they are read as {plain.shape[0]} numbers from 0 to 1"
        )
        code = "observation.ravel().astype('float32') / 255"
        return Shift(plain, _as_numbers, words, code)
    return _dict_shift(space) if isinstance(space, spaces.Dict) else None


def _dict_shift(space: spaces.Dict) -> Shift | None:
    shifts = {name: observation_shift(part) for name, part in space.items()}
    changed = {name: shift for name, shift in shifts.items() if shift}
    if not changed:
        return None
    plain = spaces.Dict(
        OrderedDict(
            (name, changed[name].plain if name in changed else part)
            for name, part in space.items()
        )
    )
    turns = {name: shift.turn for name, shift in changed.items()}
    words = "; ".join(f"{name}: {shift.words}" for name, shift in changed.items())
    parts = ", ".join(
        f"{name!r}: {shift.code.replace('observation', f'observation[{name!r}]')}"
        for name, shift in changed.items()
    )
    return Shift(plain, partial(_each_part, turns), words, f"{{**observation, {parts}}}")


def action_shift(space: Space) -> Shift | None:
    """Return what makes an action of a plain one, None where they are plain or cannot be."""
    if isinstance(space, spaces.Discrete) and space.start != 0:
        start, n = int(space.start), int(space.n)
        words = f"actions 0 to {n - 1} stand for {start} to {start + n - 1}"
        return Shift(spaces.Discrete(n), partial(_plus, start), words, f"action + {start}")
    if isinstance(space, spaces.MultiDiscrete) and not _is_plain_row(space):
        code = f"action.reshape({space.shape}) + {_array(space.start)}"
        turn = partial(_plus_in_shape, space.start)
        return Shift(_row_of(space), turn, f"actions are {_choices(space)}", code)
    if isinstance(space, spaces.MultiBinary) and not isinstance(space.n, int):
        shape = space.shape or ()
        words = f"actions are the {' x '.join(map(str, shape))} switches in one row"
        plain = spaces.MultiBinary(int(np.prod(shape)))
        return Shift(plain, partial(np.reshape, shape=shape), words, f"action.reshape({shape})")
    if isinstance(space, spaces.Box) and not wrong_with_action(space):
        return _box_action_shift(space)
    return None


def _box_action_shift(space: spaces.Box) -> Shift | None:
    """Lay the numbers out in one row, and keep within their bounds what rounding takes beyond.

    Squashed actions are unscaled as low + share * (high - low), whose last bit may be too much.
    """
    is_flat = len(space.shape) == 1
    may_exceed = bool(np.any(space.low + (space.high - space.low) > space.high))
    if is_flat and not may_exceed:
        return None
    plain = spaces.Box(space.low.ravel(), space.high.ravel(), dtype=space.dtype.type)
    said = [] if is_flat else [f"actions are {space.low.size} numbers in one row"]
    said += ["actions are kept within their bounds to the last bit"] if may_exceed else []
    code = f"np.clip(action.reshape({space.shape}), {_bound(space.low)}, {_bound(space.high)})"
    turn = partial(_within, space.low, space.high)
    return Shift(plain, turn, "; ".join(said), code)


def wrong_with_observation(space: Space) -> str:
    """Say why no network here can read a space, empty where one can."""
    if not isinstance(space, spaces.Dict):
        return _wrong_with_part(space, f"{READABLE}, a Tuple of these, or a Dict of these")
    if not space.spaces:
        return "its observations are an empty Dict, which shows nothing to learn from"
    for name, part in space.items():
        if not isinstance(name, str) or "." in name or not name or name[0] == "_":
            return f"a part of its observations is called {name!r}; {_NAMING}"
        if name in TAKEN_NAMES:
            return f"a part of its observations is called {name!r}, as a network's own; {_NAMING}"
        if words := _wrong_with_part(part, f"{READABLE} in a Dict"):
            return f"part {name!r} of {words}"
    first = {
        name: int(np.argmin(part.shape or ())) == 0
        for name, part in space.items()
        if _is_picture(part) and not _is_small_picture(part)
    }
    if len({*first.values()}) > 1:
        names = ", ".join(name for name, is_first in first.items() if is_first)
        return (
            f"pictures in its observations have their channels first ({names}) and last; give "
            "all of them the same"
        )
    return ""


_NAMING = "names are text without a dot that begins with no _: rename it"


def _wrong_with_part(space: Space, allowed: str) -> str:
    if not isinstance(space, _NUMBERS):
        return (
            f"its observations are {_shown(space)}, which no network here reads; allowed: "
            f"{allowed}. A wrapper can turn them into one of these"
        )
    if 0 in (space.shape or ()):
        return f"its observations are {_shown(space)}, which holds no number at all"
    if isinstance(space, spaces.Box) and space.dtype.kind not in "fiub":
        return f"its observations are {_shown(space)}; numbers of type {space.dtype} are not read"
    if isinstance(space, spaces.Box) and space.dtype.itemsize > 8:
        return f"its observations are {_shown(space)}; make them float64 or float32"
    return _too_many(space, "observations")


def wrong_with_action(space: Space) -> str:
    """Say why no algorithm here can act in a space, empty where one can."""
    if not isinstance(space, _NUMBERS):
        return (
            f"its actions are {_shown(space)}, in which no algorithm here acts; allowed: "
            f"{ACTABLE}. A wrapper can turn one of these into them"
        )
    if 0 in (space.shape or ()):
        return f"its actions are {_shown(space)}, which leaves nothing to choose"
    if isinstance(space, spaces.Box) and space.dtype not in _FLOATS:
        return (
            f"its actions are {_shown(space)}, numbers of type {space.dtype}, and algorithms give "
            "float32; make it a Box of float32, or whole numbers a Discrete or MultiDiscrete"
        )
    if isinstance(space, spaces.Box) and not _has_width(space):
        return (
            f"its actions are {_shown(space)}, and no algorithm here acts without bounds; give "
            "each number a low and a high, or wrap it in one that rescales actions from -1 to 1"
        )
    return _too_many(space, "actions")


def _too_many(space: Space, what: str) -> str:
    many = 0
    if isinstance(space, spaces.Discrete):
        many = int(space.n)
    elif isinstance(space, spaces.MultiDiscrete):
        many = int(space.nvec.sum())
    if many <= MAX_CATEGORIES:
        return ""
    return (
        f"its {what} are one of {many:,} categories, each an end of the network by itself; at "
        f"most {MAX_CATEGORIES:,} are allowed: make them numbers (Box) or several categories"
    )


def _has_width(space: spaces.Box) -> bool:
    """Whether bounds are there and so near that the distance between them is a number."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(space.high - space.low).all())


def _is_picture(space: Space) -> bool:
    return (
        isinstance(space, spaces.Box)
        and len(space.shape) == 3
        and space.dtype == np.uint8
        and bool((space.low == 0).all() and (space.high == 255).all())
    )


def _is_small_picture(space: Space) -> bool:
    """Whether it is a picture that the library's convolutions cannot read.

    As the library has it, channels are the least of the axes, but the second never is.
    """
    shape = space.shape or ()
    if not _is_picture(space) or 0 in shape:
        return False
    sides = shape[1:] if int(np.argmin(shape)) == 0 else shape[:2]
    return min(sides) < MIN_PICTURE


def _is_plain_row(space: spaces.MultiDiscrete) -> bool:
    return len(space.shape) == 1 and not space.start.any()


def _row_of(space: spaces.MultiDiscrete) -> spaces.MultiDiscrete:
    return spaces.MultiDiscrete(space.nvec.ravel())


def _choices(space: spaces.MultiDiscrete) -> str:
    table = " x ".join(map(str, space.shape))
    counted = ", each counted from 0" if space.start.any() else ""
    return f"{space.nvec.size} choices in one row, of a {table} table{counted}"


def _shown(space: Space) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 100 else f"{text[:100]}…"


def _array(numbers: NDArray[Any]) -> str:
    return f"np.array({numbers.tolist()})"


def _as_code(space: Space) -> str:
    if isinstance(space, spaces.Dict):
        parts = ", ".join(f"{name!r}: {_as_code(part)}" for name, part in space.items())
        return f"gymnasium.spaces.Dict({{{parts}}})"
    if isinstance(space, spaces.MultiDiscrete):
        return f"gymnasium.spaces.MultiDiscrete({space.nvec.tolist()})"
    if isinstance(space, spaces.Box):
        bounds = ", ".join(_bound(each) for each in (space.low, space.high))
        return f"gymnasium.spaces.Box({bounds}, {space.shape}, '{space.dtype}')"
    if isinstance(space, spaces.MultiBinary):
        return f"gymnasium.spaces.MultiBinary({space.n})"
    return f"gymnasium.spaces.Discrete({getattr(space, 'n', 0)})"


def _bound(bounds: NDArray[Any]) -> str:
    alike = {*bounds.ravel().tolist()}
    text = (
        str(alike.pop()) if len(alike) == 1 else f"np.array({bounds.tolist()}, '{bounds.dtype}')"
    )
    return text.replace("inf", "np.inf")


def _less(start: int, observation: Any) -> Any:
    return observation - start


def _less_in_a_row(start: NDArray[Any], observation: Any) -> NDArray[Any]:
    row: NDArray[Any] = (np.asarray(observation) - start).ravel()
    return row


def _as_numbers(picture: Any) -> NDArray[np.float32]:
    return np.asarray(picture).ravel().astype(np.float32) / np.float32(255)


def _each_part(turns: dict[str, Callable[[Any], Any]], observation: Any) -> dict[str, Any]:
    return {**observation, **{name: turn(observation[name]) for name, turn in turns.items()}}


def _plus(start: int, action: Any) -> Any:
    return action + start


def _plus_in_shape(start: NDArray[Any], action: Any) -> NDArray[Any]:
    choices: NDArray[Any] = np.reshape(action, start.shape) + start
    return choices


def _within(low: NDArray[Any], high: NDArray[Any], action: Any) -> NDArray[Any]:
    bounded: NDArray[Any] = np.clip(np.reshape(action, low.shape), low, high)
    return bounded


def shifts_of(env: Any) -> Iterator[PlainSpaces]:
    """Yield the wrapper among an environment's that makes its spaces plain, if it has one."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, PlainSpaces):
            yield env
        env = env.env
