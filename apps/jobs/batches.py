"""Many runs at once: a configuration's seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from apps.engine.spec import RunSpec
from apps.experiments.models import Run
from apps.jobs import control
from apps.jobs.control import MAX_NAME_LENGTH, UNNAMED, Naming


def launch_all(
    specs: Sequence[RunSpec], naming: Naming = UNNAMED, is_started: bool = True
) -> list[Run]:
    """Make runs that differ in their seeds, and queue them unless they are to stay drafts."""
    make = control.launch if is_started else control.create
    return [make(spec, own) for spec, own in named(specs, naming)]


def named(specs: Sequence[RunSpec], naming: Naming) -> Iterator[tuple[RunSpec, Naming]]:
    """Yield each spec with its name: where they share one, the seed goes behind it.

    A name that is left empty is made from the spec, with its seed.
    """
    for spec in specs:
        name = naming.name.strip()
        if name and len(specs) > 1:
            suffix = f"-s{spec.seed}"
            name = name[: MAX_NAME_LENGTH - len(suffix)] + suffix
        yield spec, replace(naming, name=name)
