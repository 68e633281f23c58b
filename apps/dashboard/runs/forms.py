"""The list of runs as a form: what narrows it, what sorts it, which columns it has.

What is allowed is decided by `experiments.listing`, not here: refused choices are told in one
wording, and count for nothing.
"""

from functools import cached_property
from typing import Any

from django import forms
from django.db.models import DateTimeField, Field
from django.utils import timezone
from django.utils.text import capfirst

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.dashboard.zone import zone_named
from apps.errors import FieldError, InvalidSpec
from apps.experiments.listing.filters import MAX_TEXT_LENGTH, RunFilter
from apps.experiments.listing.pages import Order, Page, page
from apps.experiments.listing.sorting import NEWEST_FIRST, SORTS, SUMMARY_COLUMNS
from apps.experiments.models import Experiment, Run, RunQuerySet
from apps.experiments.statuses import RunKind, RunStatus

PAGE_SIZE = 50
COUNTED = 1_000
CHOICES = 200
# The columns that the list always has; a summary column that it is sorted by is added to them.
HEADS = (
    ("name", "Run", ""),
    ("status", "Status", ""),
    ("progress", "Progress", ""),
    ("return_best", "Best return", "num"),
    ("return_last", "Last return", "num"),
    ("evaluation_best", "Evaluation", "num"),
    ("steps_per_second", "Steps/s", "num"),
    ("algorithm", "Algorithm", ""),
    ("environment", "Environment", ""),
    ("", "Experiment", ""),
    ("created_at", "Created", ""),
)
SORT_GROUPS = {
    "Run": [name for name in SORTS if name not in SUMMARY_COLUMNS],
    "Return": [name for name in SUMMARY_COLUMNS if name.startswith("return_")],
    "Episode length": [name for name in SUMMARY_COLUMNS if name.startswith("length_")],
    "Evaluation": [name for name in SUMMARY_COLUMNS if name.startswith("evaluation_")],
    "Loss": [name for name in SUMMARY_COLUMNS if name.startswith("loss_")],
}
MORE = ("kind", "experiment", "created_from", "created_to")
ALPHABETICAL = frozenset({"name", "status", "algorithm", "environment"})


def column_of(name: str) -> "Field[Any, Any]":
    """Return the field of a sorting."""
    field = Run._meta.get_field(SORTS[name])
    assert isinstance(field, Field)
    return field


def title_of(name: str) -> str:
    """Return what people call a sorting."""
    return "Progress" if name == "progress" else capfirst(str(column_of(name).verbose_name))


def natural_order(name: str) -> str:
    """Return a sorting with what one looks for first: the greatest, of a loss the least."""
    return name if name in ALPHABETICAL or name.startswith("loss_") else f"-{name}"


def order_title(order: str) -> str:
    """Say how an order sorts."""
    name, is_descending = order.removeprefix("-"), order.startswith("-")
    ends = "least first", "greatest first"
    if name in ALPHABETICAL:
        ends = "A to Z", "Z to A"
    elif isinstance(column_of(name), DateTimeField):
        ends = "oldest first", "newest first"
    return f"{title_of(name)}, {ends[is_descending]}"


def order_choices(current: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return every sorting the way it is mostly wanted, and the current one as it is."""
    found = []
    for group, names in SORT_GROUPS.items():
        orders = [
            current if name == current.removeprefix("-") else natural_order(name) for name in names
        ]
        found.append((group, [(order, order_title(order)) for order in orders]))
    return found


def _select(label: str, blank: str = "") -> forms.CharField:
    widget = forms.Select(choices=[("", blank)])
    return forms.CharField(label=label, required=False, widget=widget)


def _with_current(choices: list[tuple[str, str]], current: str) -> list[tuple[str, str]]:
    """Offer also what is in the address, such as a script's algorithm or several statuses."""
    is_missing = current and current not in dict(choices)
    return [*choices, (current, current)] if is_missing else choices


class RunListForm(forms.Form):
    """What the list of runs shows, and in which order."""

    search = forms.CharField(
        label="Search",
        required=False,
        widget=forms.TextInput(
            attrs={
                "type": "search",
                "placeholder": "name, id, experiment",
                "maxlength": MAX_TEXT_LENGTH,
            }
        ),
    )
    status = _select("Status")
    algorithm = _select("Algorithm")
    environment = _select("Environment")
    kind = _select("Kind")
    experiment = forms.ModelChoiceField(
        Experiment.objects.all(),
        required=False,
        error_messages={"invalid_choice": "%(value)s is no experiment; choose one of the list."},
    )
    created_from = forms.CharField(
        label="Created from", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    created_to = forms.CharField(
        label="Created to", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    order = _select("Sort by")

    def __init__(self, data: Any) -> None:
        super().__init__(data, auto_id="filter-%s")
        self.full_clean()
        refused = self._read_zone(data.get("zone", ""))
        self.filter, of_filter = RunFilter.read(self._typed(), self.zone)
        refused += of_filter
        self.sorting = self._read_order(refused)
        for name in ("created_from", "created_to"):
            self[name].label = f"{self[name].label} ({self.zone})"
        for error in refused:
            self.add_error(error.field if error.field in self.fields else None, error.message)
        self._offer()

    def _read_zone(self, name: str) -> list[FieldError]:
        """Take the zone that days are meant in: the address names it, else the reader's own."""
        self.zone = zone_named(name) or timezone.get_current_timezone()
        if not name or zone_named(name):
            return []
        message = f"{name[:80]!r} is not allowed; it must be a zone as Europe/Berlin, or UTC"
        return [FieldError("zone", message)]

    def _typed(self) -> dict[str, str]:
        names = ("search", "status", "algorithm", "environment", "kind", "created_from")
        typed = {name: self.cleaned_data.get(name) or "" for name in (*names, "created_to")}
        experiment = self.cleaned_data.get("experiment")
        return {**typed, "experiment": experiment.name if experiment else ""}

    def _read_order(self, refused: list[FieldError]) -> Order:
        try:
            return Order.parse(self.cleaned_data.get("order") or NEWEST_FIRST, SORTS)
        except InvalidSpec as error:
            refused += error.errors
            return Order.parse(NEWEST_FIRST, SORTS)

    def _offer(self) -> None:
        known = Run.objects.order_by("environment").values_list("environment", flat=True)
        environments = [name for name in known.distinct()[:CHOICES] if name]
        algorithms = [(algorithm.name, algorithm.title) for algorithm in ALGORITHMS.values()]
        offered: dict[str, list[Any]] = {
            "status": [
                ("", "any status"),
                *_with_current(RunStatus.choices, ",".join(self.filter.status)),
            ],
            "algorithm": [
                ("", "any algorithm"),
                *_with_current(algorithms, self.filter.algorithm),
            ],
            "environment": [
                ("", "any environment"),
                *_with_current([(name, name) for name in environments], self.filter.environment),
            ],
            "kind": [
                ("", "any"),
                (RunKind.TRAINED, "trained here"),
                (RunKind.LOGGED, "by a script"),
            ],
            "order": order_choices(str(self.sorting)),
        }
        for name, choices in offered.items():
            widget = self.fields[name].widget
            assert isinstance(widget, forms.Select)
            widget.choices = choices
        experiment = self.fields["experiment"]
        assert isinstance(experiment, forms.ModelChoiceField)
        newest = Experiment.objects.values_list("pk", "name")[:CHOICES]
        chosen = self.cleaned_data.get("experiment")
        shown = [(pk, name) for pk, name in newest if chosen is None or pk != chosen.pk]
        shown += [(chosen.pk, chosen.name)] if chosen else []
        experiment.choices = [("", "any experiment"), *sorted(shown, key=lambda one: one[1])]

    @property
    def main(self) -> list[forms.BoundField]:
        """The fields that are always in sight."""
        return [self[name] for name in ("search", "status", "algorithm", "environment", "order")]

    @property
    def more(self) -> list[forms.BoundField]:
        """The fields that are folded away while nobody uses them."""
        return [self[name] for name in MORE]

    @property
    def has_more(self) -> bool:
        """Whether one of those is used or refused."""
        return any(field.errors or field.value() for field in self.more)

    @property
    def is_filtering(self) -> bool:
        """Whether anything narrows the list."""
        return self.filter != RunFilter()

    @property
    def heads(self) -> list[tuple[str, str, str]]:
        """The columns: what each sorts by, its title and its class."""
        extra = [(self.extra, self.extra_title, "num")] if self.extra else []
        return [*HEADS[:3], *extra, *HEADS[3:]]

    @property
    def extra(self) -> str:
        """The sorting whose column the list has for its sake, empty without one."""
        return "" if self.sorting.name in {name for name, _, _ in HEADS} else self.sorting.name

    @property
    def extra_title(self) -> str:
        """The title of that column."""
        return title_of(self.extra)

    @cached_property
    def count(self) -> int:
        """How many runs pass; one more than `COUNTED` where there are more."""
        return self._runs().order_by()[: COUNTED + 1].count()

    def page(self, cursor: str) -> Page[Run]:
        """Return a page of the runs that pass, the first one when the cursor is refused."""
        # A child's mark names its parent; nothing else of the parent is read.
        runs = self._runs().select_related("experiment", "parent")
        runs = runs.defer("spec", "error", "parent__spec", "parent__error")
        try:
            return page(runs, self.sorting, PAGE_SIZE, cursor)
        except InvalidSpec as refused:
            self.add_error(None, f"{refused.errors[0].message}. This is the first page.")
            return page(runs, self.sorting, PAGE_SIZE)

    def _runs(self) -> RunQuerySet:
        return self.filter.apply(Run.objects.for_listing())
