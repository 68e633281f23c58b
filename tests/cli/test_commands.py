"""The commands: what they print, what they refuse; training in a terminal is the real thing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.test import Client
from pytest_django import Settings

from apps.cli.management.commands import up
from apps.cli.shapes import run_as_dict
from apps.experiments.models import Checkpoint, Run
from apps.experiments.statuses import RunStatus
from tests.builders import make_run
from tests.cli.calling import TINY, call, manage

ZOO_FILE = """
default: &base
  n_timesteps: !!float 1e5
  n_envs: 4
  n_steps: 256
  batch_size: 64
  normalize: "dict(clip_obs=5)"
  policy: MlpPolicy
  policy_kwargs: "dict(net_arch=[32], optimizer_class=torch.optim.RMSprop)"
Broken-v0:
  <<: *base
  wings: 2
"""
YAML_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.slow
def test_a_first_command_on_a_fresh_machine_trains_evaluates_and_films(tmp_path: Path) -> None:
    """The interpreter starts from nothing, too, and prints nothing but the result."""
    environment = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    done = subprocess.run(
        [
            sys.executable,
            "manage.py",
            "train",
            "--algo",
            "ppo",
            "--env",
            "Acrobot-v1",
            *TINY,
            "-n",
            "600",
            "--eval-episodes",
            "1",
            "--json",
        ],
        env={**environment, "RLGYM_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["status"], run["progress"], run["environment"]) == ("completed", 1.0, "Acrobot-v1")
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
    provenance = json.loads((Path(run["directory"]) / "provenance.json").read_text())
    assert "train --algo ppo" in provenance["command"]
    (evaluation,) = run["evaluations"]
    assert evaluation["status"] == "completed"
    assert Path(evaluation["video"]).stat().st_size > 1000
    again = json.loads(
        manage(
            tmp_path, "evaluate", f"{run['id'][:6]}@last", "-n", "2", "--no-video", "--json"
        ).stdout
    )
    assert (again["n_episodes"], again["video"], again["step"]) == (2, None, run["step"])
    (listed,) = json.loads(manage(tmp_path, "runs", "--json").stdout)
    assert listed["id"] == run["id"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--algo", "alchemy"), "'alchemy' is not an algorithm here; allowed: ppo, dqn"),
        (("--env", "CartPol-v1"), "did you mean CartPole-v1"),
        (("--algo", "dqn", "--env", "Pendulum-v1"), "DQN cannot act in Pendulum-v1"),
        (("-n", "0"), "0 is not allowed; it must be a whole number from 1"),
        (("-params", "n_steps"), "'n_steps' is not name:value"),
        (("-params", "speed:9"), "PPO has no such hyperparameter"),
        (("--preset", "heroic"), "allowed: fast, stable, high_score"),
    ],
)
def test_a_refusal_is_one_plain_line_and_code_1(
    shared_home: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = manage(shared_home, "train", *arguments, code=1)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_run_that_fails_ends_with_code_1_and_its_reason(tmp_path: Path) -> None:
    done = manage(tmp_path, "train", "--env", "MountainCar-v0", *TINY, "-n", "64", code=1)
    assert "no episode ended" in done.stderr.splitlines()[-1]


@pytest.mark.django_db
@pytest.mark.usefixtures("home")
class TestWithRows:
    def test_an_empty_list_says_how_to_begin(self) -> None:
        assert "train" in call("runs")
        assert json.loads(call("runs", "--json")) == []

    def test_runs_are_filtered_and_ordered(self) -> None:
        make_run(name="low", return_best=1.0)
        make_run(name="high", return_best=9.0, status=RunStatus.COMPLETED)
        names = [run["name"] for run in json.loads(call("runs", "--json", "--order=-return_best"))]
        assert names[0] == "high"
        only = json.loads(call("runs", "--json", "--status", "completed"))
        assert [run["name"] for run in only] == ["high"]
        after = json.loads(call("runs", "--json", "--order=-return_best", "--after", "high"))
        assert [run["name"] for run in after] == ["low"]
        assert (
            json.loads(call("runs", "--json", "--experiment", "Tests", "--search", "nobody")) == []
        )
        with pytest.raises(CommandError, match="created_from: 'today' is not allowed"):
            call("runs", "--created-from", "today")
        with pytest.raises(CommandError, match="allowed: created_at,"):
            call("runs", "--order", "secret")

    def test_tables_are_printed_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        run = make_run(status=RunStatus.FAILED, error="Traceback: [boom]")
        call("runs")
        call("run", run.pk)
        printed = capsys.readouterr().out
        assert run.pk in printed
        assert "[boom]" in printed

    def test_environments_are_listed_and_shown(self, capsys: pytest.CaptureFixture[str]) -> None:
        listed = json.loads(call("environments", "--algo", "sac", "--search", "hill", "--json"))
        assert [each["id"] for each in listed] == ["MountainCarContinuous-v0"]
        shown = json.loads(call("environments", "CartPole-v1", "--json"))
        assert shown["observation_space"]["numbers"][2]["unit"] == "rad"
        call("environments", "--family", "minigrid")
        call("environments", "Pendulum-v1")
        printed = capsys.readouterr().out
        assert "MiniGrid-Unlock-v0" in printed
        assert "torque" in printed
        with pytest.raises(CommandError, match="in no list here"):
            call("environments", "Nope-v0")

    @pytest.mark.slow
    def test_a_check_prints_what_training_takes(self) -> None:
        found = json.loads(call("preflight", "--env", "CartPole-v1", *TINY, "--json"))
        assert found["severity"] == "ok"
        assert found["eta_s"] > 0
        with pytest.raises(CommandError, match="from 1 to 256"):
            call("preflight", "--n-envs", "10000")

    def test_a_run_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(CommandError, match="no run has the id"):
            call("run", "nothere")

    def test_training_from_a_file_of_the_zoo_takes_its_entry_and_options_win(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (path := tmp_path / "ppo.yml").write_text(ZOO_FILE)
        words = ["--env", "Pendulum-v1", "-conf", str(path), "-P", "--queue", "--json"]
        run = json.loads(call("train", *words, "--n-envs", "2", "-params", "gamma:0.5"))
        spec = Run.objects.get(pk=run["id"]).spec
        assert (spec["n_envs"], spec["total_timesteps"]) == (2, 100_000)
        given = {name: spec["hyperparameters"][name] for name in ("n_steps", "gamma", "net_arch")}
        assert given == {"n_steps": 256, "gamma": 0.5, "net_arch": [32]}
        assert spec["normalize"]["clip_obs"] == 5.0
        notes = capsys.readouterr().err
        assert "note: it says nothing of Pendulum-v1; taken is what it says of default" in notes
        assert "note: without its optimizer_class" in notes
        run = json.loads(call("train", *words, "-n", "64", "--normalize", "false"))
        spec = Run.objects.get(pk=run["id"]).spec
        assert (spec["total_timesteps"], spec["normalize"]) == (64, None)

    @pytest.mark.parametrize(
        ("text", "words", "said"),
        [
            ("CartPole-v1: {wings: 2}", [], "CartPole-v1.wings: not supported; leave it out"),
            ("Other-v0: {}", [], "it says nothing of CartPole-v1, and has no default"),
            (YAML_BOMB, [], "unfolds to more than 20000 values"),
            ("x" * 300_000, [], "longer than 262144 bytes"),
            (None, [], "No such file"),
            ("{}", ["--preset", "fast"], "give either --preset or -conf, not both"),
            ("{}", ["--algo", "alchemy"], "'alchemy' is not an algorithm; allowed: ppo, dqn"),
        ],
    )
    def test_a_file_of_the_zoo_that_cannot_be_taken_is_refused(
        self, tmp_path: Path, text: str | None, words: list[str], said: str
    ) -> None:
        path = tmp_path / "ppo.yml"
        if text is not None:
            path.write_text(text)
        with pytest.raises(CommandError) as refused:
            call("train", "-conf", str(path), *words)
        assert said in str(refused.value)
        assert not Run.objects.exists()

    @pytest.mark.parametrize(
        ("words", "kept"),
        [
            (["--normalize"], (True, True, 10.0)),
            (["--normalize", "norm_reward:false", "clip_obs:5"], (True, False, 5.0)),
            (["-params", "normalize:True"], (True, True, 10.0)),
            (["-params", "normalize:dict(norm_obs=False)"], (False, True, 10.0)),
        ],
    )
    def test_what_is_normalised_is_said_in_words(
        self, words: list[str], kept: tuple[Any, ...]
    ) -> None:
        run = json.loads(call("train", "--queue", "--json", *words))
        normalize = Run.objects.get(pk=run["id"]).spec["normalize"]
        assert (normalize["norm_obs"], normalize["norm_reward"], normalize["clip_obs"]) == kept

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--normalize", "speed:9"], "normalize.speed: unknown; allowed: norm_obs"),
            (["--normalize", "yes"], "'yes' is not name:value"),
            (["-params", "normalize:open('x')"], "normalize: \"open('x')\" cannot be read"),
            (["--normalize", "--env", "FrozenLake-v1"], "set norm_obs to false"),
        ],
    )
    def test_what_cannot_be_normalised_is_refused(self, words: list[str], said: str) -> None:
        with pytest.raises(CommandError) as refused:
            call("train", "--queue", *words)
        assert said in str(refused.value)

    def test_stopping_a_run_that_has_ended_lists_the_legal_moves(self) -> None:
        run = make_run(status=RunStatus.COMPLETED)
        with pytest.raises(CommandError, match="completed cannot become stopped"):
            call("stop", run.pk)

    def test_stopping_a_queued_run(self) -> None:
        run = make_run(status=RunStatus.QUEUED)
        assert json.loads(call("stop", run.pk, "--json"))["status"] == "stopped"

    def test_evaluating_a_checkpoint_that_is_not_there_lists_those_that_are(self) -> None:
        run = make_run(status=RunStatus.COMPLETED)
        Checkpoint.objects.create(run=run, step=100)
        with pytest.raises(CommandError, match="it has checkpoints at 100"):
            call("evaluate", f"{run.pk}@50")

    def test_reindexing_names_what_it_could_not_read(self) -> None:
        make_run().directory.spec.write_text("{")
        with pytest.raises(CommandError, match="1 directories could not be read"):
            call("reindex")

    def test_a_login_link_works_once(self, client: Client) -> None:
        said = json.loads(call("login_link", "--json"))
        path = said["link"].removeprefix("http://127.0.0.1:8000")
        assert client.get(path).status_code == 302
        assert client.get("/").status_code == 200
        assert Client().get(path).status_code == 403
        with pytest.raises(CommandError, match="no active user"):
            call("login_link", "--user", "nobody")

    def test_a_run_reads_the_same_in_commands_and_api(self, admin_client: Client) -> None:
        run = make_run(status=RunStatus.COMPLETED, return_best=3.0)
        shown: dict[str, Any] = admin_client.get(f"/api/v1/runs/{run.pk}").json()
        printed = json.loads(json.dumps(run_as_dict(run)))
        times = {"created_at", "started_at", "finished_at", "experiment"}
        common = set(printed) - times
        assert {name: shown.get(name) for name in common} == {
            name: printed[name] for name in common
        }

    @pytest.mark.parametrize("debug", [True, False])
    def test_up_refuses_to_be_open_without_a_user_or_with_debug(
        self, settings: Settings, debug: bool
    ) -> None:
        settings.DEBUG = debug
        said = "RLGYM_DEBUG" if debug else "createsuperuser"
        with pytest.raises(CommandError, match=said):
            up.Command().prepare("0.0.0.0")

    def test_up_makes_the_first_admin(self, django_user_model: Any) -> None:
        up.Command().prepare("127.0.0.1")
        admin = django_user_model.objects.get()
        assert admin.is_superuser
        assert not admin.has_usable_password()
        up.Command().prepare("0.0.0.0")  # Now there is a user.
        assert django_user_model.objects.count() == 1

    def test_the_demo_s_film_needs_the_demo(self) -> None:
        with pytest.raises(CommandError, match="goes with --demo"):
            call("up", "--no-serve")

    def test_doctor_finds_this_machine_in_order(self) -> None:
        found = {entry["name"]: entry["state"] for entry in json.loads(call("doctor", "--json"))}
        assert found == {
            "packages": "ok",
            "sbx": "ok",
            "tensorboard": "ok",
            "device": "ok",
            "ffmpeg": "ok",
            "database": "ok",
            "media": "ok",
            "queue": "ok",
            "disk": "ok",
            "worker": "warning",
        }


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("RLGYM_WORKERS", "many", "must be a whole number from 1 to 64"),
        ("RLGYM_WORKERS", "0", "must be a whole number from 1 to 64"),
        ("RLGYM_DEBUG", "perhaps", "must be 0, 1, true or false"),
        ("RLGYM_HOME", "/proc/nothing", "cannot be made"),
    ],
)
def test_a_malformed_setting_is_refused_at_start(variable: str, value: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import rlgym.settings"],
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert variable in done.stderr.splitlines()[-1]
