"""Ids of environments, and paths of wrappers: which there are, and what is wrong with one."""

import re
from typing import Any

import gymnasium
from gymnasium import spaces

from apps.catalogue.algorithms.algorithm import SpaceKind
from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.families import FAMILIES, Family
from apps.catalogue.extras import is_there
from apps.text.suggestions import closest
from apps.words import shown

ENVIRONMENT_ID = re.compile(r"([\w.]+:)?([\w-]+/)?[\w.-]+")  # To be matched in full.
ENTRY_POINT_GROUP = "rlgym.environments"  # Where an installed package names its environments.
WRAPPER_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # Likewise.


def space_kind(space: spaces.Space[Any]) -> SpaceKind:
    """Return the kind of a Gymnasium space."""
    kinds: dict[type, SpaceKind] = {
        spaces.Discrete: "discrete",
        spaces.Box: "box",
        spaces.MultiDiscrete: "multi_discrete",
        spaces.MultiBinary: "multi_binary",
    }
    return next((kind for known, kind in kinds.items() if isinstance(space, known)), "other")


def known_ids() -> list[str]:
    """Return every id that Gymnasium has registered in this process, sorted."""
    return sorted(gymnasium.registry)


def unknown_message(environment: str) -> str:
    """Say that an id is unknown and which ones come close."""
    close = closest(environment, known_ids(), 3)
    few = ", ".join([card for card in ENVIRONMENTS if family_of(card) is None][:5])
    hint = f"did you mean {' or '.join(close)}?" if close else f"try {few}"
    return f"{environment!r} is not a registered environment; {hint}"


def family_name(environment: str) -> str:
    """Return the key of the family whose ids look like this one and need something of it, or "".

    Classic control, Box2D and MuJoCo need nothing: Gymnasium registers their ids by itself.
    """
    looks = (
        name
        for name, family in FAMILIES.items()
        if family.ids and re.fullmatch(family.ids, environment)
    )
    return next(looks, "")


def family_of(environment: str) -> Family | None:
    """Return the family of that key, None where there is none."""
    return FAMILIES.get(family_name(environment))


def is_installed(family: str) -> bool:
    """Return whether a family's package is there, without importing it."""
    return is_there(FAMILIES[family].package)


def wrong_with_wrapper(wrapper: Any) -> str:
    """Return what is wrong with one entry of `RunSpec.wrappers`, empty when nothing is."""
    path, kwargs = wrapper, {}
    if isinstance(wrapper, dict) and "path" in wrapper and set(wrapper) <= {"path", "kwargs"}:
        path, kwargs = wrapper["path"], wrapper.get("kwargs", {})
    if not isinstance(path, str) or len(path) > 200 or not WRAPPER_PATH.fullmatch(path):
        return (
            f"{shown(wrapper)} is not a wrapper; write module:Class, "
            'or {"path": "module:Class", "kwargs": {...}}'
        )
    if not isinstance(kwargs, dict) or not all(isinstance(name, str) for name in kwargs):
        return f"{shown(kwargs)} is not an object of keyword arguments by name"
    return ""
