"""How options are read: any spelling of a number, the zoo's habits, one line for a mistake."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.cli.management.commands import train
from apps.cli.option_parser import one_of, whole, whole_between
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from tests.builders import make_run
from tests.cli.calling import call, manage


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "--sede", "3"), "--sede is no option of train; did you mean --seed?"),
        (("train", "-n"), "-n: expected one argument"),
        (("train", "-n", "1.5"), "'1.5' is not allowed; it must be a whole number from 1 to"),
        (("runs", "--kind", "traind"), "allowed: trained, logged; did you mean trained?"),
        (("token", "mint"), "ACTION: 'mint' is not allowed; allowed: create, list, revoke"),
        (("run",), "the following arguments are required: RUN"),
        (("worker", "--workers", "0"), "'0' is not allowed; it must be a whole number from 1"),
        (("train", "words"), "words: not expected here; manage.py train --help"),
    ],
)
def test_a_mistake_in_options_is_one_line_and_code_1(
    shared_home: Path, words: tuple[str, ...], said: str
) -> None:
    done = manage(shared_home, *words, code=1)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.slow
def test_help_is_still_there() -> None:
    said = subprocess.run(
        [sys.executable, "manage.py", "train", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--frame-stack" in said
    assert "-h, --help" in said


@pytest.mark.django_db
@pytest.mark.usefixtures("home")
class TestSpecs:
    def train(self, *words: str) -> dict[str, Any]:
        run = json.loads(call("train", "--queue", "--json", *words))
        spec: dict[str, Any] = Run.objects.get(pk=run["id"]).spec
        return spec

    def test_whole_numbers_have_any_spelling_in_every_option(self) -> None:
        spec = self.train(
            "-n",
            "1e5",
            "--seed",
            "1.0",
            "--n-envs",
            "2e0",
            "--eval-freq",
            "10_000",
            "--eval-episodes",
            "3.0",
            "--save-freq",
            "1e4",
            "--priority",
            "1e1",
            "-params",
            "n_steps:1e2",
            "batch_size:1_00",
            "gamma:.5",
            "net_arch:[3.2e1]",
        )
        fields = ("total_timesteps", "seed", "n_envs", "eval_freq", "eval_episodes", "save_freq")
        assert [spec[name] for name in fields] == [100_000, 1, 2, 10_000, 3, 10_000]
        given = {name: spec["hyperparameters"][name] for name in ("n_steps", "batch_size")}
        assert given == {"n_steps": 100, "batch_size": 100}
        assert (spec["hyperparameters"]["gamma"], spec["hyperparameters"]["net_arch"]) == (
            0.5,
            [32],
        )

    @pytest.mark.parametrize(
        ("algorithm", "word", "fields", "values"),
        [
            ("ppo", "policy_kwargs:dict(net_arch=[64,32])", {}, {"net_arch": [64, 32]}),
            ("ppo", "policy_kwargs:dict(activation_fn=nn.ReLU)", {}, {"activation_fn": "relu"}),
            (
                "ppo",
                "policy_kwargs:dict(net_arch=dict(pi=[8], vf=[9]))",
                {},
                {"net_arch": [8], "critic_net_arch": [9]},
            ),
            ("sac", "train_freq:(1,'episode')", {}, {"train_freq": "episode"}),
            ("sac", "train_freq:(8, 'step')", {}, {"train_freq": 8}),
            ("ppo", "frame_stack:4", {"frame_stack": 4}, {}),
            ("ppo", "n_envs:8", {"n_envs": 8}, {}),
            ("ppo", "n_timesteps:2e4", {"total_timesteps": 20_000}, {}),
            ("ppo", "policy:MlpPolicy", {}, {}),
            ("ppo", "policy:'MlpPolicy'", {}, {}),
            ("ppo", "learning_rate:lin_0.001", {}, {"learning_rate": "lin_0.001"}),
            (
                "ppo",
                "env_wrapper:gymnasium.wrappers.FlattenObservation",
                {"wrappers": ["gymnasium.wrappers:FlattenObservation"]},
                {},
            ),
            (
                "ppo",
                "env_wrapper:[{'gymnasium.wrappers.TimeLimit': {'max_episode_steps': 9}}]",
                {
                    "wrappers": [
                        {
                            "path": "gymnasium.wrappers:TimeLimit",
                            "kwargs": {"max_episode_steps": 9},
                        }
                    ]
                },
                {},
            ),
            (
                "ppo",
                "env_kwargs:dict(sutton_barto_reward=True)",
                {"environment_kwargs": {"sutton_barto_reward": True}},
                {},
            ),
        ],
    )
    def test_the_zoo_s_habits_are_understood(
        self, algorithm: str, word: str, fields: dict[str, Any], values: dict[str, Any]
    ) -> None:
        environment = "Pendulum-v1" if algorithm == "sac" else "CartPole-v1"
        spec = self.train("--algo", algorithm, "--env", environment, "-params", word)
        assert {name: spec[name] for name in fields} == fields
        assert {name: spec["hyperparameters"][name] for name in values} == values

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["-params", "gamma:0.9", "gamma:0.5"], "gamma is given twice"),
            (["--env-kwargs", "x:1", "x:2"], "x is given twice"),
            (["--n-envs", "2", "-params", "n_envs:4"], "n_envs: given in -params and by an"),
            (["--normalize", "-params", "normalize:True"], "normalize: given in -params and by"),
            (["-params", "eval_freq:100"], "-params eval_freq: is no hyperparameter here; write"),
            (["-params", "timesteps:100"], "write -n N"),
            (["-params", "lr:0.1"], "did you mean learning_rate?"),
            (["-params", "policy_kwargs:dict(net_arch=open('x'))"], "policy_kwargs: "),
            (["-params", "policy_kwargs:dict(activation_fn=nn.RELU6)"], "did you mean relu?"),
            (["-params", "policy:MlpPolice"], "did you mean MlpPolicy?"),
            (["-params", "env_wrapper:7"], "env_wrapper: 7 is not a wrapper"),
            (["-params", "frame_stack:1.5"], "frame_stack: 1.5 is not a whole number"),
            (
                ["--algo", "sac", "--env", "Pendulum-v1", "-params", "train_freq:(2,'episode')"],
                "write (1, 'episode') or a number of steps",
            ),
            (["--wrapper", "none", "x:1"], "{'none': {'x': 1}} is not a wrapper"),
            (["--wrapper", "a.b:C", "x"], "'x' is not name:value"),
            (["--frame-stack", "1"], "frame_stack: 1 is not allowed"),
            (["-conf", "nowhere.yml", "--algo", "ppoo"], "did you mean ppo?"),
        ],
    )
    def test_what_cannot_be_taken_is_refused_with_the_right_form(
        self, words: list[str], said: str
    ) -> None:
        with pytest.raises(CommandError) as refused:
            call("train", "--queue", *words)
        assert said in str(refused.value)
        assert not Run.objects.exists()

    def test_wrappers_and_frame_stacks_have_options_of_their_own(self) -> None:
        spec = self.train(
            "--wrapper",
            "gymnasium.wrappers:TimeLimit",
            "max_episode_steps:1e2",
            "--wrapper",
            "gymnasium.wrappers.FlattenObservation",
            "--frame-stack",
            "4",
        )
        assert spec["frame_stack"] == 4
        assert spec["wrappers"] == [
            {"path": "gymnasium.wrappers:TimeLimit", "kwargs": {"max_episode_steps": 100}},
            "gymnasium.wrappers:FlattenObservation",
        ]
        assert self.train("--wrapper", "none")["wrappers"] == []

    def test_a_branch_and_a_check_take_them_as_well(self) -> None:
        run = make_run(status=RunStatus.COMPLETED)
        words = ("--wrapper", "gymnasium.wrappers:FlattenObservation", "--frame-stack", "2")
        with pytest.raises(CommandError, match="it has no checkpoint"):
            call("branch", run.pk, *words, "-n", "1e5")
        with pytest.raises(CommandError, match=r"frame_stack: '1.5' is not allowed"):
            call("preflight", "--frame-stack", "1.5")

    def test_an_environment_is_shown_as_it_is_with_arguments(self) -> None:
        shown = json.loads(
            call("environments", "FrozenLake-v1", "--env-kwargs", "map_name:8x8", "--json")
        )
        assert shown["observation_space"]["n"] == 64
        moved = json.loads(
            call("environments", "LunarLander-v3", "--env-kwargs", "continuous:true", "--json")
        )
        assert moved["actions"]["shape"] == [2]
        assert {row["meaning"] for row in moved["actions"]["numbers"]} == {""}
        assert "sac" in moved["algorithms"]
        for words, said in (
            (["CartPole-v1", "--env-kwargs", "wings:2"], "unexpected keyword argument 'wings'"),
            (["--env-kwargs", "wings:2"], "goes with the id of an environment"),
            (["CartPol-v1"], "did you mean CartPole-v1"),
        ):
            with pytest.raises(CommandError) as refused:
                call("environments", *words)
            assert said in str(refused.value)

    def test_without_a_terminal_runs_are_whole_lines_parted_by_tabs(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        long = "a-very-long-name-" * 6
        run = make_run(name=long, return_best=1234.5678, status=RunStatus.COMPLETED)
        make_run(name="with\ttab\x1b[31m")
        call_command("runs", "--order=name", "--limit", "1e2")
        head, *lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        assert head == [
            "id",
            "name",
            "status",
            "progress",
            "return_last",
            "return_best",
            "evaluation_last",
            "steps_per_second",
        ]
        assert all(len(line) == len(head) for line in lines)
        assert lines[0] == [run.pk, long, "completed", *lines[0][3:]]
        assert lines[0][5] == "1234.5678"
        assert lines[1][1] == "with\\ttab\\x1b[31m"

    def test_a_refused_field_of_a_batch_file_is_shown_with_its_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (file := tmp_path / "batch.yaml").write_text(
            "runs:\n  - seeds: 2\n  - hyperparameters:\n      gama: 0.9\n"
        )
        with pytest.raises(CommandError, match="nothing is queued: 1 of 2 lines"):
            call("train_batch", str(file))
        shown = capsys.readouterr().err.splitlines()
        assert shown[0].startswith("entry 2, line 4, column 7: hyperparameters.gama: ")
        assert shown[0].endswith("did you mean gamma?")
        assert shown[1:] == ["        gama: 0.9", "        ^"]
        out = StringIO()
        with pytest.raises(CommandError):
            call_command("train_batch", str(file), "--json", stdout=out)
        (error,) = json.loads(out.getvalue())["lines"][1]["errors"]
        assert (error["line"], error["column"]) == (4, 7)


@given(
    st.lists(st.text(max_size=12) | st.sampled_from(["-params", "-n", "a:1", "1e5"]), max_size=5)
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_words_are_read_or_refused_in_one_line(words: list[str]) -> None:
    parser = call_parser()
    try:
        parser.parse_args(words)
    except CommandError as refused:
        said = str(refused)
    except SystemExit:  # -h and --version print, and end.
        said = "-"
    else:
        said = "-"
    assert said


def call_parser() -> Any:
    return train.Command(stdout=None).create_parser("manage.py", "train")


@pytest.mark.parametrize(("text", "value"), [("1e5", 100_000), ("1.5", "1.5"), ("x", "x")])
def test_a_number_that_is_none_is_left_to_whom_it_is_for(text: str, value: Any) -> None:
    assert whole(text) == value


def test_readers_of_options_name_what_is_allowed() -> None:
    assert whole_between(1, 5)("5.0") == 5
    assert one_of(["a", "b"])("b") == "b"
