"""Numbers for people: a browser writes them as the server does, and axes tell ticks apart."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, Route

from apps import words
from tests.number_words import CASES

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SCRIPTS = Path(__file__).parents[2] / "apps" / "dashboard" / "static" / "dashboard" / "lib"
ORIGIN = "http://scripts.test"
NUMBERS = st.lists(st.floats(), min_size=1, max_size=200)


@pytest.fixture(scope="module")
def scripts(browser: Browser) -> Iterator[Page]:
    """A blank page of an origin that has our scripts and nothing else."""
    context = browser.new_context()
    page = context.new_page()
    page.route(f"{ORIGIN}/**", _serve)
    page.goto(f"{ORIGIN}/")
    yield page
    context.close()


def _serve(route: Route) -> None:
    name = route.request.url.rpartition("/")[2]
    if not name:
        route.fulfill(body="<!doctype html><title>scripts</title>", content_type="text/html")
        return
    route.fulfill(body=(SCRIPTS / name).read_text(), content_type="text/javascript")


def written(page: Page, values: list[float]) -> list[str]:
    """Return numbers as the browser writes them."""
    script = (
        "async (all) => { const { number } = await import('/format.js'); return all.map(number); }"
    )
    return page.evaluate(script, values)


def ticks(page: Page, values: list[float | None], power: int = 0) -> list[str]:
    """Return the labels of an axis."""
    script = "async ([all, power]) => (await import('/format.js')).ticks(all, power)"
    return page.evaluate(script, [values, power])


def test_a_browser_writes_the_cases_as_the_server_does(scripts: Page) -> None:
    values = [value for value, _ in CASES if not isinstance(value, int) or abs(value) < 2**53]
    assert written(scripts, values) == [words.number(value) for value in values]


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(values=NUMBERS)
@example(values=[0.5, 1.5, 1000.5, 1001.5, -1000.5, 2.0005, 999.95, 0.00099995, 1e15, 0.0001])
def test_a_browser_writes_any_number_as_the_server_does(
    scripts: Page, values: list[float]
) -> None:
    assert written(scripts, values) == [words.number(value) for value in values]


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    start=st.floats(-1e12, 1e12),
    gap=st.floats(1e-3, 1e9),
    count=st.integers(2, 9),
)
@example(start=1e6, gap=0.002, count=8)
@example(start=1e9, gap=0.002, count=8)
@example(start=0.0, gap=1e-3, count=5)
def test_no_two_ticks_of_an_axis_read_alike(
    scripts: Page, start: float, gap: float, count: int
) -> None:
    values = sorted({start + gap * index for index in range(count)})
    labels = ticks(scripts, values)
    assert len(set(labels)) == len(values)
    assert max(map(len, labels)) <= 22


@pytest.mark.parametrize(
    ("values", "power", "labels"),
    [
        ([0, 200, 400], 0, ["0", "200", "400"]),
        ([None, 0.5, None, 1.0], 0, ["", "0.5", "", "1"]),
        (
            [1e6 + 0.02, 1e6 + 0.04, 1e6 + 0.06],
            0,
            ["1,000,000.02", "1,000,000.04", "1,000,000.06"],
        ),
        ([1e9, 1e9 + 0.02, 1e9 + 0.04], 0, ["1,000,000,000", "+0.02", "+0.04"]),
        ([0.0, 1.0, 2.0, 3.0], 38, ["0", "1e38", "2e38", "3e38"]),
        ([-1.5, 0.0, 1.5], 308, ["-1.5e308", "0", "1.5e308"]),
        ([1.0, 1.0002, 1.0004], 38, ["1e38", "1.0002e38", "1.0004e38"]),
        ([2.5, 5.0], -12, ["2.5e-12", "5e-12"]),
    ],
)
def test_ticks_have_as_many_digits_as_they_need(
    scripts: Page, values: list[float | None], power: int, labels: list[str]
) -> None:
    assert ticks(scripts, values, power) == labels


def test_both_places_have_one_set_of_bounds() -> None:
    script = (SCRIPTS / "format.js").read_text()
    bounds = {
        name: re.search(rf"{name} = (\S+);", script)
        for name in ("GREATEST_WRITTEN_OUT", "LEAST_WRITTEN_OUT")
    }
    for name, found in bounds.items():
        assert found is not None
        assert float(found[1]) == float(getattr(words, name))
