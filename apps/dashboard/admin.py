"""The admin: the record row by row. Rows change by the verbs of `control`, never by a raw form."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from apps.accounts.models import ApiToken
from apps.dashboard.fields import name_field
from apps.dashboard.run.actions import REFUSALS
from apps.dashboard.templatetags.instruments import UNDO_TAG, badge, number, percent
from apps.experiments.models import Checkpoint, Evaluation, Experiment, Run, Video
from apps.jobs.verbs import evaluations, life, lineage, records
from apps.text import names

ROWS_PER_PAGE = 50

admin.site.site_header = "rlgym"
admin.site.site_title = "rlgym"
admin.site.index_title = "The record"


# The classes of the admin are generic for the type checker only, hence the ignored arguments.
class Inspected(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows to look at: they index files, so that a raw form would make them lie."""

    list_per_page = ROWS_PER_PAGE
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="run", ordering="run__name")
    def run_link(self, row: Checkpoint | Evaluation | Video) -> SafeString:
        return format_html('<a href="{}">{}</a>', row.run.get_absolute_url(), row.run.name)


class NamedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A row with a name, which is judged by the rule of all names."""

    kind = "experiment"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "name" in self.fields:
            self.fields["name"] = name_field(self.kind)
            self.fields["name"].required = True

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if message := names.wrong_with(name, self.kind, is_required=True):
            raise forms.ValidationError(message)
        return names.kept(name)


class TokenForm(NamedForm):
    kind = "token"


@admin.register(Experiment)
class ExperimentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = NamedForm
    list_display = ("name", "run_count", "hypothesis", "created_at")
    search_fields = ("name", "hypothesis")
    list_filter = ("created_at",)
    list_per_page = ROWS_PER_PAGE
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Experiment]:
        experiments: QuerySet[Experiment] = super().get_queryset(request)
        return experiments.annotate(run_count=Count("runs"))

    def get_readonly_fields(
        self, request: HttpRequest, obj: Experiment | None = None
    ) -> tuple[str, ...]:
        # The directories of its runs name the experiment: a row renamed here would not survive
        # `reindex`.
        return ("name", "created_at") if obj else ()

    @admin.display(description="runs", ordering="run_count")
    def run_count(self, experiment: Any) -> SafeString:
        url = f"{reverse('run-list')}?experiment={experiment.pk}"
        return format_html('<a href="{}">{}</a>', url, experiment.run_count)


@admin.register(Run)
class RunAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = (
        "name",
        "page",
        "shown_status",
        "experiment",
        "environment",
        "algorithm",
        "shown_progress",
        "shown_best",
        "shown_auc",
        "shown_evaluation",
        "created_at",
    )
    list_filter = ("status", "kind", "algorithm", "environment", "created_at")
    list_select_related = ("experiment",)
    list_per_page = ROWS_PER_PAGE
    show_full_result_count = False
    search_fields = ("name", "id", "experiment__name", "environment")
    actions = (
        "start",
        "save",
        "pause",
        "resume",
        "stop",
        "raise_priority",
        "lower_priority",
        "evaluate",
        "move_to_trash",
    )
    fields = (
        "page",
        *(f.name for f in Run._meta.fields if f.name not in {"owner", "beats", "beat_at"}),
    )
    readonly_fields = ("page",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        runs: QuerySet[Run] = super().get_queryset(request)
        return runs.defer("spec", "error")  # Lists show neither; a page of one run reads them.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # A run starts at `run-new`, where its spec is checked.

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False  # It changes by the actions below, never by a form.

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether a user may use the actions: whoever may change runs."""
        return super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.is_active)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # Django's own bulk deletion reports success whatever was refused.
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """List what goes to the trash; the rows that only index its files need no permission."""
        shown, counts, _, protected = super().get_deleted_objects(objs, request)
        return shown, counts, set(), protected

    def delete_model(self, request: HttpRequest, obj: Run) -> None:
        self._delete(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        for run in queryset:
            self._delete(request, run)

    def _delete(self, request: HttpRequest, run: Run) -> bool:
        run_id = run.pk
        try:
            records.delete(run)
        except REFUSALS as refused:
            messages.error(request, capfirst(str(refused)))
            return False
        told = f"Moved to the trash: {run.name}."
        messages.success(request, told, extra_tags=UNDO_TAG + run_id)
        run.pk = run_id  # Django names the deleted row in its own log.
        return True

    @admin.display(description="page")
    def page(self, run: Run) -> SafeString:
        return format_html('<a href="{}">open</a>', run.get_absolute_url())

    @admin.display(description="status", ordering="status")
    def shown_status(self, run: Run) -> SafeString:
        return badge(run.status, run.is_silent)

    @admin.display(description="progress")
    def shown_progress(self, run: Run) -> str:
        return percent(run.progress)

    @admin.display(description="best return", ordering="return_best")
    def shown_best(self, run: Run) -> str:
        return number(run.return_best)

    @admin.display(description="return AUC", ordering="return_auc")
    def shown_auc(self, run: Run) -> str:
        return number(run.return_auc)

    @admin.display(description="evaluation", ordering="evaluation_best")
    def shown_evaluation(self, run: Run) -> str:
        return number(run.evaluation_best)

    @admin.action(description="Start (drafts)", permissions=["operate"])
    def start(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        self._each(request, runs, life.queue, "Queued")

    @admin.action(description="Save a checkpoint", permissions=["operate"])
    def save(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        self._each(request, runs, life.save, "Asked to save")

    @admin.action(description="Pause", permissions=["operate"])
    def pause(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        self._each(request, runs, life.pause, "Asked to pause")

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        self._each(request, runs, lineage.resume, "Queued to go on")

    @admin.action(description="Stop", permissions=["operate"])
    def stop(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        self._each(request, runs, life.stop, "Asked to stop")

    @admin.action(description="Raise the priority by 10", permissions=["operate"])
    def raise_priority(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        self._each(request, runs, lambda run: life.set_priority(run, run.priority + 10), "Raised")

    @admin.action(description="Lower the priority by 10", permissions=["operate"])
    def lower_priority(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        self._each(request, runs, lambda run: life.set_priority(run, run.priority - 10), "Lowered")

    @admin.action(description="Evaluate the last checkpoint", permissions=["operate"])
    def evaluate(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        self._each(request, runs, evaluations.evaluate, "Queued for evaluation")

    @admin.action(description="Move to the trash", permissions=["delete"])
    def move_to_trash(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        self.delete_queryset(request, runs)

    def _each(
        self, request: HttpRequest, runs: QuerySet[Run], verb: Callable[[Run], Any], done: str
    ) -> None:
        done_to = []
        for run in runs:
            try:
                verb(run)
            except REFUSALS as refused:
                messages.error(request, f"{run.name}: {refused}")
            else:
                done_to.append(run.name)
        if done_to:
            messages.success(request, f"{done}: {', '.join(done_to)}.")


@admin.register(Checkpoint)
class CheckpointAdmin(Inspected):
    list_display = ("step", "run_link", "is_best", "size_bytes", "created_at")
    list_filter = ("is_best",)
    list_select_related = ("run",)
    search_fields = ("run__name", "run__id")


class Cancellable(Inspected):
    """Jobs that whoever may change runs may cancel."""

    actions = ("cancel",)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether a user may cancel: whoever may change runs."""
        return request.user.has_perm("experiments.change_run")

    @admin.action(description="Cancel what waits or is worked on", permissions=["operate"])
    def cancel(self, request: HttpRequest, jobs: QuerySet[Any]) -> None:
        done = 0
        for job in jobs:
            try:
                self.cancel_one(job)
            except REFUSALS as refused:
                messages.error(request, capfirst(str(refused)))
            else:
                done += 1
        if done:
            messages.success(request, f"Cancelled: {done}.")

    def cancel_one(self, job: Any) -> None:
        raise NotImplementedError


@admin.register(Evaluation)
class EvaluationAdmin(Cancellable):
    list_display = (
        "step",
        "run_link",
        "shown_status",
        "return_mean",
        "return_std",
        "n_episodes",
        "created_at",
    )
    list_filter = ("status", "is_deterministic")
    list_select_related = ("run",)
    search_fields = ("run__name", "run__id", "name")

    @admin.display(description="status", ordering="status")
    def shown_status(self, evaluation: Evaluation) -> SafeString:
        return badge(evaluation.status)

    def cancel_one(self, job: Evaluation) -> None:
        evaluations.cancel(job)


@admin.register(Video)
class VideoAdmin(Cancellable):
    list_filter = ("status",)
    list_display = (
        "step",
        "run_link",
        "shown_status",
        "duration_s",
        "width",
        "height",
        "size_bytes",
        "created_at",
    )
    list_select_related = ("run",)
    search_fields = ("run__name", "run__id", "path")

    @admin.display(description="status", ordering="status")
    def shown_status(self, video: Video) -> SafeString:
        return badge(video.status)

    def cancel_one(self, job: Video) -> None:
        evaluations.cancel_film(job)


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = TokenForm
    list_display = ("name", "user", "created_at", "last_used_at")
    search_fields = ("name", "user__username")
    fields = ("user", "name")
    actions = None

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"user": request.user.pk, **super().get_changeform_initial_data(request)}

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        """Issue the token and show its secret, which is stored nowhere, this once."""
        secret = ApiToken.objects.issue(obj.user, obj.name)
        stored = ApiToken.objects.filter(user=obj.user, name=obj.name).latest("pk")
        obj.pk, obj.secret_hash = stored.pk, stored.secret_hash
        messages.warning(request, f"The token's secret, shown only now: {secret}")
