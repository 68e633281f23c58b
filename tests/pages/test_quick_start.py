"""The dashboard's row that starts a run, in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.pages.browsing import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.usefixtures("witness")
def test_another_environment_brings_other_algorithms(page: Page, served: Served) -> None:
    page.goto(f"{served.address}/")
    algorithm = page.locator(".quick-start select[name=algorithm]")
    expect(algorithm.locator("option[value=dqn]")).to_have_count(1)
    expect(algorithm.locator("option[value=sac]")).to_have_count(0)
    environment = page.locator(".quick-start input[name=environment]")
    environment.fill("Pendulum-v1")
    environment.blur()
    expect(algorithm.locator("option[value=sac]")).to_have_count(1)
    expect(algorithm.locator("option[value=dqn]")).to_have_count(0)
    algorithm.select_option("sac")
    environment.fill("MountainCarContinuous-v0")
    environment.blur()
    expect(algorithm).to_have_value("sac")
