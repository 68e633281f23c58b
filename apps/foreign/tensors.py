"""Read names and shapes of the tensors that torch has saved, without unpickling anything.

`torch.save` writes a zip file: `data.pkl` says how the tensors are put together, `data/<n>` holds
their bytes. A pickle is a program for a small machine. The machine here knows only what a state
dict needs (numbers, text, lists, dictionaries, tensors) and calls nothing, so a pickle that names
anything else is refused before torch sees it. It needs no torch, so a web server can look too.

Torch's own `weights_only` reader is the second wall, behind this one. It takes a storage's length
from the pickle and the bytes from the zip; here they must agree.
"""

import io
import math
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.errors import RefusedFile
from apps.foreign.archives import Budget, members
from apps.words import shown

# Torch writes 110 to 180 bytes a tensor; so many opcodes take half a second to follow.
MAX_PICKLE_BYTES = 1 << 19
MAX_DIMENSIONS = 8
PROTOCOL = 2
# Bytes of one element, by the storage's name.
STORAGES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}
# Written by torch since 1.6 (2020): a folder of any name, and these files in it.
MEMBERS = re.compile(
    r"[^/\\]{1,100}/(data\.pkl|data/\d{1,6}|version|byteorder|\.format_version"
    r"|\.storage_alignment|\.data/serialization_id)"
)
BUILDS_TENSOR = "torch._utils _rebuild_tensor_v2"
BUILDS_DICTIONARY = "collections OrderedDict"


@dataclass(frozen=True, slots=True)
class TensorShape:
    """What is known of a saved tensor without its numbers."""

    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Global:
    """A class or function that a pickle names; never looked up."""

    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    """The numbers that tensors are views of."""

    length: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What `torch.save` wrote.

    Attributes:
        value: The saved value, with a `TensorShape` for each tensor.
        files: Content of `data.pkl` and of each `data/<n>`, all checked.
    """

    value: Any
    files: dict[str, bytes]

    def clean_copy(self) -> bytes:
        """Return a zip file of the checked parts alone, for torch to read.

        Two readers of zip files may see different members in one crafted file; in one that is
        written here they see the same.
        """
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for name, content in {**self.files, "version": b"3\n", "byteorder": b"little"}.items():
                archive.writestr(f"archive/{name}", content)
        return target.getvalue()


def read(content: bytes, what: str, budget: Budget) -> Saved:
    """Read what `torch.save` wrote, each tensor as its shape.

    Args:
        content: The file.
        what: What a message calls it.
        budget: How much may be unpacked.

    Raises:
        RefusedFile: It is not a saved state dict, or not sound.
    """
    if not content.startswith(b"PK"):
        raise RefusedFile(
            f"{what} is not what torch has written since version 1.6; load the model where it "
            "comes from and save it again with a newer torch"
        )
    files = {
        name.partition("/")[2]: data
        for name, data in members(io.BytesIO(content), what, MEMBERS, budget)
    }
    pickled = files.get("data.pkl", b"")
    if files.get("byteorder", b"little") != b"little":
        raise RefusedFile(f"{what} was saved on a big-endian machine, which cannot be read here")
    if not 0 < len(pickled) <= MAX_PICKLE_BYTES:
        raise RefusedFile(
            f"{what} describes its tensors in {len(pickled)} bytes; allowed are 1 to "
            f"{MAX_PICKLE_BYTES}"
        )
    numbers = {
        name.removeprefix("data/"): data
        for name, data in files.items()
        if name.startswith("data/")
    }
    lengths = {key: len(data) for key, data in numbers.items()}
    value = _Machine(lengths, what).run(pickled)
    return Saved(value, {"data.pkl": pickled, **{f"data/{k}": v for k, v in numbers.items()}})


class _Machine:
    """Follows the opcodes that torch writes for a state dict, and no other."""

    def __init__(self, storage_bytes: Mapping[str, int], what: str) -> None:
        self._storage_bytes = storage_bytes
        self._what = what
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._actions: dict[str, Callable[[Any], None]] = {
            "PROTO": self._check_protocol,
            "STOP": lambda _: None,
            "MARK": lambda _: self._marks.append(len(self._stack)),
            "NONE": lambda _: self._push(None),
            "NEWTRUE": lambda _: self._push(True),
            "NEWFALSE": lambda _: self._push(False),
            "EMPTY_DICT": lambda _: self._push({}),
            "EMPTY_LIST": lambda _: self._push([]),
            "EMPTY_TUPLE": lambda _: self._push(()),
            **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), self._push),
            "BINUNICODE": self._push,
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._remember),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda key: self._push(self._memo[key])),
            "TUPLE": lambda _: self._push(tuple(self._since_mark())),
            "TUPLE1": lambda _: self._push(tuple(self._last(1))),
            "TUPLE2": lambda _: self._push(tuple(self._last(2))),
            "TUPLE3": lambda _: self._push(tuple(self._last(3))),
            "APPEND": lambda _: self._extend(self._last(1)),
            "APPENDS": lambda _: self._extend(self._since_mark()),
            "SETITEM": lambda _: self._set_items(self._last(2)),
            "SETITEMS": lambda _: self._set_items(self._since_mark()),
            "GLOBAL": self._name_global,
            "BINPERSID": lambda _: self._find_storage(),
            "REDUCE": lambda _: self._build_value(),
            "BUILD": lambda _: self._set_attributes(),
        }

    def run(self, pickled: bytes) -> Any:
        """Return what a pickle describes.

        Raises:
            RefusedFile: It is damaged, or does what no state dict does.
        """
        try:
            for opcode, argument, _ in pickletools.genops(pickled):
                if opcode.name not in self._actions:
                    raise self._refusal(f"does what no state dict does ({opcode.name})")
                self._actions[opcode.name](argument)
            (value,) = self._stack
        except (ValueError, TypeError, LookupError, AttributeError, struct.error) as error:
            raise self._refusal(f"is damaged: {shown(str(error))}") from error
        return value

    def _refusal(self, message: str) -> RefusedFile:
        return RefusedFile(f"{self._what} {message}")

    def _check_protocol(self, protocol: int) -> None:
        if protocol != PROTOCOL:
            raise self._refusal(f"is written in protocol {protocol}; torch writes {PROTOCOL}")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _remember(self, key: int) -> None:
        self._memo[key] = self._stack[-1]

    def _last(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError("a value is missing")
        taken = self._stack[-count:]
        del self._stack[-count:]
        return taken

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        taken = self._stack[mark:]
        del self._stack[mark:]
        return taken

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise TypeError("values are appended to what is no list")
        target.extend(values)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        # Other keys, such as tuples of tuples, could take ages to compare.
        if type(target) is not dict or any(type(key) not in {str, int} for key in items[::2]):
            raise TypeError("an entry is set with a key that is neither text nor a number")
        target.update(zip(items[::2], items[1::2], strict=True))

    def _name_global(self, name: str) -> None:
        allowed = {BUILDS_TENSOR, BUILDS_DICTIONARY, *(f"torch {name}" for name in STORAGES)}
        if name not in allowed:
            raise self._refusal(
                f"names {shown(name.replace(' ', '.'))}, which no state dict needs: it may be "
                "meant to run code, and is not loaded"
            )
        self._push(_Global(name))

    def _find_storage(self) -> None:
        kind, storage, key, location, length = self._last(1)[0]
        # Of a key that is a tuple of tuples, the hash alone could take ages.
        is_known = type(key) is str and type(location) is str and type(length) is int
        if kind != "storage" or not is_known:
            raise TypeError("a storage is not described as torch does")
        n_bytes = length * STORAGES[storage.name.removeprefix("torch ")]
        if self._storage_bytes[key] != n_bytes:
            raise self._refusal(
                f"is damaged: it says {n_bytes} bytes of data/{key}, which has "
                f"{self._storage_bytes[key]}"
            )
        self._push(_Storage(length))

    def _build_value(self) -> None:
        function, arguments = self._last(2)
        if function == _Global(BUILDS_DICTIONARY) and arguments == ():
            self._push({})
        elif function == _Global(BUILDS_TENSOR):
            self._push(_tensor(*arguments))
        else:
            raise TypeError("something is called that is neither a tensor nor a dictionary")

    def _set_attributes(self) -> None:
        (attributes,) = self._last(1)
        # Modules note their versions there; anything else would hide the dictionary's methods.
        targets = {type(self._stack[-1]), type(attributes)}
        if targets != {dict} or attributes.keys() != {"_metadata"}:
            raise TypeError("attributes are set that no state dict has")


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any
) -> TensorShape:
    """Return a tensor's shape if its numbers lie within its storage."""
    numbers = [offset, *shape, *strides]
    if type(storage) is not _Storage or hooks != {} or type(requires_grad) is not bool:
        raise TypeError("a tensor is not described as torch does")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("a tensor's shape is no list of whole numbers")
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"a tensor has more than {MAX_DIMENSIONS} dimensions")
    reach = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    # A stride of 0 could make a few numbers look like billions.
    is_inside = offset + reach < storage.length and math.prod(shape) <= storage.length
    if 0 not in shape and not is_inside:
        raise ValueError("a tensor reaches beyond its numbers")
    return TensorShape(tuple(shape))
