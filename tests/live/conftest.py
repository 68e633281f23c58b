"""Logs to watch, and viewers of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.accounts.models import ApiToken
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.live import board, tail
from tests.builders import make_run
from tests.live.viewers import metric


@pytest.fixture
def run(home: Path, transactional_db: None) -> Run:
    """A running run with ten events in its log."""
    made = make_run(status=RunStatus.RUNNING, owner="here:1:x")
    made.directory.append(*[metric(step) for step in range(10)])
    return made


@pytest.fixture
def user(transactional_db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def token(user: User) -> str:
    return ApiToken.objects.issue(user, "tests")


@pytest.fixture
def cookie(user: User, settings: Any) -> bytes:
    """The cookie of a browser that is logged in."""
    settings.ALLOWED_HOSTS = ["lab.example", "testserver"]
    client = Client()
    client.force_login(user)
    return f"sessionid={client.cookies['sessionid'].value}".encode()


@pytest.fixture(autouse=True)
async def nothing_is_left_behind() -> AsyncIterator[None]:
    """Every test ends without a tail, a board or a task of ours."""
    before = asyncio.all_tasks()
    yield
    for _ in range(100):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left and not tail._tails and not board._boards:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"left behind: {tail._tails} {board._boards} {left}")
