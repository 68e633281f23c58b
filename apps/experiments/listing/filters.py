"""How lists of runs are narrowed, the same for every face."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from django.db.models import Q
from django.utils.dateparse import parse_date, parse_datetime

from apps.errors import FieldError
from apps.experiments.models.run import RunQuerySet
from apps.experiments.statuses import RunKind, RunStatus
from apps.text.suggestions import did_you_mean

MAX_TEXT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows; an empty field narrows nothing.

    Attributes:
        status: Any of these statuses.
        kind: Who does a run's work.
        algorithm: Name of the algorithm.
        environment: Id of the environment.
        experiment: Name of the experiment.
        search: Part of a run's name, environment or experiment, or the start of its id.
        created_from: The first moment of a run's making.
        created_before: The first moment that is too late.
    """

    status: tuple[str, ...] = ()
    kind: str = ""
    algorithm: str = ""
    environment: str = ""
    experiment: str = ""
    search: str = ""
    created_from: datetime | None = None
    created_before: datetime | None = None

    @classmethod
    def read(
        cls, query: Mapping[str, str], zone: tzinfo = UTC
    ) -> tuple["RunFilter", list[FieldError]]:
        """Read a filter as it was typed, and say what is refused of it.

        `status` is one or several by comma; `created_from` and `created_to` are times, or days,
        the last of which counts whole. Days, and times without a zone, are in `zone`.
        """
        given = {name: value.replace("\0", "").strip() for name, value in query.items()}
        errors: list[FieldError] = []
        words = [word.strip() for word in given.get("status", "").split(",")]
        status = _known("status", [word for word in words if word], RunStatus.values, errors)
        kind = _known("kind", [given["kind"]] if given.get("kind") else [], RunKind.values, errors)
        names = ("algorithm", "environment", "experiment", "search")
        texts = {name: _short(name, given.get(name, ""), errors) for name in names}
        created_from = _moment("created_from", given.get("created_from", ""), zone, errors)
        created_to = _moment("created_to", given.get("created_to", ""), zone, errors)
        return cls(
            tuple(status),
            "".join(kind),
            **texts,
            created_from=_first_of(created_from, zone),
            created_before=_end_of(created_to, zone),
        ), errors

    def apply(self, runs: RunQuerySet) -> RunQuerySet:
        """Return those of some runs that pass."""
        wanted = {
            "status__in": self.status,
            "kind": self.kind,
            "algorithm": self.algorithm,
            "environment": self.environment,
            "experiment__name": self.experiment,
            "created_at__gte": self.created_from,
            "created_at__lt": self.created_before,
        }
        runs = runs.filter(**{name: value for name, value in wanted.items() if value})
        if self.search:
            runs = runs.filter(
                Q(name__icontains=self.search)
                | Q(pk__startswith=self.search)
                | Q(environment__icontains=self.search)
                | Q(experiment__name__icontains=self.search)
            )
        return runs


def _known(
    field: str, words: Sequence[str], allowed: Sequence[str], errors: list[FieldError]
) -> list[str]:
    for word in words:
        if word not in allowed:
            listed = f"{', '.join(allowed)}{did_you_mean(word, allowed)}"
            message = f"{word[:80]!r} is not allowed; allowed: {listed}"
            errors.append(FieldError(field, message))
    return [word for word in words if word in allowed]


def _short(field: str, text: str, errors: list[FieldError]) -> str:
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    message = f"{text[:80]!r}… is not allowed; it has at most {MAX_TEXT_LENGTH} characters"
    errors.append(FieldError(field, message))
    return ""


def _moment(
    field: str, text: str, zone: tzinfo, errors: list[FieldError]
) -> date | datetime | None:
    """Read a day, or a time."""
    if not text:
        return None
    try:
        found = parse_date(text) or parse_datetime(text)
        if isinstance(found, datetime):
            return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):  # Well written, but there is no such day.
        found = None
    if found is None:
        rule = "it must be a day as 2026-11-21 or a time as 2026-11-21T04:51:11Z"
        errors.append(FieldError(field, f"{text[:80]!r} is not allowed; {rule}"))
    return found


def _first_of(moment: date | datetime | None, zone: tzinfo) -> datetime | None:
    if moment is None or isinstance(moment, datetime):
        return moment
    try:
        return datetime.combine(moment, time(), zone).astimezone(UTC)
    except OverflowError:  # The beginning of time: nothing is too early.
        return None


def _end_of(moment: date | datetime | None, zone: tzinfo) -> datetime | None:
    """Return the first moment after a time or a day."""
    if moment is None:
        return None
    try:
        if isinstance(moment, datetime):
            return moment + timedelta(microseconds=1)
        return datetime.combine(moment + timedelta(days=1), time(), zone).astimezone(UTC)
    except OverflowError:  # The end of time: nothing is too late.
        return None
