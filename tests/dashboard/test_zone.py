"""Days and times are in one zone: the reader's, or UTC where no script told it."""

import string
from datetime import UTC, datetime

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from apps.dashboard.templatetags.instruments import moment
from apps.dashboard.zone import COOKIE, zone_named
from tests.builders import make_run

# In Kiritimati (UTC+14) it is the next day already, in Niue (UTC-11) the day before still.
MADE = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
DAYS = [("", "2026-11-20"), ("Pacific/Kiritimati", "2026-11-21"), ("Pacific/Niue", "2026-11-19")]


def listed(reader: Client, **query: str) -> list[str]:
    return [run.name for run in reader.get("/runs/", query).context["page"].rows]


@pytest.fixture
def made(reader: Client) -> Client:
    """A reader of one run."""
    make_run(name="made", created_at=MADE)
    return reader


@pytest.mark.parametrize(("zone", "day"), DAYS)
@pytest.mark.parametrize("is_told_by", ["cookie", "address"])
def test_a_day_is_a_day_of_the_readers_zone(
    made: Client, zone: str, day: str, is_told_by: str
) -> None:
    extra = {}
    if is_told_by == "cookie":
        made.cookies[COOKIE] = zone
    else:
        extra = {"zone": zone}
    for _, other in DAYS:
        shown = listed(made, created_from=other, created_to=other, **extra)
        assert shown == (["made"] if other == day else [])


@pytest.mark.parametrize(("zone", "day"), DAYS)
def test_the_page_says_which_zone_and_writes_times_in_it(
    made: Client, zone: str, day: str
) -> None:
    made.cookies[COOKIE] = zone
    html = made.get("/runs/").content.decode()
    assert f"Created from ({zone or 'UTC'})" in html
    assert f"Times and days are in <span data-zone>{zone or 'UTC'}</span>" in html
    assert f'<time datetime="2026-11-20T10:30:00+00:00">{day} ' in html
    if not zone:
        assert "10:30 UTC</time>" in html


def test_the_admin_is_in_the_same_zone(made: Client) -> None:
    made.cookies[COOKIE] = "Pacific/Kiritimati"
    html = made.get("/admin/experiments/run/").content.decode()
    assert "Nov. 21, 2026" in html
    assert "<span data-zone>Pacific/Kiritimati</span>" in html


def test_a_zone_that_there_is_not_is_refused_in_the_address(made: Client) -> None:
    response = made.get("/runs/", {"zone": "Mars/Olympus", "created_from": "2026-11-20"})
    assert "must be a zone as Europe/Berlin, or UTC" in response.content.decode()
    assert [run.name for run in response.context["page"].rows] == ["made"]


@pytest.mark.parametrize("cookie", ["Europe", "../../etc/passwd", "/etc", "", "é", "x" * 4000])
def test_a_cookie_that_names_no_zone_is_passed_over(made: Client, cookie: str) -> None:
    made.cookies[COOKIE] = cookie
    assert "Created from (UTC)" in made.get("/runs/").content.decode()


@given(st.text() | st.text(string.ascii_letters + "/._-+0\0"))
def test_whatever_is_called_a_zone_is_one_or_none(name: str) -> None:
    zone = zone_named(name)
    assert zone is None or str(zone) == name


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
def test_the_ends_of_time_narrow_nothing(made: Client, day: str, zone: str) -> None:
    end = {"created_from": day} if day < "1" else {"created_to": day}
    assert listed(made, zone=zone, **end) == ["made"]


def test_times_without_a_known_zone_are_in_utc() -> None:
    assert "10:30 UTC" in moment(MADE)
