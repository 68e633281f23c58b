"""What tests of commands share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="package")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory for commands that are refused: they leave it as it was."""
    return tmp_path_factory.mktemp("shared")
