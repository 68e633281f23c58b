"""Text that is typed, read without running anything: JSON, Python's literals, zoo expressions."""

import ast
import math
from typing import Any

from apps.errors import FieldError, InvalidSpec
from apps.text import strict_json
from apps.text.strict_json import GivenTwice
from apps.text.whole_numbers import written_whole
from apps.words import shown

MAX_EXPRESSION_LENGTH = 4096
MAX_DEPTH = 20
# What reading a text may raise that is none of what it should be.
READING = (SyntaxError, ValueError, RecursionError, MemoryError)


def read_typed(text: str) -> Any:
    """Return what a text stands for: a whole number, JSON, a Python literal, else the text.

    Raises:
        GivenTwice: It is an object that has a key twice.
    """
    number = written_whole(text)
    if number is not None:
        return number
    for read in (strict_json.loads, _read_literal):
        try:
            return read(text)
        except GivenTwice:
            raise
        except READING:
            continue
    return text


def parse_expression(text: str) -> Any:
    """Read `dict(net_arch=[256, 256], activation_fn=nn.ReLU)`; nothing in it is ever run.

    Raises:
        InvalidSpec: It holds anything but `dict(…)`, literals, lists and dotted names, or gives a
            name twice.
    """
    try:
        return _read(text, may_name=True)
    except READING as error:
        message = f"{shown(text)} cannot be read: {shown(str(error))}"
        raise InvalidSpec([FieldError("", message)]) from error


def _read_literal(text: str) -> Any:
    return _read(text, may_name=False)


def _read(text: str, may_name: bool) -> Any:
    if len(text) > MAX_EXPRESSION_LENGTH:
        raise ValueError(f"an expression is longer than {MAX_EXPRESSION_LENGTH} characters")
    return _value_of(ast.parse(text.strip(), mode="eval").body, 0, may_name)


def _value_of(node: ast.expr, depth: int, may_name: bool) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    deeper = depth + 1
    match node:
        case ast.Constant(value=bool() | int() | str() | None as value):
            return value
        case ast.Constant(value=float() as number) if math.isfinite(number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.UnaryOp(op=ast.UAdd(), operand=ast.Constant(value=int() | float() as number)):
            return number
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value_of(element, deeper, may_name) for element in elements]
        case ast.Dict(keys=keys, values=values) if None not in keys:
            names = [_name_of(key) for key in keys]
            return _named(names, [_value_of(value, deeper, may_name) for value in values])
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if may_name:
            if any(keyword.arg is None for keyword in keywords):
                raise ValueError("** is not allowed")
            values = [_value_of(keyword.value, deeper, may_name) for keyword in keywords]
            return _named([str(keyword.arg) for keyword in keywords], values)
        case ast.Attribute(value=inner, attr=attribute) if may_name:
            return f"{_value_of(inner, deeper, may_name)}.{attribute}"
        case ast.Name(id=name) if may_name:
            return name
    raise ValueError(f"{type(node).__name__} is not allowed")


def _named(names: list[str], values: list[Any]) -> dict[str, Any]:
    if len({*names}) < len(names):
        twice = min(name for name in names if names.count(name) > 1)
        raise GivenTwice(twice)
    return dict(zip(names, values, strict=True))


def _name_of(key: ast.expr | None) -> str:
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        return key.value
    raise ValueError("a key is not text")
