"""One run: its page, and the parts of it that are fetched again as it goes on."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from apps.catalogue.algorithms.backends import algorithm_of
from apps.dashboard.frame import show
from apps.dashboard.run.charts import BLANK_CHART, charts_for, known_charts
from apps.dashboard.run.forms import ContinueForm, EvaluateForm
from apps.dashboard.run.settings import facts
from apps.errors import RunDirectoryError
from apps.experiments.differences import Difference, differences, imported_file_name
from apps.experiments.models import Checkpoint, Evaluation, Run, Video
from apps.experiments.statuses import JobStatus, RunStatus
from apps.experiments.turns import PRIORITY_BOUNDS
from apps.jobs.verbs.waiting import why_each_waits, why_it_waits
from apps.metrics import store
from apps.metrics.same_step import returns_at
from apps.rundir.events import Event
from apps.rundir.files import read_json

LOG_LINES = 200
TIMELINE_EVENTS = 100
CHILDREN_SHOWN = 50
TIMELINE_TYPES = {"status", "checkpoint", "evaluation", "attempt", "film"}
# An evaluation is queued a moment after its run ends: the page goes on asking for this long.
WATCH_AFTER_END = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of a run's configuration.

    Attributes:
        name: Its name.
        value: The value the run has.
        default: The library's default.
        meaning: One line for people.
    """

    name: str
    value: Any
    default: Any
    meaning: str

    @property
    def is_changed(self) -> bool:
        """Whether the value differs from the library's default."""
        return bool(self.value != self.default)


@dataclass(frozen=True, slots=True)
class Child:
    """A run that came from the one that is shown.

    Attributes:
        run: The child.
        differences: What its spec has otherwise.
        own_return: The return that the shown run had at the child's step.
        is_beyond: Whether the child has gone farther than the shown run ever did.
    """

    run: Run
    differences: list[Difference]
    own_return: float | None
    is_beyond: bool


def _evaluations(run: Run) -> QuerySet[Evaluation]:
    return run.evaluations.select_related("video").order_by("-created_at", "-pk")


def _is_live(run: Run) -> bool:
    has_pending = run.evaluations.pending().exists() or run.videos.pending().exists()
    ended_just_now = (
        run.finished_at is not None and timezone.now() - run.finished_at < WATCH_AFTER_END
    )
    return run.is_active or ended_just_now or has_pending


def _phase(run: Run) -> str:
    """Return what the buttons of the page depend on, as one word."""
    has_checkpoint = "checkpointed" if run.checkpoints.exists() else "bare"
    stop = "stopping" if run.stop_requested_at else "going"
    save = "saving" if run.save_requested_at else "saved"
    return f"{run.status}-{stop}-{save}-{has_checkpoint}"


def _trail(run: Run) -> str:
    """Return what the run has left so far, as one word: it changes when there is more to show."""
    left, films = (
        ".".join(
            f"{pk}{status[:2]}" for pk, status in jobs.order_by("pk").values_list("pk", "status")
        )
        for jobs in (run.evaluations, run.videos)
    )
    last = run.checkpoints.order_by("step").values_list("step", flat=True).last()
    return f"{run.status}-{run.attempt}{run.fidelity}-{last}-{films}-{left}"


def _header(run: Run) -> dict[str, Any]:
    return {
        "run": run,
        "is_live": _is_live(run),
        "phase": _phase(run),
        "trail": _trail(run),
        "waiting": why_it_waits(run),
    }


def _actions(run: Run) -> dict[str, Any]:
    if run.is_logged:  # Its script does its work: it can be asked to stop, and be deleted.
        return {"run": run}
    return {
        "run": run,
        "can_be_moved": run.status in (RunStatus.DRAFT, RunStatus.QUEUED),
        "priority_bounds": PRIORITY_BOUNDS,
        "has_ended": not run.is_active and run.status != RunStatus.DRAFT,
        "evaluate_form": EvaluateForm(run),
        "continue_form": ContinueForm(run),
    }


def _checkpoints(run: Run) -> dict[str, Any]:
    checkpoints: QuerySet[Checkpoint] = run.checkpoints.order_by("-step")
    return {"run": run, "checkpoints": checkpoints, "can_branch": not run.is_active}


def _lineage(run: Run) -> dict[str, Any]:
    found = run.children.defer("error").order_by("-created_at", "-pk")[:CHILDREN_SHOWN]
    own_returns = returns_at(run.directory.log, [child.step for child in found]) if found else []
    children = [
        Child(child, differences(run.spec, child.spec), own_return, child.step > run.step)
        for child, own_return in zip(found, own_returns, strict=True)
    ]
    return {
        "run": run,
        **_beside_parent(run),
        "children": children,
        "has_active_child": any(child.run.is_active for child in children),
        "differences": differences(run.parent.spec, run.spec) if run.parent else [],
        "file_name": imported_file_name(run.directory),
    }


def _beside_parent(run: Run) -> dict[str, Any]:
    """Return what a run and its parent reached at the last step that both have come to."""
    if run.parent is None:
        return {}
    step = min(run.step, run.parent.step)
    logs = run.directory.log, run.parent.directory.log
    own, parents = (returns_at(log, [step])[0] for log in logs)
    return {"compared_at": step, "own_return": own, "parent_return": parents}


def _settings(run: Run) -> list[Setting]:
    algorithm = algorithm_of(run.spec)
    schemas = algorithm.hyperparameters if algorithm else {}
    return [
        Setting(name, value, schemas[name].default, schemas[name].meaning)
        if name in schemas
        else Setting(name, value, value, "")
        for name, value in run.spec.get("hyperparameters", {}).items()
    ]


def _provenance(run: Run) -> dict[str, Any]:
    try:
        return read_json(run.directory.provenance)
    except RunDirectoryError:
        return {}  # Written when training starts: a draft has none.


def _timeline(run: Run) -> list[Event]:
    """Return the latest events that are not points of a curve, newest first."""
    try:
        told = [one for one in store.moments(run.directory.log) if one["type"] in TIMELINE_TYPES]
    except RunDirectoryError:
        return []  # A link or a pipe lies in the log's place; REST says so.
    return told[: -TIMELINE_EVENTS - 1 : -1]


def _chosen_video(request: HttpRequest, run: Run) -> Video | None:
    videos = run.videos.finished().select_related("evaluation")
    asked = request.GET.get("video", "")
    chosen = videos.filter(pk=asked).first() if asked.isdecimal() and len(asked) < 19 else None
    return chosen or videos.first()


def _charts(run: Run) -> dict[str, Any]:
    if not run.is_logged:
        return {"charts": charts_for(algorithm_of(run.spec))}
    # A script may log anything: the browser makes charts of what it finds.
    return {"blank_chart": BLANK_CHART, "known_charts": known_charts()}


def _log_text(run: Run) -> str:
    try:
        return "\n".join(store.last_lines(run.directory.train_log, LOG_LINES))
    except RunDirectoryError:
        return "train.log is not a plain file, so it is not shown."


def _evaluations_part(run: Run) -> dict[str, Any]:
    found = list(_evaluations(run))
    is_any_waiting = any(_is_waiting(one) for one in found)
    return {
        "run": run,
        "evaluations": found,
        "evaluation_waits": why_each_waits(Evaluation) if is_any_waiting else {},
        "film_waits": why_each_waits(Video) if is_any_waiting else {},
    }


def _is_waiting(evaluation: Evaluation) -> bool:
    video: Video | None = getattr(evaluation, "video", None)
    return JobStatus.QUEUED in (evaluation.status, video.status if video else None)


@require_safe
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    found = get_object_or_404(Run.objects.select_related("experiment", "parent"), pk=run_id)
    parts = {
        **_header(found),
        **_actions(found),
        **_checkpoints(found),
        **_lineage(found),
        **_evaluations_part(found),
    }
    provenance = _provenance(found)
    return show(
        request,
        "dashboard/run/page.html",
        found.name,
        **parts,
        **_charts(found),
        video=_chosen_video(request, found),
        settings=_settings(found),
        provenance=provenance,
        facts=() if found.is_logged else facts(found, provenance),
        timeline=_timeline(found),
        log_text=_log_text(found),
    )


@require_safe
def header(request: HttpRequest, run_id: str) -> HttpResponse:
    """Show status and progress, and tell the page when another part of it is out of date."""
    found = Run.objects.filter(pk=run_id).first()
    if found is None:  # Deleted in another window: say so once, and stop asking.
        return render(request, "dashboard/run/_gone.html")
    context = _header(found)
    response = render(request, "dashboard/run/_header.html", context)
    for name in ("phase", "trail"):
        if request.GET.get(name) != context[name]:
            trigger_client_event(response, f"rlgym:{name}")
    return response


@require_safe
def actions(request: HttpRequest, run_id: str) -> HttpResponse:
    found = get_object_or_404(Run, pk=run_id)
    return render(request, "dashboard/run/_actions.html", _actions(found))


@require_safe
def evaluations(request: HttpRequest, run_id: str) -> HttpResponse:
    found = get_object_or_404(Run, pk=run_id)
    context = _evaluations_part(found)
    return render(request, "dashboard/run/_evaluations.html", context)


@require_safe
def video(request: HttpRequest, run_id: str) -> HttpResponse:
    """Show the run's film, or nothing new (204) when the page has it already."""
    found = get_object_or_404(Run, pk=run_id)
    latest = _chosen_video(request, found)
    if str(latest.pk if latest else "") == request.GET.get("known", ""):
        return HttpResponse(status=204)
    return render(request, "dashboard/run/_video.html", {"run": found, "video": latest})


@require_safe
def checkpoints(request: HttpRequest, run_id: str) -> HttpResponse:
    found = get_object_or_404(Run, pk=run_id)
    return render(request, "dashboard/run/_checkpoints.html", _checkpoints(found))


@require_safe
def lineage(request: HttpRequest, run_id: str) -> HttpResponse:
    found = get_object_or_404(Run.objects.select_related("parent"), pk=run_id)
    return render(request, "dashboard/run/_lineage.html", _lineage(found))


@require_safe
def timeline(request: HttpRequest, run_id: str) -> HttpResponse:
    found = get_object_or_404(Run, pk=run_id)
    context = {"run": found, "timeline": _timeline(found)}
    return render(request, "dashboard/run/_timeline.html", context)


@require_safe
def log(request: HttpRequest, run_id: str) -> HttpResponse:
    found = get_object_or_404(Run, pk=run_id)
    context = {"run": found, "log_text": _log_text(found), "is_live": _is_live(found)}
    return render(request, "dashboard/run/_log.html", context)
