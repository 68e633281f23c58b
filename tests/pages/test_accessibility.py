"""Every page in a real browser as axe judges it, and the header at every width.

`axe/axe.min.js` is axe-core of Deque Systems (MPL-2.0), unchanged; see its licence beside it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.conftest import (
    TRAINING_TIMEOUT_MS,
    Served,
    assert_no_sideways_scroll,
    start_run,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
PATHS = (
    "/",
    "/runs/",
    "/runs/new/?algorithm=ppo",
    "/runs/new/?algorithm=sac",
    "/experiments/",
    "/environments/",
    "/environments/CartPole-v1/",
    "/videos/",
    "/runs/no-such-run/",
    "/login/used-already/",
    "/admin/",
    "/admin/experiments/run/",
    "/admin/login/?next=/",
)
WIDTHS = (1280, 1100, 1099, 1024, 900, 768, 375)
HEADER_PARTS = ("#site-name", ".main-nav", "#user-tools .button", "#logout-form button")


@pytest.fixture(scope="module")
def run_path(browser: Browser, session: dict[str, object], served: Served) -> str:
    """The address of a run that has ended, with its evaluation."""
    context = browser.new_context(storage_state=session)  # type: ignore[arg-type]
    page = context.new_page()
    start_run(page, served, "ppo", 4_000)
    expect(page.locator("#run-header .badge-completed")).to_be_visible(timeout=TRAINING_TIMEOUT_MS)
    expect(page.locator("#evaluations .badge-completed")).to_be_visible(
        timeout=TRAINING_TIMEOUT_MS
    )
    path = page.url.removeprefix(served.address)
    context.close()
    return path


@pytest.fixture(params=["light", "dark"])
def judged(
    request: pytest.FixtureRequest, browser: Browser, session: dict[str, object]
) -> Iterator[Page]:
    """A page that takes axe's script, which our policy would refuse."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        color_scheme=request.param,
        storage_state=session,  # type: ignore[arg-type]
        bypass_csp=True,
    )
    yield context.new_page()
    context.close()


def violations(page: Page) -> list[str]:
    """Open what is folded and return what axe finds, one line each."""
    page.evaluate("for (const d of document.querySelectorAll('details:not(.ask)')) d.open = true;")
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{one['impact']} {one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def test_axe_finds_nothing_on_any_page(judged: Page, served: Served, run_path: str) -> None:
    found = []
    for path in (*PATHS, run_path, f"{run_path}branch/", f"{run_path}checkpoints/last/"):
        judged.goto(served.address + path)
        judged.wait_for_timeout(500)
        found += [f"{path} {line}" for line in violations(judged)]
    assert found == []


def test_axe_finds_nothing_on_the_page_that_logs_in(browser: Browser, served: Served) -> None:
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(f"{served.address}/admin/login/")
    assert violations(page) == []
    context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_header_fits_at_every_width(
    browser: Browser, session: dict[str, object], served: Served, run_path: str, width: int
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        storage_state=session,  # type: ignore[arg-type]
    )
    page = context.new_page()
    for path in ("/", run_path, "/admin/experiments/run/"):
        page.goto(served.address + path)
        assert_no_sideways_scroll(page)
        places = [page.locator(part).first.bounding_box() for part in HEADER_PARTS]
        header = page.locator("#header").bounding_box()
        assert header is not None
        assert header["height"] <= 48 if width >= 1100 else header["height"] <= 80
        for place in places:
            assert place is not None
            assert place["x"] >= 0
            assert place["x"] + place["width"] <= width + 1
            assert header["y"] <= place["y"] + 1
            assert place["y"] + place["height"] <= header["y"] + header["height"] + 1
        nav = page.locator(".main-nav")
        if width >= 768:  # On a phone it scrolls sideways within itself.
            assert nav.evaluate("nav => nav.scrollWidth <= nav.clientWidth + 1"), "no way is cut"
        assert _overlaps(places) == []
    context.close()


def _overlaps(places: list[dict[str, float]]) -> list[tuple[int, int]]:
    def apart(one: dict[str, float], other: dict[str, float]) -> bool:
        return (
            one["x"] + one["width"] <= other["x"] + 1
            or other["x"] + other["width"] <= one["x"] + 1
            or one["y"] + one["height"] <= other["y"] + 1
            or other["y"] + other["height"] <= one["y"] + 1
        )

    pairs = [(a, b) for a in range(len(places)) for b in range(a)]
    return [(a, b) for a, b in pairs if not apart(places[a], places[b])]
