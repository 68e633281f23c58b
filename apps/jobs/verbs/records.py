"""The verbs about what is kept: experiments, names, and the trash."""

import shutil
from pathlib import Path

from django.conf import settings

from apps.experiments.artifacts import experiment_file
from apps.experiments.models import Experiment, Run
from apps.jobs import leftovers
from apps.jobs.verbs import evaluations, reindex
from apps.jobs.verbs.naming import check_run_name
from apps.jobs.verbs.refusals import Refused
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json, write_json
from apps.text import names


def create_experiment(name: str, hypothesis: str = "") -> Experiment:
    """Make an experiment; runs join it by its name.

    Raises:
        InvalidSpec: The name or the hypothesis is not allowed.
        Refused: One of that name exists.
    """
    name = names.read("name", name, "experiment", is_required=True)
    if Experiment.objects.filter(name=name).exists():
        raise Refused(f"an experiment named {name!r} exists already")
    return set_hypothesis(Experiment(name=name), hypothesis)


def set_hypothesis(experiment: Experiment, hypothesis: str) -> Experiment:
    """Write down what an experiment is to show, in its file and its row.

    Raises:
        InvalidSpec: The text is not allowed.
    """
    hypothesis = names.read("hypothesis", hypothesis, "hypothesis")
    path = experiment_file(experiment.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        path,
        {
            "name": experiment.name,
            "hypothesis": hypothesis,
            "created_at": experiment.created_at.isoformat(),
        },
    )
    fields = {"hypothesis": hypothesis, "created_at": experiment.created_at}
    found, _ = Experiment.objects.update_or_create(name=experiment.name, defaults=fields)
    return found


def rename(run: Run, name: str) -> Run:
    """Give a run another name, in its directory and its row.

    Raises:
        InvalidSpec: The name is not allowed, or hides another run.
    """
    name = check_run_name(names.read("name", name, "run", is_required=True))
    write_json(run.directory.record, {**read_json(run.directory.record), "name": name})
    Run.objects.filter(pk=run.pk).update(name=name)
    run.name = name
    return run


def delete(run: Run) -> None:
    """Move a run's directory to the trash and drop its rows; `restore` undoes it.

    Evaluations and films of it that wait or are worked on are cancelled: their processes end.

    Raises:
        Refused: The run is queued or running.
    """
    if run.is_active:
        raise Refused(
            f"run {run.pk} cannot be deleted while it is {run.status}; stop it or wait, "
            "then delete"
        )
    evaluations.cancel_all(run)
    trash = Path(settings.TRASH_ROOT)
    trash.mkdir(parents=True, exist_ok=True)
    if run.directory.path.exists():
        shutil.rmtree(trash / run.pk, ignore_errors=True)
        run.directory.path.rename(trash / run.pk)
    Run.objects.filter(pk=run.pk).delete()  # Through the query: the caller's object keeps its id.


def restore(run_id: str) -> Run:
    """Bring a deleted run back from the trash.

    Raises:
        Refused: It is not in the trash, or a run of that id exists.
    """
    trashed = RunDirectory(Path(settings.TRASH_ROOT) / run_id)
    target = RunDirectory(Path(settings.RUNS_ROOT) / run_id)
    if not run_id.isalnum() or not trashed.spec.exists():
        raise Refused(f"no deleted run {run_id} is in the trash")
    if target.path.exists():
        raise Refused(f"run {run_id} exists already")
    trashed.path.rename(target.path)
    leftovers.clear_in(target)  # Of what was cancelled when it was deleted.
    return reindex.reindex_run(target)
