"""A page whose server was stopped, killed or cut off says so, and finds back by itself."""

import os
import re
import signal
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.browsing import TRAINING_TIMEOUT_MS, Served, start_run, stop_run

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

# "Within a few seconds": a silence, and an answer that does not come.
TOLD_WITHIN_MS = 12_000
FOUND_WITHIN_MS = 60_000


@pytest.fixture(scope="module")
def going_on(browser: Browser, session: dict[str, object], served: Served) -> Iterator[str]:
    """The address of a run that goes on; the run is stopped afterwards."""
    context = browser.new_context(storage_state=session)  # type: ignore[arg-type]
    page = context.new_page()
    start_run(page, served, "ppo", 50_000_000)
    yield page.url
    stop_run(page)
    expect(page.locator("#run-header .badge-stopped")).to_be_visible(timeout=TRAINING_TIMEOUT_MS)
    context.close()


@pytest.fixture
def watched(browser: Browser, session: dict[str, object], going_on: str) -> Iterator[Page]:
    """The page of that run, which shows that it trains."""
    context = browser.new_context(storage_state=session)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(going_on)
    expect(page.locator("#run-header .badge-running")).to_be_visible(timeout=TRAINING_TIMEOUT_MS)
    expect(page.locator("#run-header")).to_contain_text("Left", timeout=TRAINING_TIMEOUT_MS)
    expect(page.locator("#contact")).to_be_hidden()
    yield page
    context.close()


def web_server(served: Served) -> psutil.Process:
    """Return the web server of the stack."""
    port = int(served.address.rpartition(":")[2])
    for process in psutil.Process().children(recursive=True):
        listens = [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
        if any(connection.laddr.port == port for connection in listens):
            return process
    raise AssertionError(f"nobody listens on {port}")


def expect_lost(page: Page) -> None:
    """Wait until the page says that it hears nothing, since when, and what is stale."""
    banner = page.locator("#contact")
    expect(banner).to_be_visible(timeout=TOLD_WITHIN_MS)
    expect(banner).to_contain_text(re.compile(r"heard from the server since .*\d.*s ago"))
    for part in (".badge-running", ".fades"):
        shown = page.locator(f"#run-header {part}")
        after = shown.first.evaluate("one => getComputedStyle(one, '::after').content")
        assert "last known" in after


def expect_found(page: Page) -> None:
    """Wait until it goes on by itself: the step moves, the stream is live."""
    expect(page.locator("#contact")).to_be_hidden(timeout=FOUND_WITHIN_MS)
    expect(page.locator("body.is-stale")).to_have_count(0)
    step = page.locator("#run-header .readings dd").first
    before = step.inner_text()
    expect(step).not_to_have_text(before, timeout=FOUND_WITHIN_MS)
    expect(page.locator("#charts")).to_have_attribute(
        "data-stream", "live", timeout=FOUND_WITHIN_MS
    )


def test_a_killed_server_is_told_and_found_again(watched: Page, served: Served) -> None:
    server = web_server(served)
    stack = server.parent()
    assert stack is not None
    stack.suspend()  # It would start another one at once.
    try:
        server.kill()
        expect_lost(watched)
    finally:
        stack.resume()
    expect_found(watched)


def test_a_server_that_hangs_is_told_and_found_again(watched: Page, served: Served) -> None:
    server = web_server(served)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        expect_lost(watched)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    expect_found(watched)


def test_a_lost_network_is_told_and_found_again(watched: Page, served: Served) -> None:
    watched.context.set_offline(True)
    expect_lost(watched)
    expect(watched.locator("#contact")).to_contain_text("This browser is offline")
    watched.context.set_offline(False)
    expect_found(watched)


def test_a_dashboard_tells_it_too(watched: Page, served: Served) -> None:
    page = watched.context.new_page()
    page.goto(f"{served.address}/")
    expect(page.locator("#active-runs .badge-running")).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#contact")).to_be_visible(timeout=TOLD_WITHIN_MS)
    page.context.set_offline(False)
    expect(page.locator("#contact")).to_be_hidden(timeout=FOUND_WITHIN_MS)
    page.close()
