"""A run's life in a real browser: pause, resume, branch, and points that no longer count.

Everything is real: `manage.py up`, its worker, its trainer.
"""

import re

import pytest
from playwright.sync_api import Page, expect

from apps.rundir import events
from apps.rundir.directory import RunDirectory
from tests.pages.browsing import (
    TRAINING_TIMEOUT_MS,
    Served,
    Witness,
    assert_no_sideways_scroll,
    start_run,
    stop_run,
    wait_until,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

ENOUGH_POINTS = 150


def expect_status(page: Page, status: str) -> None:
    """Wait until the header shows a status, without a reload."""
    badge = page.locator(f"#run-header .badge-{status}")
    expect(badge).to_be_visible(timeout=TRAINING_TIMEOUT_MS)


def points_of(page: Page, title: str) -> int:
    """Return how many points a chart has, from its table."""
    details = page.locator(f"figure[data-title='{title}'] .chart-table")
    details.evaluate("details => { details.open = false; }")
    page.wait_for_timeout(50)
    details.evaluate("details => { details.open = true; }")
    page.wait_for_timeout(50)
    found = re.search(r"([\d,]+) points", details.inner_text())
    return int(found[1].replace(",", "")) if found else 0


def wait_for_first_point(page: Page) -> None:
    """Wait until training has left a point on its chart."""
    canvas = page.locator("figure[data-title='Training return'] canvas")
    expect(canvas).to_be_visible(timeout=TRAINING_TIMEOUT_MS)


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_a_run_is_paused_resumed_and_branched(
    page: Page, served: Served, witness: Witness
) -> None:
    start_run(page, served, "ppo", 5_000_000)
    parent = page.url
    wait_for_first_point(page)
    page.get_by_role("button", name="Pause").click()
    expect_status(page, "paused")
    page.get_by_role("button", name="Resume").click()
    expect_status(page, "running")
    badge = page.locator("#run-header .fidelity summary")
    expect(badge).to_have_text("exact", timeout=TRAINING_TIMEOUT_MS)
    badge.click()
    page.wait_for_timeout(2500)
    expect(page.get_by_text("Nothing was lost")).to_be_visible()  # However often it is refreshed.
    expect(page.locator("#timeline")).to_contain_text(re.compile(r"Attempt 2 from step [\d,]+:"))
    assert_no_sideways_scroll(page)
    stop_run(page)
    expect_status(page, "stopped")
    page.locator("#checkpoints").get_by_role("link", name="Branch").first.click()
    rate = page.get_by_label("learning_rate")
    expect(rate).to_have_attribute("placeholder", re.compile("parent"))
    assert_no_sideways_scroll(page)
    rate.fill("7")
    page.get_by_role("button", name="Branch").click()
    expect(page.locator(".field-error")).to_contain_text("must be a number from")
    assert "422" in witness.complaints.pop(), "the browser's own word on the refusal"
    rate.fill("0.0001")
    page.get_by_role("button", name="Branch").click()
    expect(page).to_have_url(re.compile(r"/runs/[a-z0-9]{10}/$"))
    expect(page.locator("#lineage .differences")).to_contain_text("0.0001")
    expect_status(page, "running")
    expect(page.locator("#run-header .badge-exact")).to_be_visible(timeout=TRAINING_TIMEOUT_MS)
    assert_no_sideways_scroll(page)
    stop_run(page)
    expect_status(page, "stopped")
    page.locator("#lineage .relative a").click()
    expect(page).to_have_url(parent)
    child = page.locator("#lineage .children li")
    expect(child).to_contain_text("learning_rate")
    expect(child.locator(".badge-stopped")).to_be_visible()


@pytest.mark.usefixtures("witness")
def test_points_that_an_attempt_supersedes_leave_the_charts(page: Page, served: Served) -> None:
    start_run(page, served, "ppo", 5_000_000)
    run = RunDirectory(served.home / "media" / "runs" / page.url.rstrip("/").rpartition("/")[2])
    wait_for_first_point(page)
    titles = ("Training return", "Approximate KL")
    wait_until(page, lambda: min(points_of(page, title) for title in titles) > ENOUGH_POINTS)
    run.append(events.attempt(0, 2, "exact"))
    wait_until(page, lambda: max(points_of(page, title) for title in titles) < ENOUGH_POINTS)
    expect(page.locator("#timeline")).to_contain_text("Attempt 2 from step 0:")
    stop_run(page)
    expect_status(page, "stopped")
