"""The browser's zone: times are written in it, and a day that is filtered by is one of it."""

import pytest
from playwright.sync_api import Browser, expect

from tests.pages.browsing import Served, start_run

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


def test_days_and_times_are_those_of_the_browser(
    browser: Browser, session: dict[str, object], served: Served
) -> None:
    context = browser.new_context(
        storage_state=session,  # type: ignore[arg-type]
        timezone_id="Pacific/Kiritimati",
    )
    page = context.new_page()
    start_run(page, served, "ppo", 1_000)
    name = page.locator("h1").inner_text()
    at = page.locator("p.facts time")
    today = page.evaluate("new Date().toLocaleDateString('sv')")
    clock = page.evaluate(
        "at => new Intl.DateTimeFormat(undefined, {timeStyle: 'medium'}).format(new Date(at))",
        at.get_attribute("datetime"),
    )
    expect(at).to_have_text(clock)
    page.goto(f"{served.address}/runs/")
    expect(page.locator("footer")).to_contain_text("Pacific/Kiritimati")
    page.get_by_text("More filters").click()
    page.get_by_label("Created from (Pacific/Kiritimati)").fill(today)
    page.get_by_label("Created to (Pacific/Kiritimati)").fill(today)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("link", name=name)).to_be_visible()
    assert "zone=Pacific%2FKiritimati" in page.url
    context.close()
