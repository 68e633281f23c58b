"""Many runs, their order, and saving, from the command line."""

import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from tests.builders import make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def test_seeds_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("-n", "256", "--seeds", "2", "--seed", "5", "--priority", "-3", "--milestones")
    call_command("train", *options, "--early-stop", "below:9", "--queue", "--json")
    runs = json.loads(capsys.readouterr().out)
    assert [(run["seed"], run["priority"]) for run in runs] == [(5, -3), (6, -3)]
    assert all(run.spec["milestones"] for run in Run.objects.all())
    assert Run.objects.all()[0].spec["early_stop"] == {"after_fraction": 0.5, "below": 9}
    with pytest.raises(CommandError, match="priority: '101' is not allowed"):
        call_command("train", "--priority", "101", "--queue")
    for seeds in ("101", "0"):
        with pytest.raises(CommandError, match=f"seeds: {seeds} is not allowed"):
            call_command("train", "--seeds", seeds, "--queue")


def test_a_batch_says_what_becomes_of_each_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "batch.yaml"
    file.write_text("runs:\n  - {seeds: 3, experiment: '[red]Q'}\n")

    def call(*options: str) -> str:
        call_command("train_batch", str(file), *options)
        return capsys.readouterr().out

    assert "3 runs would be queued." in call("--dry-run")
    assert not Run.objects.exists()
    assert "3 runs queued." in call()
    said = json.loads(call("--json"))
    assert (said["new"], said["there"], said["refused"]) == (0, 3, 0)
    assert said["lines"][0]["runs"][0]["status"] == "queued"
    assert "3 there already" in call("--dry-run")
    assert Run.objects.count() == 3


@pytest.mark.parametrize("option", [(), ("--json",), ("--dry-run",)])
def test_a_refused_line_is_named_and_nothing_is_queued(
    option: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "batch.yaml"
    file.write_text("runs:\n  - {seeds: 3}\n  - {algorithm: alchemy}\n")
    with pytest.raises(CommandError, match="nothing is queued: 1 of 2 lines"):
        call_command("train_batch", str(file), *option)
    assert "alchemy" in capsys.readouterr().out
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"\xff\xfe", "is not text"), (b"x" * 300_000, "longer than")],
)
def test_a_file_that_cannot_be_read_is_refused(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "batch.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=said):
        call_command("train_batch", str(file))


def test_saving_a_run_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(status=RunStatus.RUNNING, owner="host:1:x", attempt=1)
    call_command("save", run.pk)
    assert "asked to save" in capsys.readouterr().out
    with pytest.raises(CommandError, match="only a run that goes on running"):
        call_command("save", make_run(name="ended", status=RunStatus.COMPLETED).pk)
