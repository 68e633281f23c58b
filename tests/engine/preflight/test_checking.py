"""The check before a run: what it measures, what it says of it, and in whose words."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import orjson
import pytest
import torch

from apps.catalogue.environments.descriptions import known_descriptions
from apps.engine.checker import preflight
from apps.engine.models import devices
from apps.engine.preflight import probe, rehearsal, verdicts
from apps.engine.preflight.probe import MIN_LEAK_BYTES, leak
from apps.engine.preflight.rehearsal import shortened
from apps.engine.stepping import choosing
from apps.machine.gpu import GpuMemory
from apps.protocol.preflight import Memory, Preflight, Probe
from apps.spec.run import RunSpec
from tests.builders import TINY_PPO
from tests.live_stack import ROOT

BEHAVING = {**TINY_PPO, "environment": "tests.worlds.misbehaving:Behaving-v0"}


@pytest.fixture(autouse=True)
def short_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MAX_PROBE_STEPS", 500)
    monkeypatch.setattr(rehearsal, "REHEARSAL_S", 0.05)


def checked(**changes: Any) -> tuple[Preflight, list[str]]:
    """Return the result of a check and the phases that it told of."""
    phases: list[str] = []
    result = preflight(
        RunSpec.from_dict({**BEHAVING, **changes}), lambda phase, _: phases.append(phase)
    )
    return result, phases


def said(result: Preflight, severity: str) -> str:
    return "; ".join(each.message for each in result.findings if each.severity == severity)


def test_what_updates_much_is_rehearsed_in_the_threads_that_its_run_would_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "DEFAULT_THREADS", 3)
    spec = RunSpec.from_dict(
        {
            "algorithm": "dqn",
            "environment": "CartPole-v1",
            "total_timesteps": 2000,
            "hyperparameters": {"net_arch": [512, 512], "batch_size": 256},
        }
    )
    before = torch.get_num_threads()
    try:
        for share, threads in ((None, 3), (2, 2), (1, 1)):
            preflight(spec, lambda *_: None, share)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"algorithm": "dqn", "hyperparameters": {"buffer_size": 10**6, "net_arch": [8]}},
        {"algorithm": "ars", "hyperparameters": {"n_delta": 1}},
        {"normalize": True},
    ],
    ids=["ppo", "dqn", "ars", "normalised"],
)
def test_what_can_be_trained_is_measured(changes: dict[str, Any]) -> None:
    result, phases = checked(**changes)
    assert said(result, "warning") == said(result, "refusal") == ""
    assert result.environment is not None
    assert result.probe is not None
    assert result.memory is not None
    assert result.steps_per_s is not None
    assert result.eta_s is not None
    assert (result.probe.steps, result.probe.episodes, result.probe.mean_length) == (500, 50, 10)
    assert result.steps_per_s > 0
    assert result.eta_s >= 0.9 * 256 / max(result.steps_per_s, result.probe.steps_per_s)
    assert result.memory.needed_bytes > result.memory.process_bytes > 50e6
    assert phases == [
        "constructing the environment",
        "taking random steps",
        "looking how it is best stepped",
        "Gymnasium's checker looks at it",
        "Stable-Baselines3's checker looks at it",
        "training for a moment",
    ]
    assert Preflight.from_dict(orjson.loads(orjson.dumps(result.as_dict()))) == result


@pytest.mark.parametrize(
    ("environment", "severity", "words"),
    [
        ("ReturnsNaN", "refusal", "number 1 of the observation of step 3 was nan"),
        ("NeverEnds", "warning", "no episode ended in 500 random steps"),
        ("NeverEnds", "advice", "number 1 of the observation was"),
        ("Forgets", "warning", "the observation of the reset differed"),
    ],
)
def test_what_is_wrong_with_an_environment_is_said(
    environment: str, severity: str, words: str
) -> None:
    result, _ = checked(environment=f"tests.worlds.misbehaving:{environment}-v0")
    (found,) = [each for each in result.findings if words in each.message]
    assert found.severity == severity
    assert found.action


@pytest.mark.parametrize(
    ("changes", "severity", "words"),
    [
        ({"n_envs": 1}, "ok", r"vectorization dummy: .* \(one environment\)"),
        ({"n_envs": 3}, "ok", "vectorization dummy: .* 3 of them .* times as fast on 2 cores"),
        ({"vectorization": "subprocess"}, "ok", "vectorization subprocess: each in a process"),
        (
            {"environment": "CartPole-v1", "vectorization": "native"},
            "ok",
            "vectorization native: all in one call",
        ),
        (
            {"vectorization": "native"},
            "advice",
            "native cannot be had: .* has no vector version .* in this process",
        ),
    ],
)
def test_how_environments_will_be_stepped_is_said(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], severity: str, words: str
) -> None:
    monkeypatch.setattr(choosing, "usable_cores", lambda: 2)
    result, _ = checked(**changes)
    assert re.search(words, said(result, severity))


def test_hindsight_is_rehearsed_from_whole_episodes() -> None:
    result, _ = checked(
        algorithm="dqn",
        environment="tests.worlds.goal_walk:GoalWalk-v0",
        total_timesteps=10_000,
        hyperparameters={"her": True, "learning_starts": 100, "net_arch": [8]},
    )
    assert said(result, "refusal") == ""
    assert result.steps_per_s is not None


def test_an_algorithm_that_cannot_act_there_is_refused_before_any_step() -> None:
    result, phases = checked(algorithm="sac", hyperparameters={})
    assert "SAC cannot act" in said(result, "refusal")
    assert "algorithms that can: ppo" in result.findings[0].message
    assert result.findings[0].field == "algorithm"
    assert phases == ["constructing the environment"]


def test_a_device_that_is_missing_and_a_module_that_is_missing_are_refused() -> None:
    assert "there is no module" in said(checked(environment="nowhere:Env-v0")[0], "refusal")


def test_memory_that_grows_with_each_step_is_told_from_memory_that_settles() -> None:
    steady = [(step, step * 100_000) for step in range(0, 1000, 20)]
    assert leak(steady) == pytest.approx(100_000)
    settled = [(step, min(step, 300) * 10**6) for step in range(0, 1000, 20)]
    assert leak(settled) == 0
    assert leak([(step, step * MIN_LEAK_BYTES // 2000) for step in range(0, 1000, 20)]) == 0
    assert leak([]) == 0


LEAKING = """
import json, sys
from apps.engine.checker import preflight
from apps.engine.preflight import probe, rehearsal
from apps.spec.run import RunSpec

probe.MAX_PROBE_STEPS, probe.MEMORY_INTERVAL_S, rehearsal.REHEARSAL_S = 2000, 0.001, 0.05
result = preflight(RunSpec.from_dict(json.loads(sys.argv[1])), lambda phase, _: None)
print(json.dumps([result.probe.leak_bytes_per_step, [one.action for one in result.findings]]))
"""


def test_an_environment_that_leaks_is_told_what_it_would_take() -> None:
    """In a process of its own, as checks are: one that has run for long takes what it has free."""
    leaks = {"environment": "tests.worlds.misbehaving:Leaks-v0", "total_timesteps": 10**9}
    spec = json.dumps({**BEHAVING, **leaks})
    done = subprocess.run(
        [sys.executable, "-c", LEAKING, spec], cwd=ROOT, capture_output=True, text=True, check=True
    )
    leaked, advice = json.loads(done.stdout.splitlines()[-1])
    assert 25_000 < leaked < 65_000
    assert "a list that only grows" in advice[4]


PONG = known_descriptions()["ALE/Pong-v5"]
GIGABYTE = 1024**3


@pytest.mark.parametrize(
    ("buffer", "allocated", "free", "severity", "words"),
    [
        (1, 1, 100, "ok", "100.0 GB are free"),
        (9, 9, 10, "warning", "that is tight"),
        (57, 57, 30, "refusal", "it cannot fit"),
        (1, 57, 30, "refusal", "the machine has 40.0 GB"),
    ],
)
def test_a_buffer_is_compared_with_what_is_free(
    buffer: int, allocated: int, free: int, severity: str, words: str
) -> None:
    memory = Memory(0, 0, 0, *(n * GIGABYTE for n in (buffer, allocated, free, 40)))
    spec = RunSpec.from_dict({"algorithm": "dqn", "environment": "ALE/Pong-v5"})
    finding = verdicts.on_memory(spec, PONG, memory)
    assert (finding.severity, words in finding.message) == (severity, True)
    if severity != "ok":
        rows = int(finding.action.rpartition(" ")[2].replace(",", ""))
        assert rows * 56_468 <= 0.8 * free * GIGABYTE < (rows + 1) * 56_468


@pytest.mark.parametrize(
    ("needed", "gpu", "severity", "words"),
    [
        (0, (1, 2), None, ""),
        (5, None, None, ""),
        (5, (6, 8), "ok", "5.0 GB of the GPU's memory, of which 6.0 GB are free"),
        (5, (4, 8), "warning", "waits in the queue"),
        (9, (4, 8), "refusal", "which has 8.0 GB: it would never begin"),
    ],
)
def test_the_memory_of_a_gpu_is_judged_where_it_is_needed(
    needed: int, gpu: tuple[int, int] | None, severity: str | None, words: str
) -> None:
    given = GpuMemory(gpu[0] * GIGABYTE, gpu[1] * GIGABYTE, {}) if gpu else None
    findings = verdicts.on_gpu_memory(needed * GIGABYTE, given)
    assert [finding.severity for finding in findings] == ([severity] if severity else [])
    assert all(words in finding.message for finding in findings)


@pytest.mark.parametrize(
    ("algorithm", "values", "n_envs"),
    [
        ("ppo", {"n_steps": 2048, "batch_size": 64}, 1),
        ("ppo", {"n_steps": 128, "batch_size": 256}, 8),
        ("a2c", {"n_steps": 5}, 4),
        ("sac", {"train_freq": 1000, "gradient_steps": 500}, 1),
        ("sac", {"train_freq": 1000, "gradient_steps": -1}, 1),
        ("dqn", {"train_freq": "episode"}, 1),
    ],
)
def test_a_rehearsal_learns_as_much_from_each_step_as_the_run(
    algorithm: str, values: dict[str, Any], n_envs: int
) -> None:
    environment = "Pendulum-v1" if algorithm == "sac" else "CartPole-v1"
    data = {"algorithm": algorithm, "environment": environment, "n_envs": n_envs}
    spec = RunSpec.from_dict({**data, "hyperparameters": values})
    short = shortened(spec, Probe(100, 1000.0, 0.0, None, (), 2, 50.0, 1.0))
    assert short == replace(spec, hyperparameters=short.hyperparameters)
    before, after = spec.hyperparameters, short.hyperparameters
    if algorithm in {"ppo", "a2c"}:
        rollout = after["n_steps"] * n_envs
        assert before.get("batch_size", 1) <= rollout <= before["n_steps"] * n_envs
        assert rollout % before.get("batch_size", n_envs) == 0
    else:
        assert after["buffer_size"] <= 5000
        if before["gradient_steps"] > 0 and before["train_freq"] != "episode":
            share = before["gradient_steps"] / before["train_freq"]
            assert math.isclose(after["gradient_steps"] / after["train_freq"], share)
