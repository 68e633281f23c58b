"""Read YAML that may come from anywhere: plain values only, and never more than fits a page.

Nothing of it is run; a file that is too long, too deep or unfolds to too much is refused before a
value is made of it.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from apps.engine.algorithms import shown
from apps.engine.errors import FieldError, InvalidSpec

MAX_YAML_BYTES = 262_144
MAX_NODES = 20_000  # With every alias written out: a small file can unfold to billions.
MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Document:
    """What a YAML text holds.

    Attributes:
        value: Its value; None of an empty text.
        lines: Line of each element of the lists at the outermost object's keys, by key.
        repeated: Keys that an object has twice, each with its line; YAML lets the last one win.
    """

    value: Any
    lines: dict[str, list[int]]
    repeated: list[str]


def read(text: str) -> Document:
    """Read a text of YAML.

    Raises:
        InvalidSpec: It is no YAML, or it is longer, deeper or unfolds to more than is allowed.
    """
    if len(text.encode(errors="replace")) > MAX_YAML_BYTES:
        raise _refused(f"longer than {MAX_YAML_BYTES} bytes")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _measure(node, {}, 0)
                lines, repeated = _lines(node), _repeated(node)  # Before merges change the nodes.
                return Document(loader.construct_document(node), lines, repeated)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise _refused(f"not YAML that can be read: {shown(str(error))}") from error
    return Document(None, {}, [])


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


def _lines(root: yaml.Node) -> dict[str, list[int]]:
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return {
        str(key.value): [element.start_mark.line + 1 for element in value.value]
        for key, value in pairs
        if isinstance(value, yaml.SequenceNode)
    }


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
