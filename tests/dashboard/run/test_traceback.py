"""A failure is told by its exception first; the calls that led to it are folded below."""

import traceback

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from apps.dashboard.templatetags.instruments import last_exception
from apps.experiments.models import Evaluation, Run
from apps.experiments.statuses import JobStatus, RunStatus
from tests.builders import make_run


def fails(message: str, depth: int = 30) -> None:
    """Raise from deep below, because of something else."""
    if depth:
        fails(message, depth - 1)
    try:
        raise KeyError("cause")
    except KeyError as error:
        raise ValueError(message) from error


def traceback_of(message: str) -> str:
    try:
        fails(message)
    except ValueError:
        return traceback.format_exc()
    raise AssertionError


@pytest.mark.parametrize("message", ["a wrong shape", "two\n  lines, indented\nand a third"])
def test_the_last_exception_is_found_with_all_of_its_message(message: str) -> None:
    assert last_exception(traceback_of(message)) == f"ValueError: {message}"


@pytest.mark.parametrize("text", ["the disk is full", "", "Traceback (most recent call last):\n"])
def test_what_is_no_traceback_stays_as_it_is(text: str) -> None:
    assert last_exception(text) == text.strip()


@given(st.text())
def test_any_text_has_an_end(text: str) -> None:
    assert last_exception(text) in text
    broken = f"Traceback (most recent call last):\n  a call\nValueError: {text}"
    assert last_exception(broken) == f"ValueError: {text}".strip() or "Traceback" in text


def opens_with_the_exception(html: str, text: str) -> None:
    told = html.index("ValueError: a wrong shape</p>")
    assert told < html.index("Traceback (most recent call last)")
    assert '<details id="traceback-' in html
    assert "open><summary>How it came" not in html
    assert text.splitlines()[-5].strip()[:20] in html


def test_a_failed_run_and_a_failed_evaluation_open_with_the_exception(
    reader: Client, finished: Run
) -> None:
    text = traceback_of("a wrong shape")
    run = make_run(status=RunStatus.FAILED, error=text, name="broken")
    opens_with_the_exception(reader.get(run.get_absolute_url()).content.decode(), text)
    Evaluation.objects.create(
        run=finished, step=256, seed=1, n_episodes=1, status=JobStatus.FAILED, error=text
    )
    opens_with_the_exception(reader.get(finished.get_absolute_url()).content.decode(), text)


def test_what_the_status_says_already_is_not_said_twice(reader: Client) -> None:
    text = traceback_of("a wrong shape")
    reason = "ValueError: a wrong shape"
    run = make_run(status=RunStatus.FAILED, error=text, status_reason=reason)
    html = reader.get(f"/runs/{run.pk}/parts/header/").content.decode()
    assert html.count(reason) == 2, "beside the status, and at the traceback's end"
