"""The list of runs: filters, a whitelist of sortings, pages, summary columns only."""

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.experiments.listing.sorting import SORTS
from apps.experiments.models import Experiment
from apps.experiments.statuses import RunStatus
from tests.builders import make_run


def listed(reader: Client, **query: object) -> list[str]:
    """Return the names of the listed runs in order."""
    response = reader.get("/runs/", query)
    assert response.status_code == 200
    return [run.name for run in response.context["page"].rows]


@pytest.fixture
def three(reader: Client) -> None:
    """Runs a, b and c that differ in everything that can be filtered."""
    other = Experiment.objects.create(name="Other question")
    make_run(name="a", return_best=1.0, step=256)
    make_run(name="b", return_best=3.0, status=RunStatus.QUEUED, environment="Acrobot-v1", step=9)
    make_run(name="c", algorithm="dqn", experiment=other, step=100)


@pytest.mark.parametrize("order", [sign + name for name in SORTS for sign in ("", "-")])
def test_every_column_sorts(reader: Client, three: None, order: str) -> None:
    assert sorted(listed(reader, order=order)) == ["a", "b", "c"]


def test_sorting_puts_what_has_no_value_last(reader: Client, three: None) -> None:
    assert listed(reader, order="return_best") == ["a", "b", "c"]
    assert listed(reader, order="-return_best") == ["b", "a", "c"]
    assert listed(reader, order="-progress") == ["a", "c", "b"]


@pytest.mark.parametrize("order", ["spec", "error", "experiment__hypothesis", "?", "--name", "1"])
def test_other_sortings_are_refused_and_the_newest_come_first(
    reader: Client, three: None, order: str
) -> None:
    response = reader.get("/runs/", {"order": order})
    assert [run.name for run in response.context["page"].rows] == ["c", "b", "a"]
    assert b"allowed: created_at, " in response.content


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"status": "queued"}, ["b"]),
        ({"status": "nonsense"}, ["c", "b", "a"]),
        ({"algorithm": "dqn"}, ["c"]),
        ({"environment": "Acrobot-v1"}, ["b"]),
        ({"search": "other"}, ["c"]),
        ({"search": "nothing"}, []),
        ({"search": "tests", "algorithm": "dqn"}, []),
        ({"experiment": "12345"}, ["c", "b", "a"]),
        ({"created_from": "2026-02-30"}, ["c", "b", "a"]),
        ({"created_to": "2020-01-01"}, []),
    ],
)
def test_filters_narrow_the_list(
    reader: Client, three: None, query: dict[str, str], names: list[str]
) -> None:
    assert listed(reader, **query) == names


def test_the_runs_of_an_experiment_can_be_listed(reader: Client, three: None) -> None:
    experiment = Experiment.objects.get(name="Other question")
    assert listed(reader, experiment=experiment.pk) == ["c"]


def test_the_form_keeps_what_only_the_address_has(reader: Client, three: None) -> None:
    html = reader.get("/runs/", {"status": "queued,draft", "algorithm": "own"}).content.decode()
    assert '<option value="queued,draft" selected>' in html
    assert '<option value="own" selected>' in html


def test_a_column_link_turns_the_order_around_and_keeps_the_filter(
    reader: Client, three: None
) -> None:
    html = reader.get("/runs/", {"order": "-name", "status": "queued"}).content.decode()
    assert 'aria-sort="descending"' in html
    assert "?status=queued&amp;order=name" in html


def test_a_column_that_is_only_sorted_by_is_shown(reader: Client, three: None) -> None:
    html = reader.get("/runs/", {"order": "-return_auc"}).content.decode()
    assert 'data-label="Return AUC"' in html
    assert html.count('aria-sort="descending"') == 1
    # What one looks for first: the least loss, the greatest return.
    assert '<option value="loss_min">Least loss, least first' in html
    assert '<option value="-return_best">Best return, greatest first' in html


def test_many_runs_are_paged_both_ways_with_few_queries(
    reader: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(60):
        make_run(name=f"run {number:02}")
    with django_assert_max_num_queries(8):
        first = reader.get("/runs/", {"order": "name"})
    names = [run.name for run in first.context["page"].rows]
    assert names == [f"run {number:02}" for number in range(50)]
    assert b"60 runs" in first.content
    assert b'rel="prev"' not in first.content
    with django_assert_max_num_queries(8):
        cursor = first.context["page"].next_cursor
        second = reader.get("/runs/", {"order": "name", "cursor": cursor})
    assert len(second.context["page"].rows) == 10
    assert b'rel="next"' not in second.content
    cursor = second.context["page"].previous_cursor
    assert listed(reader, order="name", cursor=cursor) == names


def test_a_cursor_of_another_order_is_told_and_the_first_page_comes(
    reader: Client, three: None
) -> None:
    response = reader.get("/runs/", {"cursor": "bnVsbA"})
    assert [run.name for run in response.context["page"].rows] == ["c", "b", "a"]
    assert b"no cursor of this list" in response.content


def test_without_a_match_the_filters_can_be_cleared(reader: Client, three: None) -> None:
    html = reader.get("/runs/", {"search": "nothing"}).content.decode()
    assert "No run matches." in html
    assert '<a class="button" href="/runs/">Clear the filters</a>' in html


def test_lists_read_neither_specs_nor_tracebacks(reader: Client, three: None) -> None:
    run = reader.get("/runs/").context["page"].rows[0]
    assert {"spec", "error"} <= run.get_deferred_fields()
