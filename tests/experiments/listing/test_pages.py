"""Lists of runs: every sorting by its index, every row once, whatever comes meanwhile."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.errors import InvalidSpec
from apps.experiments.listing.filters import RunFilter
from apps.experiments.listing.pages import Order, Page, page
from apps.experiments.listing.sorting import SORTS
from apps.experiments.models import Experiment, Run
from apps.experiments.statuses import RunStatus

START = datetime(2026, 11, 21, tzinfo=UTC)
ids = count()


def add(**fields: Any) -> Run:
    """Make the row of a run alone."""
    experiment, _ = Experiment.objects.get_or_create(name="Tests")
    values = {"id": f"run{next(ids):07}", "name": "r", "spec": {}, "seed": 1, **fields}
    values = {"algorithm": "ppo", "environment": "E-v0", "total_timesteps": 10, **values}
    (run,) = Run.objects.bulk_create([Run(experiment=experiment, **values)])
    return run


def pages(order: Order, size: int, cursor: str = "") -> Iterator[Page[Run]]:
    """Read page after page."""
    while True:
        read = page(Run.objects.for_listing(), order, size, cursor)
        yield read
        if read.next_cursor is None:
            return
        cursor = read.next_cursor


def in_order(runs: list[Run], order: Order) -> list[str]:
    """Sort plainly: by value, then id; without a value last, by id."""
    valued = [run for run in runs if getattr(run, order.column) is not None]
    empty = [run for run in runs if getattr(run, order.column) is None]
    valued.sort(key=lambda run: (getattr(run, order.column), run.pk), reverse=order.is_descending)
    empty.sort(key=lambda run: run.pk, reverse=order.is_descending)
    return [run.pk for run in valued + empty]


values = st.none() | st.sampled_from([0.0, 1.5, -2.25, float("inf")]) | st.floats(-2, 2)
rows = st.fixed_dictionaries(
    {
        "return_best": values,
        "loss_auc": values,
        "step": st.integers(0, 12),
        "name": st.sampled_from(["a", "B", "ä", ""]),
        "finished_at": st.none() | st.just(START),
        "status": st.sampled_from([RunStatus.DRAFT, RunStatus.COMPLETED]),
        "created_at": st.sampled_from([START, START + timedelta(microseconds=1)]),
    }
)
sorts = ["return_best", "loss_auc", "step", "progress", "name", "finished_at", "status"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    before=st.lists(rows, max_size=9),
    meanwhile=st.lists(rows, max_size=4),
    name=st.sampled_from([*sorts, "created_at"]),
    is_descending=st.booleans(),
    size=st.integers(1, 4),
)
def test_pages_show_each_run_once_in_order_whatever_comes_meanwhile(
    before: list[dict[str, Any]],
    meanwhile: list[dict[str, Any]],
    name: str,
    is_descending: bool,
    size: int,
    db: None,
) -> None:
    Run.objects.all().delete()
    order = Order(SORTS[name], is_descending, name)
    first = {add(**fields).pk for fields in before}
    expected = in_order(list(Run.objects.filter(pk__in=first)), order)
    waiting = iter(meanwhile)
    seen: list[Run] = []
    for read in pages(order, size):
        seen += read.rows
        if fields := next(waiting, None):
            add(**fields)
    assert len({run.pk for run in seen}) == len(seen)
    assert [run.pk for run in seen if run.pk in first] == expected
    assert [run.pk for run in seen] == in_order(seen, order)
    # Backwards they are the same; the first page is always whole.
    forth = list(pages(order, size))
    for index in range(len(forth) - 1, 0, -1):
        cursor = forth[index].previous_cursor
        assert cursor
        back = page(Run.objects.for_listing(), order, size, cursor)
        assert back.rows == forth[index - 1].rows
        assert back.next_cursor == forth[index - 1].next_cursor
    assert forth[0].previous_cursor is None


@pytest.mark.parametrize("order", [sign + name for name in SORTS for sign in ("", "-")])
def test_every_sorting_goes_by_its_index_at_any_depth(order: str, db: None) -> None:
    for index in range(4):
        add(step=index, return_best=None if index > 1 else 1.0)
    parsed = Order.parse(order, SORTS)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        read = [run.pk for one in pages(parsed, 1) for run in one.rows]
    assert len(read) == 4
    assert len(captured) <= 2 * 4
    for query in captured:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = [row[3] for row in cursor.fetchall()]
        assert any(f"USING INDEX run_by_{parsed.column} " in f"{step} " for step in plan), plan
        assert not any("TEMP B-TREE" in step for step in plan), plan


def test_progress_is_the_same_in_a_row_and_in_its_column(db: None) -> None:
    for fields in (
        {"step": 3},
        {"step": 30},
        {"step": 3, "status": RunStatus.COMPLETED},
        {"step": 3, "kind": "logged", "status": "running", "total_timesteps": None, "owner": "x"},
    ):
        run = Run.objects.get(pk=add(**fields).pk)
        assert run.done_fraction == run.progress


def cursor_of(*parts: Any) -> str:
    """Write a cursor by hand."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("name", "cursor"),
    [
        ("return_best", "!!!"),
        ("return_best", cursor_of()),
        ("return_best", cursor_of("return_best", None, None, False)),
        ("return_best", cursor_of("-return_best", "1.0", "x", False)),
        ("progress", cursor_of("progress", "half", "x", False)),
        ("step", cursor_of("step", "1e999", "x", False)),
        ("created_at", cursor_of("created_at", "0001-01-01T00:00:00+14:00", "x", False)),
    ],
)
def test_a_cursor_that_is_none_is_refused(name: str, cursor: str, db: None) -> None:
    with pytest.raises(InvalidSpec, match="no cursor of this list"):
        page(Run.objects.all(), Order(SORTS[name], is_descending=False, name=name), 5, cursor)


def test_a_filter_takes_days_and_times(db: None) -> None:
    for days in (0, 1, 2):
        add(name=str(days), created_at=START + timedelta(days=days, hours=12))

    def names(**query: str) -> set[str]:
        wanted, errors = RunFilter.read(query)
        assert not errors
        return set(wanted.apply(Run.objects.all()).values_list("name", flat=True))

    assert names(created_from="2026-11-22") == {"1", "2"}
    assert names(created_to="2026-11-22") == {"0", "1"}
    assert names(created_from="2026-11-21T12:00:00Z", created_to="2026-11-21T13:00:00+01:00") == {
        "0"
    }
    assert names(created_from="2026-11-21T12:00:01") == {"1", "2"}
    assert names(created_to="9999-12-31") == {"0", "1", "2"}


def test_every_refused_filter_is_told_with_what_is_allowed() -> None:
    wanted, errors = RunFilter.read(
        {
            "status": "asleep,running",
            "kind": "x",
            "created_to": "2026-02-30",
            "search": "s" * 201,
            "created_from": "0001-01-01T00:00:00+14:00",
        }
    )
    fields = [error.field for error in errors]
    assert fields == ["status", "kind", "search", "created_from", "created_to"]
    assert "allowed: draft, queued" in errors[0].message
    assert wanted == RunFilter(status=("running",))
    assert RunFilter.read({"status": " ", "search": "", "kind": "\0"}) == (RunFilter(), [])
