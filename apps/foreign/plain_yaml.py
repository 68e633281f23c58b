"""Read YAML that may come from anywhere: plain values only, and never more than fits a page.

Nothing of it is run; a file that is too long, too deep or unfolds to too much is refused before a
value is made of it. What is refused is shown: its line, its column and the line itself.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import yaml

from apps.errors import FieldError, InvalidSpec
from apps.text.whole_numbers import whole_number
from apps.words import shown

MAX_YAML_BYTES = 262_144
MAX_NODES = 20_000  # With every alias written out: a small file can unfold to billions.
MAX_DEPTH = 20
MAX_LINE = 160  # Characters of a line, or of a parser's words, that a refusal repeats.


# Where a value stands: the keys and places in lists that lead to it.
Path = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Reads numbers as people write them: YAML 1.1 wants a point and a sign in `1.0e+5`."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make a value, and say where one stands that is none: a 13th month."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            problem = f"{shown(str(error))} of {shown(node.value)}"
            mark = node.start_mark
            raise yaml.constructor.ConstructorError(None, None, problem, mark) from error


WHOLE_TAG = "tag:rlgym,2026:whole"
_Loader.add_implicit_resolver(
    WHOLE_TAG, re.compile(r"[-+]?[1-9](?:_?\d)*[eE]\+?\d{1,2}$", re.ASCII), list("-+123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$", re.ASCII),
    list("-+.0123456789"),
)
_Loader.add_constructor(
    WHOLE_TAG, lambda loader, node: whole_number(node.value) or float(node.value.replace("_", ""))
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a text.

    Attributes:
        line: Its line, from 1.
        column: Its column, from 1.
        text: The line itself, cut short where it is long.
    """

    line: int
    column: int
    text: str = ""

    @classmethod
    def of(cls, mark: yaml.Mark, lines: list[str]) -> Self:
        """Return where a parser's mark is."""
        text = lines[mark.line] if mark.line < len(lines) else ""
        return cls(mark.line + 1, mark.column + 1, text[:MAX_LINE])

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"

    def shown(self) -> str:
        """Return the line with a caret under the place, empty where neither can be shown."""
        printable = _printable(self.text)
        if not printable.strip() or self.column > len(printable) + 1:
            return ""
        return f"\n  {printable}\n  {' ' * (self.column - 1)}^"


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML text holds.

    Attributes:
        value: Its value; None of an empty text.
        marks: Where each value stands, by what leads to it; keys as they are written.
        repeated: Keys that an object has twice, each with its line; YAML lets the last one win.
    """

    value: Any
    marks: dict[Path, Mark]
    repeated: list[str]

    def nearest(self, path: Path) -> Mark | None:
        """Return where a value stands, or what holds it where it is not there itself."""
        found = (self.marks.get(path[:length]) for length in range(len(path), -1, -1))
        return next((mark for mark in found if mark is not None), None)

    def shown_at(self, *path: str | int) -> str:
        """Say, for the end of a refusal, where a value stands, and show its line."""
        mark = self.nearest(path)
        return f" ({mark}){mark.shown()}" if mark else ""


def read(text: str) -> Document:
    """Read a text of YAML.

    Raises:
        InvalidSpec: It is no YAML, or it is longer, deeper or unfolds to more than is allowed.
    """
    if len(text.encode(errors="replace")) > MAX_YAML_BYTES:
        raise _refused(f"longer than {MAX_YAML_BYTES} bytes")
    lines = text.splitlines()
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _measure(node, {}, 0)
                # Before merges change the nodes.
                marks, repeated = dict(_marks(node, (), lines)), _repeated(node)
                return Document(loader.construct_document(node), marks, repeated)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _refused(f"not YAML that can be read: {_told(error, lines)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refused(f"not YAML that can be read: line {line}: {error.reason}") from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise _refused(f"not YAML that can be read: {shown(str(error))}") from error
    return Document(None, {}, [])


def _told(error: yaml.MarkedYAMLError, lines: list[str]) -> str:
    """Say what a parser found, where, and show the line."""
    said = ", ".join(filter(None, [error.context, error.problem])) or "not as it must be"
    said, found = _printable(said[:MAX_LINE]), error.problem_mark or error.context_mark
    if found is None:
        return said
    mark = Mark.of(found, lines)
    return f"{mark}: {said}{mark.shown()}"


def _printable(text: str) -> str:
    """Return a text whose characters each take one place and do nothing else."""
    return "".join(char if char.isprintable() else " " for char in text)


def _refused(message: str) -> InvalidSpec:
    return InvalidSpec([FieldError("", message)])


def _measure(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Return how many nodes a node unfolds to; refuse too many, too deep, and cycles."""
    if depth > MAX_DEPTH:  # A node inside itself never ends, and is refused here.
        raise _refused(f"nested more than {MAX_DEPTH} deep")
    if id(node) not in known:
        total = 1
        for child in _children(node):
            total += _measure(child, known, depth + 1)
            if total > MAX_NODES:
                raise _refused(f"unfolds to more than {MAX_NODES} values")
        known[id(node)] = total
    return known[id(node)]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _marks(node: yaml.Node, path: Path, lines: list[str]) -> Iterator[tuple[Path, Mark]]:
    yield path, Mark.of(node.start_mark, lines)
    if isinstance(node, yaml.SequenceNode):
        for index, inner in enumerate(node.value):
            yield from _marks(inner, (*path, index), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, inner in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield from _marks(inner, (*path, key.value), lines)
                yield (*path, key.value), Mark.of(key.start_mark, lines)


def _repeated(root: yaml.Node) -> list[str]:
    found: list[str] = []
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            waiting += _children(node)
            found += _repeated_keys(node) if isinstance(node, yaml.MappingNode) else []
    return sorted(found)


def _repeated_keys(node: yaml.MappingNode) -> list[str]:
    found: list[str] = []
    known: set[str] = set()
    for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
        if key.value in known:
            found.append(f"{key.value} (line {key.start_mark.line + 1})")
        known.add(key.value)
    return found
