"""What each backend can train, and in which words the rest is refused; needs no JAX."""

import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.catalogue.algorithms.backends import BACKENDS, algorithm_of
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.sbx import SBX_ALGORITHMS
from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.extras import install_command
from apps.catalogue.presets.presets import ENVIRONMENT_PRESETS, PRESET_TITLES, preset_for
from apps.engine.models.classes import class_for
from apps.errors import EngineError, InvalidSpec
from apps.spec.run import RunSpec
from apps.spec.seeds import configuration_hash

SAC: dict[str, Any] = {"backend": "sbx", "algorithm": "sac", "environment": "a.b:C-v1"}


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"backend": "jax"}, "backend", "'jax' is not allowed; allowed: torch, sbx"),
        ({"backend": ["sbx"]}, "backend", "allowed: torch, sbx"),
        (
            {"backend": "sbx", "algorithm": "a2c"},
            "algorithm",
            "'a2c' is not an algorithm of backend sbx; allowed: ppo, dqn, sac",
        ),
        (
            {**SAC, "hyperparameters": {"use_sde": True}},
            "hyperparameters.use_sde",
            r"SAC \(sbx\) has no such hyperparameter; allowed: ",
        ),
        (
            {"backend": "sbx", "hyperparameters": {"clip_range_vf": 0.2}},
            "hyperparameters.clip_range_vf",
            r"PPO \(sbx\) has no such hyperparameter",
        ),
        (
            {**SAC, "algorithm": "td3", "hyperparameters": {"learning_rate": "lin_0.1"}},
            "hyperparameters.learning_rate",
            "it must be a number from 1e-07 to 1$",
        ),
        (
            {"backend": "sbx", "algorithm": "dqn", "hyperparameters": {"net_arch": [64, 32]}},
            "hyperparameters.net_arch",
            r"\[64, 32\] is not allowed; DQN \(sbx\) has two hidden",
        ),
        (
            {**SAC, "hyperparameters": {"train_freq": "episode", "gradient_steps": -1}},
            "hyperparameters.gradient_steps",
            "JAX would compile anew",
        ),
        ({**SAC, "device": "cuda"}, "device", "cuda is not allowed with backend sbx"),
        ({**SAC, "weights": "0" * 64}, "backend", "cannot start from a model file's weights"),
        (
            {**SAC, "algorithm": "td3", "preset": "high_score"},
            "preset",
            r"high_score is not for TD3 \(sbx\), .* take its learning_rate lin_0.00073;",
        ),
    ],
)
def test_what_a_backend_cannot_do_is_refused(data: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidSpec, match=words) as refused:
        RunSpec.from_dict(data)
    assert [error.field for error in refused.value.errors] == [field]


def test_a_value_of_ones_own_makes_a_preset_fit() -> None:
    asked = {**SAC, "algorithm": "td3", "preset": "high_score"}
    spec = RunSpec.from_dict({**asked, "hyperparameters": {"learning_rate": 1e-3}})
    assert (spec.hyperparameters["gamma"], spec.hyperparameters["learning_rate"]) == (0.98, 1e-3)


def test_fast_and_stable_are_for_every_ported_algorithm() -> None:
    for name, algorithm in SBX_ALGORITHMS.items():
        for preset in PRESET_TITLES:
            values = preset_for(name, "", preset).hyperparameters
            if preset != "high_score":
                assert algorithm.resolve(values)[1] == []


def test_a_preset_of_an_environment_fits_or_is_refused_as_such() -> None:
    refused: set[str] = set()
    for algorithm, environment in ENVIRONMENT_PRESETS:
        asked = {"algorithm": algorithm, "environment": environment, "preset": "high_score"}
        if algorithm in SBX_ALGORITHMS and environment in ENVIRONMENTS:
            try:
                RunSpec.from_dict({**asked, "backend": "sbx"})
            except InvalidSpec as error:
                refused |= {each.field for each in error.errors}
    assert refused == {"preset"}


def test_what_is_ported_keeps_the_originals_face() -> None:
    same = ("name", "title", "meaning", "action_spaces", "is_on_policy", "has_replay_buffer")
    for name, ported in SBX_ALGORITHMS.items():
        assert ported.backend == "sbx"
        assert all(getattr(ported, key) == getattr(ALGORITHMS[name], key) for key in same)


def test_a_missing_package_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = replace(BACKENDS["sbx"], package="no_such_package")
    monkeypatch.setitem(BACKENDS, "sbx", gone)
    install = install_command("sbx-rl>=0.28,<1")
    words = f"sbx is not installed here; type {install}, or use torch"
    assert gone.missing() == words
    assert BACKENDS["torch"].missing() == ""
    with pytest.raises(EngineError, match=r"pip install 'sbx-rl"):
        class_for(RunSpec.from_dict(SAC))
    assert "no_such_package" not in sys.modules


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([*BACKENDS]), st.sampled_from([*SBX_ALGORITHMS]), st.integers(0, 9))
def test_a_spec_keeps_its_backend_on_its_way_to_json_and_in_its_hash(
    backend: str, algorithm: str, seed: int
) -> None:
    spec = RunSpec.from_dict({"backend": backend, "algorithm": algorithm, "seed": seed})
    data = spec.as_dict()
    assert RunSpec.from_dict(data) == spec
    assert algorithm_of(data) is spec.schema
    other = {**data, "backend": {"torch": "sbx", "sbx": "torch"}[backend]}
    assert configuration_hash(data) != configuration_hash(other)
    if backend == "torch":  # A spec from before there were backends.
        del other["backend"]
        assert configuration_hash(data) == configuration_hash(other)
