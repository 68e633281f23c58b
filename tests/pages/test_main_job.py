"""The main job in a real browser: start a run, watch its curve move, see the agent play.

Everything is real: `manage.py up`, its worker, its trainer, its film.
"""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.browsing import (
    TRAINING_TIMEOUT_MS,
    Served,
    assert_no_sideways_scroll,
    label_of,
    start_run,
    stop_run,
    wait_until,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

FILM_TIMEOUT_MS = 120_000


@pytest.mark.usefixtures("witness")
def test_a_run_is_started_watched_and_seen_playing(page: Page, served: Served) -> None:
    start_run(page, served, "ppo", 30_000)
    chart = page.locator("figure[data-title='Training return']")
    expect(chart.locator("canvas")).to_be_visible(timeout=TRAINING_TIMEOUT_MS)
    expect(page.locator("#run-header .badge-running")).to_be_visible()
    early = label_of(page, "Training return")
    progress = page.locator("#run-header progress")
    first = float(progress.get_attribute("value") or 0)
    expect(page.locator("#run-header .badge-completed")).to_be_visible(timeout=TRAINING_TIMEOUT_MS)
    assert first < 1, "the header was seen before the end"
    expect(progress).to_have_attribute("value", "1.0000")
    late = label_of(page, "Training return")
    assert re.match(r"Training return: last [\d.]+, best [\d.]+", late)
    assert early != late, "the chart moved without a reload"
    watch_film(page)
    assert_no_sideways_scroll(page)
    chart.get_by_text("View as table").click()
    assert chart.locator("tbody tr").count() > 2


def watch_film(page: Page) -> None:
    """Wait for the film of the evaluation, play it, and seek in it."""
    video = page.locator("#film video")
    expect(video).to_be_visible(timeout=FILM_TIMEOUT_MS)
    expect(page.locator("#evaluations .badge-completed")).to_be_visible()
    assert page.locator("#evaluations tbody tr").count() == 5
    video.evaluate("video => { video.muted = true; return video.play(); }")
    wait_until(page, lambda: video.evaluate("video => video.currentTime > 0.3"))
    video.evaluate("video => { video.currentTime = video.duration / 2; }")
    is_there = "video => !video.seeking && video.currentTime >= video.duration / 2"
    wait_until(page, lambda: video.evaluate(is_there))
    assert video.evaluate("video => video.seekable.end(0)") > 1
    assert video.evaluate("video => video.error") is None


@pytest.mark.usefixtures("witness")
def test_every_page_fits_and_complains_of_nothing(page: Page, served: Served) -> None:
    for path in (
        "/",
        "/runs/",
        "/runs/new/?algorithm=dqn",
        "/experiments/",
        "/videos/",
        "/admin/",
    ):
        page.goto(served.address + path)
        page.wait_for_load_state("load")
        page.wait_for_timeout(300)
        assert_no_sideways_scroll(page)


@pytest.mark.parametrize("page", ["phone"], indirect=True)
@pytest.mark.usefixtures("witness")
def test_a_running_run_is_stopped_and_the_dashboard_tells(page: Page, served: Served) -> None:
    start_run(page, served, "ppo", 5_000_000)
    run_page = page.url
    expect(page.locator("#run-header .badge-running")).to_be_visible(timeout=TRAINING_TIMEOUT_MS)
    page.goto(f"{served.address}/")
    row = page.locator("#active-runs li").first
    expect(row.locator(".badge-running")).to_be_visible()
    step = row.locator("[data-cell=step]")
    first = step.inner_text()
    expect(step).not_to_have_text(first, timeout=TRAINING_TIMEOUT_MS)
    page.goto(run_page)
    stop_run(page)
    expect(page.locator("#run-header .badge-stopped")).to_be_visible(timeout=TRAINING_TIMEOUT_MS)
    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete this run").click()
    page.get_by_role("button", name="Undo").click()
    expect(page).to_have_url(run_page)


@pytest.mark.usefixtures("witness")
def test_curves_move_where_websockets_do_not_get_through(page: Page, served: Served) -> None:
    page.add_init_script(
        "window.WebSocket = class {"
        " constructor() { setTimeout(() => this.onclose({ code: 1006 }), 10); } close() {} };"
    )
    start_run(page, served, "ppo", 5_000_000)
    expect(page.locator("figure canvas").first).to_be_visible(timeout=TRAINING_TIMEOUT_MS)
    expect(page.locator("#charts")).to_have_attribute(
        "data-stream", "live", timeout=TRAINING_TIMEOUT_MS
    )
    early = label_of(page, "Training return")
    wait_until(page, lambda: label_of(page, "Training return") != early)
    stop_run(page)
    expect(page.locator("#charts")).to_have_attribute(
        "data-stream", "ended", timeout=FILM_TIMEOUT_MS
    )


@pytest.mark.usefixtures("witness")
def test_charts_of_a_script_s_run_come_with_its_metrics(page: Page, served: Served) -> None:
    page.goto(served.address)
    token = next(c["value"] for c in page.context.cookies() if c["name"] == "csrftoken")

    def post(path: str, data: object) -> dict[str, str]:
        address = f"{served.address}/api/v1/runs{path}"
        headers = {"X-CSRFToken": token, "Referer": served.address}
        found: dict[str, str] = page.request.post(address, data=data, headers=headers).json()
        return found

    run = post("/logged", {"name": "outside"})
    page.goto(f"{served.address}/runs/{run['id']}/")
    expect(page.locator("#no-charts")).to_be_visible()
    expect(page.locator("#charts")).to_have_attribute("data-stream", "live")
    rows = [{"step": step, "values": {"losses/value": step / 2}} for step in (10, 20)]
    post(f"/{run['id']}/metrics", {"rows": rows})
    expect(page.locator("figure[data-title='losses/value'] canvas")).to_be_visible()
    expect(page.locator("#no-charts")).to_have_count(0)
    rows = [{"type": "episode", "step": 30, "return": 7, "length": 3}, *rows]
    post(f"/{run['id']}/metrics", {"rows": rows})
    wait_until(page, lambda: label_of(page, "Episode return") == "Episode return: last 7, best 7")
    expect(page.locator("#run-header")).to_contain_text("30")
    assert_no_sideways_scroll(page)
    post(f"/{run['id']}/finish", {"status": "stopped"})
    expect(page.locator("#run-header .badge-stopped")).to_be_visible()


def test_the_form_works_without_javascript(
    browser: Browser, session: dict[str, object], served: Served
) -> None:
    context = browser.new_context(java_script_enabled=False, storage_state=session)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{served.address}/runs/new/")
    page.get_by_role("link", name="DQN Deep").click()
    page.get_by_text("All hyperparameters of DQN").click()
    page.get_by_label("gamma").fill("7")
    page.get_by_label("Exact steps").fill("600")
    page.locator("#run-form button.primary").click()
    expect(page.locator(".field-error")).to_contain_text("must be a number from 0 to 1")
    assert page.get_by_label("gamma").input_value() == "7"
    page.get_by_label("gamma").fill("0.9")
    page.locator("#run-form button.primary").click()
    expect(page).to_have_url(re.compile(r"/runs/[a-z0-9]{10}/$"))
    context.close()


@pytest.mark.parametrize("page", ["phone"], indirect=True)
@pytest.mark.usefixtures("witness")
def test_the_address_keeps_how_the_charts_are_drawn(
    page: Page, served: Served, run_path: str
) -> None:
    page.goto(served.address + run_path)
    chart = page.locator("figure[data-title='Training return']")
    expect(chart.locator(".u-legend")).to_contain_text("step")
    page.get_by_label("X axis").focus()
    page.keyboard.press("ArrowDown")
    expect(page).to_have_url(re.compile(r"\?axis=time$"))
    page.get_by_label("Smoothing").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"\?axis=time&smoothing=0\.02$"))
    for _ in range(2):
        expect(page.locator("#chart-view output")).to_have_text("0.02")
        expect(page.get_by_label("X axis")).to_have_value("time")
        expect(chart.locator(".u-legend")).to_contain_text("training time")
        expect(chart.locator(".u-legend")).to_contain_text("(raw)")
        assert_no_sideways_scroll(page)
        page.goto(page.url.partition("?")[0])  # The browser remembers it without the address, too.


@pytest.mark.usefixtures("witness")
def test_a_stream_may_be_ended_while_it_connects(page: Page, served: Served) -> None:
    page.goto(served.address)
    states = page.evaluate(
        """async () => {
          const { Live } = await import("/static/dashboard/lib/live.js");
          const states = [];
          const live = new Live({
            socketPath: () => "/ws/dashboard/",
            onMessage() {},
            onState: (state) => states.push(state),
          });
          const { socket } = live;
          live.end();
          await new Promise((resolve) => socket.addEventListener("close", resolve));
          return states;
        }"""
    )
    assert states == ["ended"]


@pytest.mark.usefixtures("witness")
def test_the_theme_changes_the_charts(page: Page, served: Served, run_path: str) -> None:
    page.goto(served.address + run_path)
    expect(page.locator("figure canvas").first).to_be_visible(timeout=TRAINING_TIMEOUT_MS)
    page.wait_for_timeout(500)
    picture = "document.querySelector('figure canvas').toDataURL()"
    light = page.evaluate(picture)
    page.locator(".theme-toggle").first.click()
    page.wait_for_timeout(300)
    assert page.evaluate(picture) != light
