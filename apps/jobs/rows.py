"""Copy what the run directory says into the rows: summaries, checkpoints, evaluations, films.

The directory is the truth; everything here can be done again at any time and ends the same.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from apps.errors import RunDirectoryError
from apps.experiments.models import Checkpoint, Evaluation, Run, Video
from apps.experiments.statuses import JobStatus, RunKind, RunStatus
from apps.metrics import store
from apps.metrics.figures import Figures
from apps.metrics.summary import RunSummary
from apps.rundir.checkpoints import steps_of
from apps.rundir.events import Event
from apps.rundir.files import read_json, write_json
from apps.spec.evaluation import EvalSpec, default_evaluation_seed
from apps.spec.logged import LoggedSpec, is_logged
from apps.spec.run import RunSpec
from apps.spec.seeds import configuration_hash

FINAL_STATUSES = frozenset(
    {
        RunStatus.COMPLETED,
        RunStatus.FAILED,
        RunStatus.STOPPED,
        RunStatus.PAUSED,
        RunStatus.LOST,
    }
)
RESULT_COLUMNS = ("return_mean", "return_std", "return_min", "return_max", "length_mean")
CANCELLED = "Cancelled"  # How every reason of a cancelled job begins.
FILM_COLUMNS = ("path", "poster_path", "duration_s", "width", "height", "size_bytes")


def spec_columns(spec: RunSpec | LoggedSpec) -> dict[str, Any]:
    """Return a run's spec and the columns that are parts of it."""
    data = spec.as_dict()
    return {
        "kind": RunKind.LOGGED if is_logged(data) else RunKind.TRAINED,
        "spec": data,
        "preset": data.get("preset") or "",
        "configuration_hash": configuration_hash(data),
        **{name: data[name] for name in ("algorithm", "environment", "seed", "total_timesteps")},
    }


class LogCopier:
    """Follows one run's log by cursor and keeps the rows that depend on it in step."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.summary = self._new_summary()
        self.n_checkpoints = 0  # How many were ever saved.
        self._cursor = 0
        self._is_first = True  # Until it has read what was there when it began.
        self._is_behind = False  # Whether the log tells of checkpoints that have no rows yet.
        self._news: set[int] = set()  # Steps of those that were told since it began.

    def advance(self) -> tuple[dict[str, Any], list[int]]:
        """Read what is new.

        Returns:
            The run's summary columns, and the steps of the checkpoints that ask for an evaluation.
        """
        told: list[int] = []
        for piece in store.read_all(self._run.directory.log, self._cursor):
            self._cursor = piece.cursor
            told += [one["step"] for one in piece.events if one["type"] == "checkpoint"]
            if any(event["type"] == "attempt" for event in piece.events):
                # What it supersedes was folded in already: begin again without it.
                self.summary = self._new_summary()
                for event in store.visible_events(self._run.directory.log, self._cursor):
                    self.summary.fold(event)
            else:
                for event in piece.events:
                    self.summary.fold(event)
        self.n_checkpoints += len(told)
        if not self._is_first:
            self._news.update(told)
        self._is_first = False
        self._is_behind = self._is_behind or bool(told)
        if self._is_behind:
            sync_checkpoints(self._run, self.summary, self._news)
            self._is_behind = False  # Not before: the database may have refused.
            self._news.clear()
        asked = [step for step, one in self.summary.checkpoints.items() if one.get("evaluate")]
        return {**self.summary.columns(), "log_cursor": self._cursor}, asked

    def _new_summary(self) -> RunSummary:
        # Tenths are for comparing what is trained here with its like.
        total_timesteps = 0 if self._run.is_logged else self._run.total_timesteps or 0
        return RunSummary(self._run.is_logged, total_timesteps=total_timesteps)


def sync_checkpoints(run: Run, summary: RunSummary, news: Collection[int] = ()) -> None:
    """Make the checkpoint rows name exactly the checkpoints that are on disk.

    The hash that a row remembers outlasts what a log says that is read again: whoever exchanged a
    checkpoint may have mended that, too.

    Args:
        run: The run.
        summary: Its log, folded.
        news: Steps whose checkpoints its trainer has just saved, perhaps once more.
    """
    present = set(steps_of(run.directory))
    known = {step: event for step, event in summary.checkpoints.items() if step in present}
    best = max((step for step, event in known.items() if event.get("best")), default=None)
    with transaction.atomic():
        run.checkpoints.exclude(step__in=known).delete()
        rows = run.checkpoints.exclude(step__in=news)
        remembered = dict(rows.values_list("step", "sha256"))
        Checkpoint.objects.bulk_create(
            [
                Checkpoint(
                    run=run,
                    step=step,
                    size_bytes=event.get("size_bytes", 0),
                    sha256=remembered.get(step) or event.get("sha256", ""),
                    created_at=at(event["t"]),
                    is_best=step == best,
                )
                for step, event in known.items()
            ],
            update_conflicts=True,
            unique_fields=["run", "step"],
            update_fields=["is_best", "size_bytes", "sha256", "created_at"],
        )


def ask_owed(run: Run, steps: Collection[int]) -> bool:
    """Ask for the evaluations that checkpoints ask for and nobody has asked for yet.

    Told by log and rows alone, so that whoever comes after a supervisor that died does the same,
    and once. It goes before the row that ends a run.

    Args:
        run: The run.
        steps: Steps of its checkpoints that ask for one, as `LogCopier.advance` tells them.

    Returns:
        Whether there were any.
    """
    if not steps or not _owed(run, steps):
        return False
    spec = EvalSpec(
        n_episodes=run.spec["eval_episodes"],
        seed=default_evaluation_seed(run.spec["seed"]),
        should_film=run.spec.get("film", True),
    )
    with transaction.atomic():  # Of several who look at once, one asks.
        owed = _owed(run, steps)
        for step in owed:
            Evaluation.objects.ask(run, step, spec)
    return bool(owed)


def _owed(run: Run, steps: Collection[int]) -> list[int]:
    saved = set(run.checkpoints.values_list("step", flat=True))
    evaluated = set(run.evaluations.values_list("step", flat=True))
    return sorted(saved.intersection(steps) - evaluated)


def result_columns(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of an evaluation's columns from its result file."""
    special = result.get("special") or {}
    return {
        **{name: result.get(name) for name in RESULT_COLUMNS},
        "special": {name: special[name] for name in RESULT_COLUMNS if name in special},
        "n_played": result.get("n_episodes"),
        "interrupted": str(result.get("interrupted") or "")[:200],
        "name": result["name"],
        "result": dict(result),
    }


def film_columns(film: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a film's columns from what its evaluation's file says of it."""
    return {**{name: film[name] for name in FILM_COLUMNS}, "cut": str(film.get("cut") or "")}


def record_film(evaluation: Evaluation, result: Mapping[str, Any]) -> None:
    """Make the row of an evaluation's film as its result file tells it, where nobody films it.

    One that was asked for, and of which nothing is told yet, is owed.
    """
    video = Video.objects.filter(evaluation=evaluation).first()
    if video is not None and video.is_pending:
        return
    fields: dict[str, Any] = {"run": evaluation.run, "step": evaluation.step}
    if film := result.get("film"):
        fields |= {"status": JobStatus.COMPLETED, "error": "", **film_columns(film)}
    elif error := result.get("film_error"):
        is_cancelled = error.startswith(CANCELLED)
        status = JobStatus.CANCELLED if is_cancelled else JobStatus.FAILED
        fields |= {"status": status, "error": error}
    elif evaluation.should_film and evaluation.run.directory.has_checkpoint(evaluation.step):
        Video.objects.owe(evaluation)
        return
    else:
        return
    Video.objects.update_or_create(evaluation=evaluation, defaults=fields)


def note_film(evaluation: Evaluation, film: Mapping[str, Any]) -> None:
    """Keep with an evaluation's row what its file says of its film."""
    _note(evaluation, film=dict(film), film_error="")


def note_no_film(evaluation: Evaluation, why: str) -> None:
    """Keep with an evaluation, in its file and its row, why it has no film."""
    said: dict[str, Any] = {"film": None, "film_error": why}
    path = evaluation.run.directory.evaluations / f"{evaluation.name}.json"
    with suppress(RunDirectoryError, FileNotFoundError):  # Deleted meanwhile: nobody reads it.
        write_json(path, {**read_json(path), **said})
    _note(evaluation, **said)


def _note(evaluation: Evaluation, **said: Any) -> None:
    evaluation.result = {**(evaluation.result or {}), **said}
    Evaluation.objects.filter(pk=evaluation.pk).update(result=evaluation.result)


def withdraw_film(video: Video) -> None:
    """Remove what a film that was cancelled has left, and keep why there is none."""
    evaluation = video.evaluation
    if evaluation is not None:
        for suffix in (".mp4", ".webp"):
            path = video.run.directory.evaluations / f"{evaluation.name}{suffix}"
            path.unlink(missing_ok=True)
        note_no_film(evaluation, video.why or CANCELLED)


def record_evaluations(run: Run, lines: Iterable[Event]) -> None:
    """Make the rows of evaluations that the script of a logged run tells in its log."""
    for line in lines:
        length = iter(line.get("lengths", ()))
        episodes = [{"episode_return": r, "length": next(length, None)} for r in line["returns"]]
        names = ("n_episodes", "seed", "is_deterministic")
        asked = {name: line.get(name) for name in names}
        result = {
            **{name: line.get(name) for name in ("name", "step", *RESULT_COLUMNS)},
            "spec": asked,
            "episodes": episodes,
        }
        fields = {
            **asked,
            **result_columns(result),
            "step": line["step"],
            "status": JobStatus.COMPLETED,
            "max_episode_steps": None,
            "should_film": False,
            "created_at": at(line["t"]),
            "finished_at": at(line["t"]),
        }
        Evaluation.objects.update_or_create(run=run, name=line["name"], defaults=fields)
    update_evaluation_summary(run)


def record_told_film(run: Run, line: Event) -> Video:
    """Make the row of a film that the log of a logged run tells."""
    names = ("step", "poster_path", "duration_s", "width", "height", "size_bytes")
    fields = {**{name: line[name] for name in names}, "created_at": at(line["t"])}
    return Video.objects.update_or_create(run=run, path=line["name"], defaults=fields)[0]


def update_evaluation_summary(run: Run) -> None:
    """Set the run's evaluation columns from its evaluation rows.

    As of training: least, greatest and mean are over every episode; last, best and the area under
    the curve are over the evaluations, each the mean of its episodes, in the order of their steps.
    """
    done = list(
        Evaluation.objects.filter(run=run, status=JobStatus.COMPLETED, return_mean__isnull=False)
        .order_by("step", "finished_at")
        .only("step", "return_mean", "return_min", "return_max", "n_episodes", "n_played")
    )
    curve = Figures()
    for one in done:
        curve.take_at(one.step, one.return_mean)
    Run.objects.filter(pk=run.pk).update(
        **_spread(done),
        evaluation_last=curve.last,
        evaluation_best=curve.greatest,
        evaluation_auc=curve.auc,
    )


def _spread(done: list[Evaluation]) -> dict[str, float | None]:
    """Return the figures over every episode; each part of a mean is divided before it is added.

    So returns near the greatest number do not add up to more than it.
    """
    played = [one.n_played or one.n_episodes for one in done]
    total = sum(played)
    means = [(one.return_mean, n) for one, n in zip(done, played, strict=True)]
    least = [one.return_mean if one.return_min is None else one.return_min for one in done]
    greatest = [one.return_mean if one.return_max is None else one.return_max for one in done]
    return {
        "evaluation_min": min((value for value in least if value is not None), default=None),
        "evaluation_max": max((value for value in greatest if value is not None), default=None),
        "evaluation_mean": math.fsum(m * (n / total) for m, n in means if m is not None)
        if done
        else None,
    }


def at(unix_s: float) -> datetime:
    """Return unix seconds as a time in UTC."""
    return datetime.fromtimestamp(unix_s, UTC)
