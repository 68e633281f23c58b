"""How numbers, times and statuses read."""

from datetime import UTC, datetime

import pytest

from apps.dashboard.templatetags import instruments


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (0, "0"),
        (1234567, "1,234,567"),
        (500.0, "500"),
        (12345.678, "12,346"),
        (487.256, "487.3"),
        (-1.23456, "-1.235"),
        (0.012345, "0.0123"),
        (0.00001234, "1.23e-5"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_numbers_read_well(value: float | None, text: str) -> None:
    assert instruments.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (0.4, "0 s"),
        (59.6, "1 min 00 s"),
        (61, "1 min 01 s"),
        (3660, "1 h 01 min"),
        (90_000, "1 d 01 h"),
    ],
)
def test_durations_read_in_two_units(seconds: float | None, text: str) -> None:
    assert instruments.duration(seconds) == text


def test_only_the_whole_is_a_hundred_percent() -> None:
    assert instruments.percent(0.9999) == "99 %"
    assert instruments.percent(1.0) == "100 %"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ([64, 64], "64, 64"),
        (0.0003, "0.0003"),
        (1, "1"),
        ("lin_0.001", "lin_0.001"),
    ],
)
def test_settings_read_as_they_are_typed(value: object, text: str) -> None:
    assert instruments.setting(value) == text


def test_a_status_is_told_by_icon_and_text() -> None:
    html = instruments.badge("failed")
    assert "<svg" in html
    assert "failed</span>" in html
    assert "no heartbeat" in instruments.badge("running", is_silent=True)


def test_times_carry_their_zone() -> None:
    at = datetime(2026, 11, 20, 9, 5, tzinfo=UTC)
    text = '<time datetime="2026-11-20T09:05:00+00:00">2026-11-20 09:05 UTC</time>'
    assert instruments.moment(at) == text
    assert instruments.moment(at.timestamp()) == text
    assert instruments.moment(None) == "—"
