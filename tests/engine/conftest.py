"""Worlds that the engine's tests name without their module."""

from tests import worlds

worlds.register()
