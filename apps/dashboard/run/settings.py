"""What the page of a run says of its spec: a line for each field that its header does not tell."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apps.catalogue.normalizing import what_is_normalized
from apps.dashboard.templatetags.instruments import number, percent, plain, setting
from apps.experiments.models import Run
from apps.spec.fields import FIELDS
from apps.spec.schema import Field

# Told in the header of the page or in another field's line.
_TOLD_ELSEWHERE = {
    "algorithm",
    "environment",
    "preset",
    "seed",
    "milestones",
    "eval_episodes",
    "film",
}
# Shown though they are what they are by default.
_ALWAYS = {"n_envs", "backend", "device", "save_freq"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: what it is called, its value, and what is said when it is pointed at."""

    title: str
    value: str
    more: str = ""
    is_command: bool = False


def facts(run: Run, provenance: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield a line for each field of a run's spec, but for what is by default or told elsewhere.

    Args:
        run: A run that was trained here, not one that a script logged.
        provenance: What its training says of where it came from; empty before it began.
    """
    for name, row in FIELDS.items():
        if name in _IN_OTHER_WORDS:
            yield from _IN_OTHER_WORDS[name](run, provenance)
        elif row.is_stored and row.title and name not in _TOLD_ELSEWHERE:
            value = _value(run, name)
            if name in _ALWAYS or value != row.default:
                yield Fact(row.title, _in_words(row, value))


def _value(run: Run, name: str) -> Any:
    """Return a field's value; a run from before there was the field has its default."""
    return run.spec.get(name, FIELDS[name].default)


def _in_words(row: Field, value: Any) -> str:
    if row.kind != "int":
        return plain(value)
    if not value and row.zero:
        return row.zero
    return f"{number(value)} {row.unit}".strip()


def _length(run: Run, _: Mapping[str, Any]) -> Iterator[Fact]:
    yield Fact("Total steps", number(run.total_timesteps))


def _environment(run: Run, _: Mapping[str, Any]) -> Iterator[Fact]:
    for name, value in run.spec.get("environment_kwargs", {}).items():
        yield Fact(f"Environment: {name}", setting(value))


def _normalization(run: Run, _: Mapping[str, Any]) -> Iterator[Fact]:
    # A run from before there was a choice normalises nothing.
    normalize = run.spec.get("normalize") or None
    yield Fact("Normalised", what_is_normalized(normalize), plain(normalize) if normalize else "")


def _evaluations(run: Run, _: Mapping[str, Any]) -> Iterator[Fact]:
    row = FIELDS["eval_freq"]
    names = ("eval_freq", "eval_episodes", "milestones", "film")
    steps, count, is_tenth, is_filmed = (_value(run, name) for name in names)
    often = "a tenth of the run" if is_tenth else _in_words(row, steps)
    filmed = "" if is_filmed else ", not filmed"
    yield Fact(row.title, f"{often}, {count} episode{'s' * (count != 1)}{filmed}")


def _stepping(_: Run, provenance: Mapping[str, Any]) -> Iterator[Fact]:
    told = provenance.get("vectorization")
    if isinstance(told, Mapping):
        yield Fact("Vectorization", told.get("used", ""), told.get("reason", ""))


def _early_stop(run: Run, _: Mapping[str, Any]) -> Iterator[Fact]:
    if option := run.spec.get("early_stop"):
        after = percent(option["after_fraction"])
        yield Fact("Early stop", f"below {option['below']}, from {after} on")


def _mirror(run: Run, _: Mapping[str, Any]) -> Iterator[Fact]:
    if run.spec.get("tensorboard"):
        command = f"tensorboard --logdir {run.directory.tensorboard}"
        yield Fact(FIELDS["tensorboard"].title, command, is_command=True)


# Fields whose line takes more than their value.
_IN_OTHER_WORDS: dict[str, Callable[[Run, Mapping[str, Any]], Iterator[Fact]]] = {
    "total_timesteps": _length,
    "environment_kwargs": _environment,
    "normalize": _normalization,
    "eval_freq": _evaluations,
    "vectorization": _stepping,
    "early_stop": _early_stop,
    "tensorboard": _mirror,
}
