"""A server for clients that are in a hurry."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.client import rlgym_client
from tests.client.fake_server import FakeServer


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Send soon, give up soon, and keep files in a folder of the test's own."""
    monkeypatch.setattr(rlgym_client, "SEND_INTERVAL_S", 0.01)
    monkeypatch.setattr(rlgym_client, "MAX_PAUSE_S", 0.05)
    monkeypatch.setattr(rlgym_client, "FINISH_TIMEOUT_S", 5.0)
    monkeypatch.setenv("RLGYM_SPOOL", str(tmp_path))
