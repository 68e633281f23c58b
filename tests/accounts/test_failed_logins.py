"""Guessing passwords becomes slow, and keeps nobody out for ever."""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.accounts import models
from apps.accounts.models import (
    FREE_OF_ADDRESS,
    FREE_OF_NAME,
    FREE_OF_PAIR,
    MAX_WAIT_S,
    FailedLogin,
)

begin = FailedLogin.objects.begin
succeed = FailedLogin.objects.succeed


class Clock:
    """The time as the models see it."""

    def __init__(self) -> None:
        self.now_at = datetime.fromisoformat("2026-01-01T00:00:00+00:00")

    def now(self) -> datetime:
        return self.now_at

    def wait(self, seconds: float) -> None:
        self.now_at += timedelta(seconds=seconds)


@pytest.fixture
def clock(db: None, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(models, "timezone", clock)
    return clock


def fail(clock: Clock, name: str, address: str) -> float:
    """Fail as soon as it is allowed; return how long that took."""
    waited_s = begin(name, address)
    if waited_s:
        clock.wait(waited_s)
        assert begin(name, address) == 0
    return waited_s


def test_a_name_from_one_address_waits_longer_and_longer(clock: Clock) -> None:
    waits = [fail(clock, "ada", "10.0.0.1") for _ in range(25)]
    assert waits[:FREE_OF_PAIR] == [0] * FREE_OF_PAIR
    assert waits[FREE_OF_PAIR : FREE_OF_PAIR + 6] == [2, 4, 8, 16, 32, 60]
    assert max(waits) == MAX_WAIT_S
    assert sum(waits) > 15 * 60


def test_an_address_that_tries_many_names_waits(clock: Clock) -> None:
    waits = [fail(clock, f"user{index}", "10.0.0.1") for index in range(25)]
    assert waits[:FREE_OF_ADDRESS] == [0] * FREE_OF_ADDRESS
    assert all(waits[FREE_OF_ADDRESS:])
    assert begin("ada", "10.0.0.2") == 0, "others are not concerned"


def test_a_name_that_is_tried_from_many_addresses_waits(clock: Clock) -> None:
    waits = [fail(clock, "ada", f"10.0.0.{index}") for index in range(25)]
    assert waits[:FREE_OF_NAME] == [0] * FREE_OF_NAME
    assert all(waits[FREE_OF_NAME:])
    assert begin("bob", "10.0.0.99") == 0


def test_the_networks_of_ipv6_are_one_address_each(clock: Clock) -> None:
    waits = [fail(clock, f"user{index}", f"2001:db8::{index:x}") for index in range(25)]
    assert all(waits[FREE_OF_ADDRESS:])
    assert begin("ada", "2001:db8:1::1") == 0


@pytest.mark.parametrize("name", ["ADA", " ada ", "Ada"])
def test_a_name_in_other_letters_is_the_same(clock: Clock, name: str) -> None:
    for _ in range(FREE_OF_PAIR):
        fail(clock, "ada", "10.0.0.1")
    assert begin(name, "10.0.0.1") > 0


def test_who_logged_in_from_an_address_is_not_kept_out_by_guesses_from_elsewhere(
    clock: Clock,
) -> None:
    assert begin("ada", "10.0.0.1") == 0
    succeed("ada", "10.0.0.1")
    for index in range(30):
        fail(clock, "ada", f"10.0.1.{index}")
    assert begin("ada", "10.0.2.2") > 0
    assert begin("ada", "10.0.0.1") == 0


def test_knocking_on_makes_nobody_wait_longer(clock: Clock) -> None:
    for _ in range(FREE_OF_PAIR):
        fail(clock, "ada", "10.0.0.1")
    for _ in range(100):
        assert 0 < begin("ada", "10.0.0.1") <= 2
    clock.wait(2)
    assert begin("ada", "10.0.0.1") == 0


def test_who_logs_in_rightly_again_and_again_never_waits(clock: Clock) -> None:
    for _ in range(100):
        assert begin("ada", "10.0.0.1") == 0
        succeed("ada", "10.0.0.1")


def test_a_right_password_does_not_wash_an_address_clean(clock: Clock) -> None:
    for index in range(FREE_OF_ADDRESS):
        fail(clock, f"user{index}", "10.0.0.1")
        clock.wait(60)
        assert begin("mallory", "10.0.0.1") < MAX_WAIT_S
        succeed("mallory", "10.0.0.1")
    assert fail(clock, "ada", "10.0.0.1") > 0 or begin("ada", "10.0.0.1") > 0


def test_it_is_forgotten_after_an_hour_and_no_row_stays(clock: Clock) -> None:
    for _ in range(10):
        fail(clock, "ada", "10.0.0.1")
    clock.wait(3601)
    assert begin("bob", "10.0.0.2") == 0
    assert FailedLogin.objects.count() == 3
    assert begin("ada", "10.0.0.1") == 0


def test_no_name_and_no_address_are_stored(clock: Clock) -> None:
    fail(clock, "my password, typed too early", "10.0.0.1")
    stored = str(list(FailedLogin.objects.values()))
    assert "password" not in stored
    assert "10.0.0.1" not in stored


@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_not_all_let_through() -> None:
    waits: list[float] = []

    def attempt() -> None:
        waits.append(begin("ada", "10.0.0.1"))
        connection.close()

    threads = [threading.Thread(target=attempt) for _ in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waits.count(0) == FREE_OF_PAIR


@given(name=st.text(max_size=200), address=st.text(max_size=60) | st.ip_addresses().map(str))
@hypothesis_settings(
    max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_any_name_and_any_address_can_be_counted(db: Any, name: str, address: str) -> None:
    FailedLogin.objects.all().delete()
    assert [begin(name, address) > 0 for _ in range(FREE_OF_PAIR + 1)] == [
        False
    ] * FREE_OF_PAIR + [True]
    succeed(name, address)
    assert begin(name, address) == 0
