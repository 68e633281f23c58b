"""How numbers, times and statuses read on a page."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import template
from django.contrib.messages.storage.base import Message
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from apps import words
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.dashboard.runs.forms import natural_order
from apps.experiments.models import Evaluation, Run
from apps.words import NOTHING

register = template.Library()

UNDO_TAG = "undo-"

# Drawn in a 16 x 16 box, stroked with the text's colour: a status is never told by colour alone.
ICONS = {
    "draft": '<path d="M3 13l1-3 7-7 2 2-7 7z"/>',
    "queued": '<circle cx="8" cy="8" r="6"/><path d="M8 4.5V8l2.5 1.5"/>',
    "running": '<path d="M5 3l8 5-8 5z" fill="currentColor"/>',
    "completed": '<path d="M3 8.5l3.5 3.5L13 4.5"/>',
    "failed": '<path d="M4 4l8 8M12 4l-8 8"/>',
    "stopped": '<rect x="4" y="4" width="8" height="8" fill="currentColor"/>',
    "cancelled": '<circle cx="8" cy="8" r="6"/><path d="M4 12l8-8"/>',
    "paused": '<path d="M5.5 3.5v9M10.5 3.5v9"/>',
    "lost": '<path d="M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.6 8 9.1 8 10M8 12.5v.3"/>',
    "exact": '<circle cx="8" cy="8" r="6"/><path d="M5 8.2l2.2 2.2L11 6"/>',
    "warm": '<path d="M2.5 6.5c2-2 3.5-2 5.5 0s3.5 2 5.5 0M2.5 11c2-2 3.5-2 5.5 0s3.5 2 5.5 0"/>',
    "weights-only": '<path d="M8 2.5l5.5 3v5L8 13.5l-5.5-3v-5z"/>',
    "fresh": '<circle cx="8" cy="8" r="6"/>',
    "continue": '<path d="M2.5 8h10M9 4.5L12.5 8 9 11.5"/>',
    "branch": '<path d="M4 2v12M4 11.5c0-4 8-2.5 8-6.5"/><circle cx="12" cy="3.5" r="1.5"/>',
    "retry": '<path d="M12.8 6A5.3 5.3 0 1 0 13.3 9M13.3 2.5V6H9.8"/>',
    "reproduce": '<rect x="2.5" y="2.5" width="7.5" height="7.5"/><path d="M6 13.5h7.5V6"/>',
    "seed": '<path d="M8 14V8C8 5 6 4 3 4c0 3 2 4 5 4M8 10c0-3 2-4 5-4 0 3-2 4-5 4"/>',
    "import": '<path d="M8 2.5v7M5 6.5l3 3 3-3M2.5 11v2.5h11V11"/>',
    "ok": '<path d="M3 8.5l3.5 3.5L13 4.5"/>',
    "advice": '<circle cx="8" cy="8" r="6"/><path d="M8 7v4M8 4.8v.2"/>',
    "warning": '<path d="M8 2.5l6.5 11h-13zM8 7v3M8 11.8v.2"/>',
    "refusal": '<path d="M4 4l8 8M12 4l-8 8"/>',
    "logged": '<path d="M3 4l4 4-4 4M8.5 12h4.5"/>',
    "silent": '<path d="M8 2.5l6.5 11h-13zM8 7v3M8 11.8v.2"/>',
}
# How exactly an attempt went on from its checkpoint.
FIDELITIES = {
    "exact": "Nothing was lost: it went on exactly from where the checkpoint was written.",
    "warm": "It went on with its networks and counters, but not all of the rest came back.",
    "weights-only": "Networks and optimizers came from a file; all the rest began anew.",
    "fresh": "No intact checkpoint was left: it started over from its first step.",
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """Draw an icon; it is decoration, the text beside it says the same."""
    return format_html(
        '<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">{}</svg>',
        mark_safe(ICONS.get(name, "")),
    )


@register.simple_tag
def badge(status: str, is_silent: bool = False, silence: str = "no heartbeat") -> SafeString:
    """Show a status as icon and text; `silence` is said of a run that is not heard of any more."""
    shown = "silent" if is_silent else status
    text = silence if is_silent else status
    return format_html('<span class="badge badge-{}">{}{}</span>', shown, icon(shown), text)


@register.simple_tag
def relation_mark(run: Run) -> SafeString:
    """Mark a run that came from another one; the title says from which, and where."""
    if not run.relation:
        return mark_safe("")
    at = "" if run.parent_step is None else f" at step {run.parent_step:,}"
    source = run.parent.name if run.parent else "a deleted run"
    said = f"{run.relation} of {'a file' if run.relation == 'import' else source}{at}"
    return format_html(
        '<span class="relation" title="{}">{}<span class="visually-hidden">{}</span></span>',
        said,
        icon(run.relation),
        said,
    )


@register.simple_tag
def logged_mark(run: Run) -> SafeString:
    """Mark a run whose work a script outside does."""
    if not run.is_logged:
        return mark_safe("")
    said = "logged by a script"
    return format_html(
        '<span class="relation" title="{}">{}<span class="visually-hidden">{}</span></span>',
        said,
        icon("logged"),
        said,
    )


@register.filter
def algorithm_title(name: str) -> str:
    """Write an algorithm's name as people do; a script's own words stay as they are."""
    return name.upper() if name in ALGORITHMS else name or NOTHING


@register.filter
def fidelity_meaning(fidelity: str) -> str:
    """Say what a fidelity promises."""
    return FIDELITIES.get(fidelity, "")


@register.filter
def number(value: Any) -> str:
    """Write a number so that it can be read; templates write what is not there as empty text."""
    return words.number(None if value == "" else value)


@register.simple_tag
def figure(result: Any, name: str) -> str:
    """Write a figure of an evaluation or of an episode; one that is not finite by its name."""
    is_row = isinstance(result, Evaluation)
    special = (result.special if is_row else result.get("special")) or {}
    return special.get(name) or number(getattr(result, name) if is_row else result.get(name))


@register.filter
def setting(value: Any) -> str:
    """Write the value of a hyperparameter as it would be typed."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@register.filter
def plain(value: Any) -> str:
    """Write a value from a JSON file in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return setting(value)


@register.filter
def at_key(values: Mapping[Any, Any], key: Any) -> Any:
    """Return what a mapping holds at a key, nothing when it has none such."""
    return values.get(key, "")


@register.filter
def percent(fraction: float | None) -> str:
    """Write a share as whole percent, rounded down: 100 % is only said of the whole."""
    return NOTHING if fraction is None else f"{math.floor(fraction * 100)} %"


@register.filter
def duration(seconds: float | None) -> str:
    """Write seconds as the two units that matter."""
    if seconds is None:
        return NOTHING
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{words.number(whole // 86_400)} d {whole % 86_400 // 3600:02d} h"


@register.simple_tag
def moment(at: datetime | float | None) -> SafeString | str:
    """Write a time in the reader's zone as far as it is known, else in UTC; it says which.

    The page's script writes it shorter, always in the browser's zone.
    """
    if at is None:
        return NOTHING
    if not isinstance(at, datetime):
        at = datetime.fromtimestamp(at, UTC)
    return format_html(
        '<time datetime="{}">{}</time>',
        at.isoformat(),
        timezone.localtime(at).strftime("%Y-%m-%d %H:%M %Z"),
    )


@register.filter
def last_exception(text: str) -> str:
    """Return what a traceback ends with, its type and message; a text that is none as it is."""
    _, mark, frames = text.rpartition("Traceback (most recent call last):\n")
    lines = frames.split("\n")
    # Frames are indented; a message may have several lines, and those may be indented, too.
    first = next((n for n, line in enumerate(lines) if line and not line[0].isspace()), None)
    return "\n".join(lines[first:]).strip() if mark and first is not None else text.strip()


@register.filter
def undo_run_id(message: Message) -> str:
    """Return the id of the run whose deletion a message tells, empty for other messages."""
    tags = (message.extra_tags or "").split()
    return next((t.removeprefix(UNDO_TAG) for t in tags if t.startswith(UNDO_TAG)), "")


@register.simple_tag(takes_context=True)
def query_with(context: dict[str, Any], **changes: Any) -> str:
    """Return the page's query string with some parameters changed; None drops one."""
    request: HttpRequest = context["request"]
    query: QueryDict = request.GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    return "?" + query.urlencode()


@register.simple_tag
def column(run: Run, name: str) -> SafeString | str:
    """Write what a run has in a column that its list is sorted by."""
    value = getattr(run, name)
    return moment(value) if isinstance(value, datetime) else number(value)


@register.inclusion_tag("dashboard/runs/_sort_header.html", takes_context=True)
def sort_header(context: dict[str, Any], name: str, title: str, css: str = "") -> dict[str, Any]:
    """Head a column with a link that sorts by it; a second click turns the order around."""
    order = natural_order(name) if name else ""
    current: str = context["sort"]
    if current == order:
        order = order.removeprefix("-") if order.startswith("-") else f"-{order}"
    is_current = current.removeprefix("-") == name
    return {
        "title": title,
        "css": css,
        "url": query_with(context, order=order, cursor=None) if name else "",
        "direction": ("descending" if current[0] == "-" else "ascending") if is_current else "",
    }
