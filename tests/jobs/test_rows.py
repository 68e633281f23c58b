"""The summary columns of a run, beside what its log shows."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.experiments.models import Evaluation, Run
from apps.experiments.statuses import JobStatus
from apps.jobs import rows
from apps.jobs.rows import LogCopier
from apps.jobs.verbs.reindex import reindex_run
from apps.metrics import store
from tests.builders import make_run
from tests.metrics.logs import attempt, episode, joined, point

RETURN, LOSS = "rollout/ep_rew_mean", "train/loss"
steps = st.integers(0, 60)
finite = st.floats(-100, 100)
lines = st.lists(
    st.builds(lambda step, value: point(step, rollout__ep_rew_mean=value), steps, finite)
    | st.builds(lambda step, value: point(step, train__loss=value), steps, finite)
    | st.builds(episode, steps, st.just(0.0), finite)
    | st.builds(attempt, st.integers(2, 4), steps),
    max_size=25,
)


def area(curve: store.Series) -> float:
    """Return the area under a curve of rising steps by its width."""
    width = curve.steps[-1] - curve.steps[0]
    heights = (curve.values[1:] + curve.values[:-1]) / 2
    return float((heights * np.diff(curve.steps)).sum() / width) if width else curve.values[-1]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=lines, data=st.data())
def test_a_resumed_run_has_the_summary_of_its_visible_log(
    lines: list[dict[str, Any]], data: st.DataObject, home: object, db: None
) -> None:
    # As training writes it: steps rise until an attempt goes back.
    written, at = list[dict[str, Any]](), 0
    for line in lines:
        line["step"] = at = line["step"] if line["type"] == "attempt" else max(at, line["step"])
        written.append(line | ({"from_step": at} if line["type"] == "attempt" else {}))
    run = make_run()
    copier = LogCopier(run)
    columns: dict[str, Any] = {}
    while written:  # A supervisor sees some lines at a time; one of them may be a new one's.
        seen = data.draw(st.integers(1, len(written)))
        with run.directory.log.open("ab") as log:
            log.write(joined(*written[:seen]))
        written = written[seen:]
        copier = LogCopier(run) if data.draw(st.booleans()) else copier
        columns, _ = copier.advance()
    curves = store.series(run.directory.log, max_points=10**6).series
    for key, name in ((RETURN, "return"), (LOSS, "loss")):
        if key not in curves:
            # Before the first mean is told, that of all episodes stands for it.
            episodes = curves.get("episode/return") if key == RETURN else None
            expected = episodes and pytest.approx(episodes.values.mean())
            assert columns.get(f"{name}_last") == expected
            continue
        curve = curves[key]
        assert columns[f"{name}_last"] == curve.values[-1]
        assert columns[f"{name}_auc"] == pytest.approx(area(curve), abs=1e-9)
    # Least, greatest and mean are over episodes, of the loss over its points.
    for name, values in {
        "return": curves.get("episode/return", curves.get(RETURN)),
        "loss": curves.get(LOSS),
    }.items():
        if values is not None:
            assert columns[f"{name}_min"] == values.values.min()
            assert columns[f"{name}_max"] == values.values.max()
            assert columns[f"{name}_mean"] == pytest.approx(values.values.mean(), abs=1e-9)
    # To the last bit what a rebuild from disk gives.
    reindex_run(run.directory)
    run.refresh_from_db()
    assert {name: getattr(run, name) for name in columns} == columns or not columns


def test_evaluation_columns_are_over_episodes_and_along_steps(home: object, db: None) -> None:
    run = make_run()
    told = [(100, 10.0, 2, 5.0, 15.0), (300, 30.0, 4, 20.0, 50.0), (200, 20.0, 4, 0.0, 25.0)]
    for order, (step, mean, n_episodes, least, greatest) in enumerate(told):
        Evaluation.objects.create(
            run=run,
            step=step,
            status=JobStatus.COMPLETED,
            n_episodes=n_episodes,
            name=str(step),
            return_mean=mean,
            return_min=least,
            return_max=greatest,
            finished_at=timezone.now() + timedelta(seconds=order),
        )
    Evaluation.objects.create(run=run, step=400)  # Has not played yet.
    rows.update_evaluation_summary(run)
    names = [f"evaluation_{name}" for name in ("min", "max", "mean", "last", "best", "auc")]
    (figures,) = Run.objects.values_list(*names)
    assert figures == (0.0, 50.0, 22.0, 30.0, 30.0, 20.0)
