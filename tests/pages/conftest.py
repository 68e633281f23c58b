"""The whole stack as a user starts it, and the system's Chromium to look at it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.browsing import SIZES, TRAINING_TIMEOUT_MS, Served, Witness, start_run

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 90.0
END_TIMEOUT_S = 60.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Start the system's Chromium; none is downloaded."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium on this machine; install it (Debian: apt install chromium)")
        pytest.skip("no chromium on this machine; install it (Debian: apt install chromium)")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    return {"executable_path": CHROMIUM, "args": arguments}


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`manage.py up` in a data directory of these tests' own, ended as Ctrl-C ends it."""
    home = tmp_path_factory.mktemp("home")
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RLGYM_")}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--host", "127.0.0.1", "--port", str(port)],
        cwd=ROOT,
        env={**kept, "DJANGO_SETTINGS_MODULE": "rlgym.settings", "RLGYM_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        login = _printed_address(process, port)
        yield Served(f"http://127.0.0.1:{port}", login, home)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _printed_address(process: subprocess.Popen[str], port: int) -> str:
    """Read what the stack prints until it tells the address; go on reading so it never blocks."""
    lines: Queue[str] = Queue()
    assert process.stdout is not None
    stdout = process.stdout
    threading.Thread(target=lambda: [lines.put(line) for line in stdout], daemon=True).start()
    printed = ""
    while True:
        try:
            printed += lines.get(timeout=START_TIMEOUT_S)
        except Empty:
            pytest.fail(f"no login address within {START_TIMEOUT_S} s:\n{printed}")
        if found := re.search(rf"http://127\.0\.0\.1:{port}/login/\S+", printed):
            return found[0]


@pytest.fixture
def witness(page: Page, served: Served) -> Iterator[Witness]:
    """Watch the page; the test fails when there is anything to complain of."""
    one = Witness(page, served.address)
    yield one
    assert one.complaints == []


@pytest.fixture(scope="session")
def session(browser: Browser, served: Served) -> Iterator[dict[str, object]]:
    """Log in once: the address works once."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.login)
    expect(page).to_have_url(f"{served.address}/")
    yield context.storage_state()  # type: ignore[misc]
    context.close()


@pytest.fixture(scope="session")
def run_path(browser: Browser, session: dict[str, object], served: Served) -> str:
    """The address of a run that has ended, with its evaluation; leave it as it is."""
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


@pytest.fixture
def page(
    request: pytest.FixtureRequest, browser: Browser, session: dict[str, object]
) -> Iterator[Page]:
    """A page of a desk's size, logged in; of a phone's where a test asks for it.

    What takes long is done once, on one of them; that it fits is looked at on both.
    """
    width, height = SIZES[getattr(request, "param", "desk")]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        storage_state=session,  # type: ignore[arg-type]
    )
    yield context.new_page()
    context.close()
