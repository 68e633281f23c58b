"""What the stack asks of the system."""

import resource
from collections.abc import Iterator

import pytest

from apps.jobs.worker import stack


@pytest.fixture
def allowed() -> Iterator[int]:
    """Allow this process few open files, and return how many it may ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_viewers_may_be_open_where_the_system_grants_it(allowed: int) -> None:
    stack._allow_many_files()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == allowed
    assert soft == (stack.MAX_OPEN_FILES if hard < 0 else min(stack.MAX_OPEN_FILES, hard))
