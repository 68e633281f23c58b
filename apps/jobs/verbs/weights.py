"""Start a run from weights alone: of a run's checkpoint, or of a model file of anybody's.

The spec is the new run's own; what shapes the networks is told by the file. Nothing of a file is
unpickled here or later: see `foreign.models`.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from apps.catalogue.algorithms.backends import DEFAULT_BACKEND
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.errors import DamagedCheckpoint, FieldError, InvalidSpec, RefusedFile
from apps.experiments.models import Run, RunNotFound
from apps.experiments.statuses import Relation
from apps.foreign import models
from apps.foreign.models import ModelFile
from apps.foreign.shapes import Networks, networks_of
from apps.jobs.descriptions import describe
from apps.jobs.drafts import Origin
from apps.jobs.verbs import checking, evaluations
from apps.jobs.verbs.checking import Asker
from apps.jobs.verbs.lineage import NETWORK_HYPERPARAMETERS
from apps.jobs.verbs.refusals import Refused
from apps.rundir.checkpoints import TORCH_FILE
from apps.spec.run import RunSpec
from apps.text import names

FILE_SUFFIX = ".zip"
# What comes with a run's environment unless another one is asked for.
WORLD = ("environment", "environment_kwargs", "wrappers", "frame_stack", "normalize")


@dataclass(frozen=True, slots=True)
class Start:
    """Weights to start from.

    Attributes:
        file: The model file, read.
        origin: Where a run that starts from it comes from.
        field: What a refusal calls it: `init` for a run, `file` for a file.
    """

    file: ModelFile
    origin: Origin
    field: str


def given(init: str = "", path: Path | None = None, file_name: str = "") -> Start | None:
    """Find the weights that a form or a request names, None when it names none.

    Args:
        init: A run, as for `from_run`; empty: none.
        path: An uploaded file, None: none.
        file_name: What its user calls that file.

    Raises:
        InvalidSpec: Both are given, or what is given is not fit to start from.
    """
    if init and path:
        message = "give either a run or a file to start from, not both"
        raise InvalidSpec([FieldError("init", message)])
    if path:
        return from_file(path, file_name)
    return from_run(init) if init else None


def from_text(text: str) -> Start:
    """Find what `-i` names: a file, else a run.

    Raises:
        InvalidSpec: It is not there, or not fit to start from.
    """
    path = Path(text)
    is_file = path.suffix == FILE_SUFFIX or path.is_file()
    return from_file(path, path.name) if is_file else from_run(text)


def from_run(text: str) -> Start:
    """Find the checkpoint that `RUN`, `RUN@best`, `RUN@last` or `RUN@STEP` names.

    Raises:
        InvalidSpec: There is none, or its files are not those that were recorded.
    """
    name, _, at = text.replace("\0", "").partition("@")
    try:
        run = Run.objects.resolve(name)
        backend = run.spec.get("backend", DEFAULT_BACKEND)
        if backend != DEFAULT_BACKEND:
            raise Refused(
                f"run {run.pk} was trained by {backend}, whose weights are in no model file; "
                "`continue` or `branch` goes on from it"
            )
        checkpoint = evaluations.checkpoint_at(run, at or "last")
        manifest = checkpoint.verify(only=TORCH_FILE)
        path = run.directory.checkpoints / str(checkpoint.step) / TORCH_FILE
        file = models.read(path)
        if manifest["files"][TORCH_FILE]["sha256"] != file.sha256:
            raise DamagedCheckpoint(f"{TORCH_FILE} has just been exchanged")
    except (OSError, DamagedCheckpoint) as error:
        message = (
            f"the files of checkpoint {checkpoint.step} of run {run.pk} are gone or damaged: "
            f"{error}"
        )
        raise InvalidSpec([FieldError("init", message)]) from error
    except (RunNotFound, Refused, RefusedFile) as error:
        raise InvalidSpec([FieldError("init", str(error))]) from error
    origin = Origin(run, checkpoint.step, Relation.SEED, path)
    return Start(file, origin, "init")


def from_file(path: Path, name: str) -> Start:
    """Read a model file of anybody's.

    Args:
        path: The file.
        name: What its user calls it.

    Raises:
        InvalidSpec: It is no model file, or not safe to read, or its name is not allowed.
    """
    try:
        file = models.read(path)
    except RefusedFile as error:
        raise InvalidSpec([FieldError("file", str(error))]) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise InvalidSpec([FieldError("file", message)]) from error
    file_name = names.read("file", Path(name).name, "file") or names.derived(path.name, "file")
    return Start(file, Origin(None, None, Relation.IMPORT, path, file_name), "file")


def check_spec(
    data: Mapping[str, Any], start: Start | None, asker: Asker = Asker.LOGIN
) -> RunSpec:
    """Validate a spec wholly, with what the weights that it starts from need.

    Raises:
        InvalidSpec: Lists every refused field.
    """
    if start is None:
        return checking.check_spec(data, asker)
    parent = start.origin.parent
    algorithm = _algorithm_of(data, start)
    try:
        networks = networks_of(start.file, algorithm)
    except RefusedFile as error:
        raise InvalidSpec([FieldError(start.field, str(error))]) from error
    is_same = parent and data.get("environment", parent.environment) == parent.environment
    world = parent.spec if parent and is_same else {}
    hyperparameters = data.get("hyperparameters", {})
    if isinstance(hyperparameters, Mapping):  # Else the spec has the words for it.
        hyperparameters = _completed(hyperparameters, algorithm, _needed(networks, parent))
    whole = {
        **{name: world[name] for name in WORLD if name in world},
        **data,
        "algorithm": algorithm,
        "hyperparameters": hyperparameters,
    }
    spec = checking.check_spec(whole, asker, inherited=parent.spec if parent else None)
    _refuse_other_spaces(spec, networks)
    return replace(spec, weights=start.file.sha256)


def _algorithm_of(data: Mapping[str, Any], start: Start) -> str:
    """Return the algorithm that is asked for, else the file's."""
    parent = start.origin.parent
    known = (parent.algorithm,) if parent else start.file.algorithms
    algorithm = data.get("algorithm") or (known[0] if known else "")
    if not algorithm:
        message = "it does not say which algorithm it is of; give one"
        raise InvalidSpec([FieldError("algorithm", message)])
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        RunSpec.from_dict({"algorithm": algorithm})  # It has the words for that.
    if known and algorithm not in known:
        titles = " or ".join(ALGORITHMS[name].title for name in known)
        raise InvalidSpec(
            [
                FieldError(
                    "algorithm",
                    f"{algorithm!r} is not allowed; these weights are of {titles}, and another "
                    "algorithm cannot use them",
                )
            ]
        )
    return algorithm


def _needed(networks: Networks, parent: Run | None) -> dict[str, Any]:
    """Return the hyperparameters that make these networks; the parent's where there is one."""
    needed = dict(networks.hyperparameters)
    own = parent.spec["hyperparameters"] if parent else {}
    shaping = NETWORK_HYPERPARAMETERS | needed.keys()
    return needed | {name: value for name, value in own.items() if name in shaping}


def _completed(
    given: Mapping[str, Any], algorithm: str, needed: Mapping[str, Any]
) -> dict[str, Any]:
    """Return given hyperparameters with the needed ones that are left out or null.

    Raises:
        InvalidSpec: One is given that makes other networks.
    """
    errors = []
    for name, value in needed.items():
        if given.get(name) is None:
            continue
        with suppress(ValueError):  # The spec has the words for it.
            wanted = ALGORITHMS[algorithm].hyperparameters[name].parse(given[name])
            if _makes_others(name, wanted, value):
                errors.append(
                    FieldError(
                        f"hyperparameters.{name}",
                        f"{wanted!r} is not allowed; the weights are of networks with {value!r}",
                    )
                )
    if errors:
        raise InvalidSpec(errors)
    left_out = {name: value for name, value in needed.items() if given.get(name) is None}
    return {**given, **left_out}


def _makes_others(name: str, value: Any, needed: Any) -> bool:
    if name == "ent_coef":  # Learnt or fixed: that decides whether there is an optimizer of it.
        return str(value).startswith("auto") != str(needed).startswith("auto")
    # Weights do not tell which activation a policy has by default.
    return bool(value != needed) and not (name == "activation_fn" and needed is None)


def _refuse_other_spaces(spec: RunSpec, networks: Networks) -> None:
    """Refuse an environment whose observations or actions are of other sizes than the file's."""
    described = describe(spec)
    told = {"observation": networks.n_inputs, "action": networks.n_outputs}
    words = []
    for what, theirs in told.items():
        ours = _size(described[f"{what}_space"])
        if None not in {theirs, ours} and theirs != ours:
            words.append(f"its {what}s are of {ours} numbers and the weights are for {theirs}")
    if words:
        message = f"{spec.environment} is not allowed; {' and '.join(words)}"
        raise InvalidSpec([FieldError("environment", message)])


def _size(space: Mapping[str, Any]) -> int | None:
    """Return how many numbers a policy reads or gives for a space, None where that varies."""
    if space["kind"] == "discrete":
        return int(space["n"])
    return prod(space["shape"]) if space["kind"] in {"box", "multi_binary"} else None
