"""Every page in a real browser as axe judges it, and the header at every width.

`axe/axe.min.js` is axe-core of Deque Systems (MPL-2.0), unchanged; see its licence beside it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.pages.browsing import Served

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
SETTLES_MS = 300  # Colours may take a moment to change.
COLOUR_RULES = "['color-contrast', 'link-in-text-block']"  # Those of axe's own choice.
WIDTHS = (1280, 1100, 1099, 1024, 900, 768, 375)
HEADER_PARTS = ("#site-name", ".main-nav", "#user-tools .button", "#logout-form button")


@pytest.fixture
def judged(browser: Browser, session: dict[str, object]) -> Iterator[Page]:
    """A page that takes axe's script, which our policy would refuse."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        color_scheme="light",
        storage_state=session,  # type: ignore[arg-type]
        bypass_csp=True,
    )
    yield context.new_page()
    context.close()


def violations(page: Page) -> list[str]:
    """Open what is folded and return what axe finds, one line each, in the light and in the dark.

    Of what axe judges, colours alone are others in the dark.
    """
    page.evaluate("for (const d of document.querySelectorAll('details:not(.ask)')) d.open = true;")
    page.evaluate(AXE)
    found, grounds = [], set()
    for scheme, rules in (("light", "undefined"), ("dark", COLOUR_RULES)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(SETTLES_MS)
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        options = f"{{resultTypes: ['violations'], runOnly: {rules}}}"
        judged = page.evaluate(f"axe.run(document, {options})")["violations"]
        found += [
            f"{scheme} {one['impact']} {one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in judged
        ]
    assert len(grounds) == 2, "it did become dark"
    return found


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


@pytest.mark.parametrize("path", ["/", "run", "/admin/experiments/run/"])
def test_the_header_fits_at_every_width(
    page: Page, served: Served, run_path: str, path: str
) -> None:
    page.goto(served.address + (run_path if path == "run" else path))
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
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
