"""What a person does in a page, and what may not happen meanwhile."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

TRAINING_TIMEOUT_MS = 120_000
SIZES = {"desk": (1280, 900), "phone": (375, 740)}


@dataclass(frozen=True, slots=True)
class Served:
    """A running stack.

    Attributes:
        address: Where it answers, without a trailing slash.
        login: The one-time address that it printed.
        home: Its data directory.
    """

    address: str
    login: str
    home: Path


class Witness:
    """What went wrong in a page: console errors, exceptions, requests to a foreign origin."""

    def __init__(self, page: Page, address: str) -> None:
        self.complaints: list[str] = []
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("request", lambda request: self._request(request.url, address))

    def _console(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(f"{kind}: {text}")

    def _request(self, url: str, address: str) -> None:
        is_ours = url.startswith((address, address.replace("http", "ws", 1), "data:", "blob:"))
        if not is_ours:
            self.complaints.append(f"foreign request: {url}")


def assert_no_sideways_scroll(page: Page) -> None:
    """Whoever reads, at a desk or on a phone, scrolls down only."""
    size = page.viewport_size
    assert size is not None
    others = [{"width": width, "height": height} for width, height in SIZES.values()]
    fits = "width => document.documentElement.scrollWidth <= width"
    for each in (size, *others, size):  # It ends as it began.
        page.set_viewport_size(each)  # type: ignore[arg-type]
        # Charts take the width that is there a moment after it has changed.
        wait_until(page, lambda width=each["width"]: page.evaluate(fits, width))


def start_run(page: Page, served: Served, algorithm: str, steps: int) -> None:
    """Fill in the form and send it.

    Not the Fast preset: what is solved in a second has a curve that stands still.
    """
    page.goto(f"{served.address}/runs/new/?algorithm={algorithm}&preset=high_score")
    page.get_by_label("Exact steps").fill(str(steps))
    page.get_by_label("Seed", exact=True).fill("7")
    page.locator("#run-form button.primary").click()
    expect(page).to_have_url(re.compile(r"/runs/[a-z0-9]{10}/$"))


def stop_run(page: Page) -> None:
    """Ask for a stop and confirm it."""
    page.locator("summary", has_text="Stop").click()
    page.get_by_role("button", name="Stop this run").click()


def label_of(page: Page, title: str) -> str:
    """Return what a chart tells a screen reader."""
    return page.locator(f"figure[data-title='{title}']").get_attribute("aria-label") or ""


def wait_until(page: Page, is_so: Callable[[], bool]) -> None:
    """Wait in small steps: Playwright's own waiting needs `eval`, which the policy forbids."""
    for _ in range(150):
        if is_so():
            return
        page.wait_for_timeout(100)
    pytest.fail(f"waited 15 s in vain at {page.url}, {page.viewport_size}")
