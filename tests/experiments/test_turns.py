"""Whose turn it is in the queue, and how many one machine trains at once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.experiments.models import Experiment, Run
from apps.experiments.statuses import RunStatus
from tests.builders import make_row

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def queued(experiment: str, nth: int, **fields: Any) -> Run:
    """Make a queued row that has waited the longer the smaller its number."""
    owner, _ = Experiment.objects.get_or_create(name=experiment)
    since = NOW + timedelta(seconds=nth)
    return make_row(
        name=f"{experiment}{nth}",
        experiment=owner,
        status=RunStatus.QUEUED,
        queued_at=since,
        **fields,
    )


def served(n: int, ends: Sequence[str] = ()) -> list[str]:
    """Claim as many runs as a worker would, one after another; those named end at once."""
    names = []
    for _ in range(n):
        run = Run.objects.next_queued()
        assert run is not None
        assert run.claim("here:1:x")
        names.append(run.name)
        if run.name[0] in ends:
            run.move_to(RunStatus.COMPLETED)
    return names


def test_a_batch_delays_a_single_run_by_one_whether_slots_are_one_or_many() -> None:
    for nth in range(20):
        queued("a", nth)
    queued("b", 50)
    queued("c", 60)
    assert served(4, ends="abc") == ["a0", "b50", "c60", "a1"]  # One slot.
    queued("b", 70)
    queued("b", 80)
    assert served(5) == ["b70", "a2", "b80", "a3", "a4"]  # Slots for all.


def test_a_higher_priority_goes_first_whoever_has_waited_longer() -> None:
    queued("a", 1)
    queued("a", 2, priority=-3)
    queued("a", 3, priority=100)
    queued("b", 4, priority=100)
    assert served(4) == ["a3", "b4", "a1", "a2"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([-1, 0, 5])), max_size=12),
    running=st.lists(st.sampled_from("abcd"), max_size=4),
)
def test_the_order_that_is_told_is_the_order_of_service(
    rows: list[tuple[str, int]], running: list[str], db: None
) -> None:
    Run.objects.all().delete()
    Experiment.objects.all().delete()
    for nth, experiment in enumerate(running):
        assert queued(experiment, nth).claim("here:1:x")
    for nth, (experiment, priority) in enumerate(rows):
        queued(experiment, nth, priority=priority)
    told = Run.objects.in_turn()
    names = dict(Run.objects.values_list("pk", "name"))
    assert [names[run_id] for run_id in told] == served(len(rows))
    assert Run.objects.next_queued() is None


def test_the_next_run_is_one_query_that_scans_no_table(
    django_assert_num_queries: Any,
) -> None:
    queued("a", 1)
    with django_assert_num_queries(1):
        Run.objects.next_queued()
    plan = Run.objects.filter(status=RunStatus.QUEUED).order_by("-priority").explain()
    assert "run_queue" in plan


def test_a_machine_trains_no_more_at_once_than_it_may() -> None:
    one, two, three = (queued("a", nth) for nth in range(3))
    make_row(status=RunStatus.RUNNING, owner="elsewhere:1:x")
    make_row(status=RunStatus.RUNNING, owner="here-too:1:x")
    assert one.claim("here:1:x", at_most=2)
    assert two.claim("here:2:y", at_most=2)
    assert not three.claim("here:1:z", at_most=2)
    assert (three.status, three.attempt) == (RunStatus.QUEUED, 0)
    one.move_to(RunStatus.COMPLETED)
    assert three.claim("here:1:z", at_most=2)
    assert queued("a", 9).claim("here:1:z")  # Whoever asks for no limit has none.
