"""What a run is called: the names that a user gives it, and those that are made for it."""

from dataclasses import dataclass

from apps.errors import FieldError, InvalidSpec
from apps.experiments.models import Run
from apps.spec.run import RunSpec
from apps.text import names

MAX_NAME_LENGTH = names.LIMITS["run"]
SHORTEST_PREFIX = 3  # Shorter ones are hardly ever unique, and so find no run anyway.
NUMBER_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Naming:
    """What a user may say of a run beside its spec.

    Attributes:
        name: The run's name; empty makes one from the spec.
        experiment: The experiment's name, made when it is new; empty names one after the spec.
        command: What the user typed or clicked, for the provenance.
        priority: The highest leaves the queue first; see `control.check_priority`.

    Raises:
        InvalidSpec: A name is not allowed (`text.names`).
    """

    name: str = ""
    experiment: str = ""
    command: str = ""
    priority: int = 0

    def __post_init__(self) -> None:
        given = {"name": (self.name, "run"), "experiment": (self.experiment, "experiment")}
        wrong = {field: names.wrong_with(*value) for field, value in given.items()}
        if errors := [FieldError(field, words) for field, words in wrong.items() if words]:
            raise InvalidSpec(errors)
        # The class is frozen, so that nobody changes a name after it was checked.
        for field, (value, _) in given.items():
            object.__setattr__(self, field, names.kept(value))
        object.__setattr__(self, "command", names.one_line(self.command))


UNNAMED = Naming()


def check_run_name(name: str) -> str:
    """Return a run's name that is allowed in itself, unless it hides another run's id.

    Raises:
        InvalidSpec: Who types it would mean the run whose id begins with it.
    """
    if hidden := _hidden_id(name):
        message = f"{name!r} is not allowed; the id of run {hidden} begins with it"
        raise InvalidSpec([FieldError("name", message)])
    return name


def _hidden_id(name: str) -> str | None:
    """Return the id that whoever types this name would mean instead, None if there is none."""
    if len(name) < SHORTEST_PREFIX:
        return None
    return Run.objects.filter(pk__startswith=name).values_list("pk", flat=True).first()


def experiment_name(spec: RunSpec, given: str = "") -> str:
    """Return the name of the experiment that a run belongs to when it is given this one."""
    return given or names.derived(f"{spec.algorithm.upper()} on {spec.environment}", "experiment")


def free_name(base: str) -> str:
    """Return a name that no run has, made by numbering this one, cut where it is long."""
    base = names.derived(base, "run")[: MAX_NAME_LENGTH - NUMBER_LENGTH]
    base = f"run-{base}" if names.reserved(base) or _hidden_id(base) else base
    taken = set(Run.objects.filter(name__startswith=base).values_list("name", flat=True))
    if base not in taken:
        return base
    return next(f"{base}-{n}" for n in range(2, len(taken) + 3) if f"{base}-{n}" not in taken)
