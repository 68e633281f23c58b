"""Many runs at once: a configuration's seeds, and the lines of a batch file."""

import fcntl
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.db import transaction

from apps.errors import FieldError, InvalidSpec
from apps.experiments.models import Run
from apps.foreign.batches import Line, read_batch
from apps.jobs.drafts import Origin, create
from apps.jobs.tasks import work_on_runs
from apps.jobs.verbs import checking, life
from apps.jobs.verbs.checking import Asker
from apps.jobs.verbs.naming import (
    MAX_NAME_LENGTH,
    UNNAMED,
    Naming,
    check_run_name,
    experiment_name,
)
from apps.jobs.verbs.refusals import Refused
from apps.spec.run import RunSpec
from apps.spec.seeds import configuration_hash
from apps.text import names

# An experiment, a configuration and a seed: a batch file adds no second run of the same three.
Identity = tuple[str, str, int | None]
# How a value that a grid gives stands in a name; others stand as name=value.
IN_NAMES = {"algorithm": "{}", "environment": "{}", "seed": "s{}"}


def launch_all(
    specs: Sequence[RunSpec],
    naming: Naming = UNNAMED,
    is_started: bool = True,
    origin: Origin | None = None,
) -> list[Run]:
    """Make runs that differ in their seeds, and queue them unless they are to stay drafts."""
    if not is_started:
        return [create(spec, own, origin) for spec, own in named(specs, naming)]
    return _launch(named(specs, naming), origin)


def _launch(pairs: Iterable[tuple[RunSpec, Naming]], origin: Origin | None = None) -> list[Run]:
    """Make and queue runs; the first begins when all wait, so that they share the cores."""
    runs = [life.enqueue(create(spec, own, origin)) for spec, own in pairs]
    for _ in runs:
        transaction.on_commit(work_on_runs)
    return runs


def named(specs: Sequence[RunSpec], naming: Naming) -> Iterator[tuple[RunSpec, Naming]]:
    """Yield each spec with its name: one name for all, with the seed behind it where they differ.

    A name that is left empty is made from the spec; for several it is one that none of them has to
    share with a run that is there.
    """
    name = naming.name
    if len(specs) > 1:
        name = name or _free_group_name(specs)
    for spec in specs:
        suffix = f"-s{spec.seed}" if len(specs) > 1 else ""
        yield spec, replace(naming, name=name[: MAX_NAME_LENGTH - len(suffix)] + suffix)


def _free_group_name(specs: Sequence[RunSpec]) -> str:
    base = f"{specs[0].algorithm}-{specs[0].environment}"
    seeds = [f"-s{spec.seed}" for spec in specs]
    taken = set(Run.objects.filter(name__startswith=base).values_list("name", flat=True))
    names = itertools.chain([base], (f"{base}-{n}" for n in itertools.count(2)))
    return next(name for name in names if taken.isdisjoint(name + seed for seed in seeds))


@dataclass(slots=True)
class PlannedRun:
    """One run that a batch file asks for.

    Attributes:
        spec: What it does.
        naming: What it is called, and in which experiment.
        identity: What tells it apart from every other run of a batch.
        run: The run: one that was there already, or the one that was made.
        state: `new`: to be made, or made now; `there`: made earlier; `repeated`: the file asks for
            it twice, and this is not the first time.
    """

    spec: RunSpec
    naming: Naming
    identity: Identity
    run: Run | None = None
    state: Literal["new", "there", "repeated"] = "new"


@dataclass(slots=True)
class PlannedLine:
    """What becomes of one line of a batch file.

    Attributes:
        line: The line.
        runs: Its runs, none when it is refused.
        errors: Why it is refused.
    """

    line: Line
    runs: list[PlannedRun] = field(default_factory=list)
    errors: list[FieldError] = field(default_factory=list)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until nobody on this machine plans or queues a batch; hold it around both.

    Without it the same file, called twice at once, would find nothing there both times.
    """
    fd = os.open(Path(settings.HOME) / "batch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def plan(text: str, command: str = "", asker: Asker = Asker.LOGIN) -> list[PlannedLine]:
    """Say what a batch file would do, and do nothing.

    Raises:
        InvalidSpec: It cannot be read as a batch file at all.
    """
    lines = [_planned(line, command, asker) for line in read_batch(text)]
    known = _runs_that_are_there([run for line in lines for run in line.runs])
    seen: set[Identity] = set()
    for run in (run for line in lines for run in line.runs):
        run.run = known.get(run.identity)
        if run.identity in seen:
            run.state = "repeated"
        elif run.run is not None:
            run.state = "there"
        seen.add(run.identity)
    return lines


def carry_out(lines: Sequence[PlannedLine]) -> list[Run]:
    """Queue what a plan says is new, and return it.

    Raises:
        Refused: A line is refused; nothing was queued.
    """
    refused = sum(bool(line.errors) for line in lines)
    if refused:
        raise Refused(f"nothing is queued: {refused} of {len(lines)} lines are refused")
    new = [run for line in lines for run in line.runs if run.state == "new"]
    runs = _launch((planned.spec, planned.naming) for planned in new)
    for planned, run in zip(new, runs, strict=True):
        planned.run = run
    return runs


def _planned(line: Line, command: str, asker: Asker) -> PlannedLine:
    if line.errors:
        return PlannedLine(line, errors=line.errors)
    try:
        specs = line.specs(checking.check_spec(line.data, asker))
        priority = life.check_priority(line.priority)
        given = Naming(line.name, line.experiment, command, priority)
        check_run_name(given.name)
    except InvalidSpec as refused:
        return PlannedLine(line, errors=refused.errors)
    experiment = experiment_name(specs[0], given.experiment)
    name = names.derived(_name_of(line, given.name, specs[0]), "run")
    naming = replace(given, name=name, experiment=experiment)
    configuration = configuration_hash(specs[0].as_dict())
    # A name that is made from the spec is made when the run is: others may come before it.
    pairs = named(specs, naming) if naming.name else ((spec, naming) for spec in specs)
    runs = [PlannedRun(s, own, (experiment, configuration, s.seed)) for s, own in pairs]
    return PlannedLine(line, runs)


def _name_of(line: Line, base: str, spec: RunSpec) -> str:
    """Return a name that tells a grid's lines apart; empty leaves it to the spec alone."""
    varied = line.varied
    if not base:
        if set(varied) <= set(IN_NAMES):
            return ""
        base = f"{spec.algorithm}-{spec.environment}"
        varied = {k: v for k, v in varied.items() if k not in ("algorithm", "environment")}
    parts = [
        IN_NAMES.get(key, key.rpartition(".")[2] + "={}").format(_short(value))
        for key, value in varied.items()
    ]
    return "-".join([base, *parts])


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _runs_that_are_there(planned: Sequence[PlannedRun]) -> Mapping[Identity, Run]:
    """Find the runs that are the same as planned ones, in one query; the oldest of several."""
    experiments, hashes = {run.identity[0] for run in planned}, {r.identity[1] for r in planned}
    runs = Run.objects.independent().filter(
        experiment__name__in=experiments, configuration_hash__in=hashes
    )
    found = runs.select_related("experiment").defer("spec", "error").order_by("-created_at", "-pk")
    return {(run.experiment.name, run.configuration_hash, run.seed): run for run in found}
