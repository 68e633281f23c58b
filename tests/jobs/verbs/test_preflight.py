"""The verb that checks: an environment that hangs is told, and leaves nothing behind."""

from pathlib import Path

import pytest
from pytest_django import Settings

from apps.jobs.verbs.preflight import AT_ONCE, Busy, _slots, preflight
from tests.builders import TINY_PPO
from tests.worlds.misbehaving import is_gone

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.mark.slow
def test_an_environment_that_hangs_is_given_up_with_what_was_known(
    tmp_path: Path, settings: Settings
) -> None:
    settings.CHECK_LIMIT_S = 1
    kwargs = {"hangs_in": "step", "pid_file": str(tmp_path / "pid")}
    hangs = {"environment": "tests.worlds.misbehaving:Hangs-v0", "environment_kwargs": kwargs}
    result = preflight({**TINY_PPO, **hangs})
    (finding,) = result.findings
    assert finding.severity == result.severity == "refusal"
    assert "did not come back while taking random steps within 1 s" in finding.message
    assert "it hung in _hang (" in finding.message
    assert "in step" in result.traceback
    assert result.environment is not None
    assert is_gone(tmp_path / "pid")


def test_no_more_checks_run_at_once_than_a_server_can_bear() -> None:
    for _ in range(AT_ONCE):
        assert _slots.acquire(blocking=False)
    try:
        with pytest.raises(Busy, match="try again in some seconds"):
            preflight(TINY_PPO)
    finally:
        _slots.release(AT_ONCE)
