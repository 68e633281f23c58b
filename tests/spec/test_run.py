"""RunSpec and EvalSpec: what is accepted, what is refused and in which words."""

import math
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.schema import MAX_LAYER_WIDTH, MAX_LAYERS, Hyperparameter
from apps.catalogue.presets.presets import LENGTH_TITLES, PRESET_TITLES, lengths_for, preset_for
from apps.errors import FieldError, InvalidSpec
from apps.spec.assignments import parse_assignments
from apps.spec.environment import MAX_KWARGS_BYTES
from apps.spec.evaluation import (
    EVALUATION_BOUNDS,
    EVALUATION_SEED_OFFSET,
    EvalSpec,
    default_evaluation_seed,
)
from apps.spec.fields import BOUNDS, FIELDS, MAX_SEED
from apps.spec.run import RunSpec
from tests.strategies import json_values, spec_data

LAW = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
NUMBERS = [
    pytest.param(algorithm.name, schema, id=f"{algorithm.name}-{name}")
    for algorithm in ALGORITHMS.values()
    for name, schema in algorithm.hyperparameters.items()
    if schema.kind in {"int", "float"}
]
WHOLE_NUMBERS = [(RunSpec, name, *bounds) for name, bounds in BOUNDS.items()] + [
    (EvalSpec, name, *bounds) for name, bounds in EVALUATION_BOUNDS.items()
]
NOT_NUMBERS = [True, False, "", "many", "nan", "lin_", [1], {}, math.nan, math.inf, -math.inf]


def spec_with(algorithm: str, **hyperparameters: Any) -> RunSpec:
    """Make a spec whose rollout is as large as any batch, so that one value is judged alone."""
    is_on_policy = ALGORITHMS[algorithm].is_on_policy
    room: dict[str, Any] = {"n_envs": 256} if is_on_policy else {}
    if is_on_policy and "n_steps" not in hyperparameters:
        room |= {"hyperparameters": {"n_steps": 1_000_000}}
    data = {"algorithm": algorithm, "total_timesteps": 10, **room}
    data["hyperparameters"] = {**data.get("hyperparameters", {}), **hyperparameters}
    return RunSpec.from_dict(data)


def refusals(kind: type[RunSpec | EvalSpec], data: Any) -> list[FieldError]:
    """Return what is refused in data."""
    with pytest.raises(InvalidSpec) as caught:
        kind.from_dict(data)
    return caught.value.errors


def outcome(kind: type[RunSpec | EvalSpec], data: Any) -> RunSpec | EvalSpec | list[FieldError]:
    """Return the spec, or the refused fields; any other error is the test's failure."""
    try:
        return kind.from_dict(data)
    except InvalidSpec as error:
        return error.errors


def refusal_of(algorithm: str, name: str, value: Any) -> str:
    """Return the message with which one hyperparameter's value is refused."""
    with pytest.raises(InvalidSpec) as caught:
        spec_with(algorithm, **{name: value})
    errors = caught.value.errors
    assert [error.field for error in errors] == [f"hyperparameters.{name}"]
    return errors[0].message


# The law of the round trip, and of what may come out.


@given(spec_data())
@LAW
def test_a_spec_survives_json_and_validation_unchanged(data: dict[str, Any]) -> None:
    spec = RunSpec.from_dict(data)
    again = RunSpec.from_dict(orjson.loads(orjson.dumps(spec.as_dict())))
    assert again == spec


@given(spec_data())
@LAW
def test_every_given_hyperparameter_keeps_its_value_and_every_other_has_one(
    data: dict[str, Any],
) -> None:
    spec = RunSpec.from_dict(data)
    assert set(spec.hyperparameters) == set(ALGORITHMS[spec.algorithm].hyperparameters)
    for name, value in data["hyperparameters"].items():
        assert spec.hyperparameters[name] == value


@given(
    st.dictionaries(
        st.sampled_from(["length", "nonsense", *RunSpec.__dataclass_fields__]), json_values
    ),
    st.dictionaries(
        st.sampled_from(["nonsense", *ALGORITHMS["ppo"].hyperparameters]), json_values
    ),
)
@LAW
def test_only_invalid_spec_comes_out_of_arbitrary_run_data(
    data: dict[str, Any], hyperparameters: dict[str, Any]
) -> None:
    for candidate in (data, {**data, "hyperparameters": hyperparameters, "algorithm": "ppo"}):
        assert outcome(RunSpec, candidate)


@given(st.dictionaries(st.sampled_from([*EvalSpec.__dataclass_fields__, "other"]), json_values))
@LAW
def test_only_invalid_spec_comes_out_of_arbitrary_evaluation_data(data: dict[str, Any]) -> None:
    spec = outcome(EvalSpec, data)
    if isinstance(spec, EvalSpec):
        assert EvalSpec.from_dict(orjson.loads(orjson.dumps(spec.as_dict()))) == spec


def test_deeply_nested_data_is_refused_briefly() -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    data = dict.fromkeys(["algorithm", "environment", "preset", "seed", "device"], deep)
    for error in refusals(RunSpec, data):
        assert len(error.message) < 300
    assert refusals(RunSpec, {"environment_kwargs": {"a": deep}})[0].field == "environment_kwargs"


def test_a_huge_value_is_refused_in_a_message_of_sane_length() -> None:
    huge = "9" * 1_000_000
    data = {
        "algorithm": huge,
        "environment": huge,
        "seed": huge,
        "device": huge,
        "preset": huge,
    }
    errors = refusals(RunSpec, data)
    assert {error.field for error in errors} == set(data)
    assert all(len(error.message) < 400 for error in errors)
    for name in ("learning_rate", "n_steps", "net_arch", "activation_fn", "use_sde"):
        assert len(refusal_of("ppo", name, huge)) < 400


# Unknown keys.


def test_an_unknown_key_is_refused_with_the_allowed_ones() -> None:
    (error,) = refusals(RunSpec, {"total_timesteps": 10, "learning_rate": 0.1})
    assert error.field == "learning_rate"
    for name in (*RunSpec.__dataclass_fields__, "length"):
        assert name in error.message


def test_an_unknown_key_of_an_evaluation_is_refused_with_the_allowed_ones() -> None:
    (error,) = refusals(EvalSpec, {"episodes": 3})
    assert error.field == "episodes"
    for name in EvalSpec.__dataclass_fields__:
        assert name in error.message


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_hyperparameter_of_no_algorithm_is_refused_with_the_allowed_ones(algorithm: Any) -> None:
    message = refusal_of(algorithm.name, "learning_rat", 0.1)
    assert algorithm.title in message
    for name in algorithm.hyperparameters:
        assert name in message


def test_a_hyperparameter_of_another_algorithm_is_refused_not_dropped() -> None:
    assert "DQN has no such hyperparameter" in refusal_of("dqn", "n_steps", 64)
    assert "PPO has no such hyperparameter" in refusal_of("ppo", "buffer_size", 64)


def test_every_refused_field_is_reported_at_once() -> None:
    errors = refusals(
        RunSpec,
        {"seed": -1, "device": "tpu", "wings": 2, "hyperparameters": {"gamma": 7, "n_steps": 0}},
    )
    assert {error.field for error in errors} == {
        "seed",
        "device",
        "wings",
        "hyperparameters.gamma",
        "hyperparameters.n_steps",
    }


def refused(data: dict[str, Any]) -> set[str]:
    return {error.field for error in refusals(RunSpec, data)}


def test_contradictions_are_reported_with_what_cannot_be_read() -> None:
    assert refused({"seed": -1, "milestones": True, "eval_freq": 7}) == {"seed", "milestones"}
    assert refused({"device": "tpu", "frame_stack": 1}) == {"device", "frame_stack"}
    assert refused({"algorithm": "ars", "n_envs": 2, "seed": -1}) == {"n_envs", "seed"}
    length = {"environment": "?", "length": "quick", "total_timesteps": 9}
    assert refused(length) == {"environment", "length"}
    assert refused({"seed": -1, "hyperparameters": {"n_steps": 64, "batch_size": 128}}) == {
        "seed",
        "hyperparameters.batch_size",
    }
    foreign = {"algorithm": "a2c", "backend": "sbx", "vectorization": "wild"}
    assert refused(foreign) == {"algorithm", "vectorization"}
    native = {"vectorization": "native", "frame_stack": 4, "eval_episodes": 0}
    assert refused(native) == {"vectorization", "eval_episodes"}


def test_what_takes_a_value_that_cannot_be_read_is_left_for_the_next_round() -> None:
    assert refused({"milestones": True, "eval_freq": -7}) == {"eval_freq"}
    assert refused({"n_envs": 0, "hyperparameters": {"batch_size": 4096}}) == {"n_envs"}
    given = {"hyperparameters": {"batch_size": 4096}}
    assert refused(given) == {"hyperparameters.batch_size"}
    for name in ("preset", "environment", "algorithm"):
        # The preset might have said how many environments and steps a rollout has.
        assert refused({**given, "preset": "fast", name: "?"}) == {name}
    assert refused({**given, "backend": "?"}) == {"backend"}
    assert refused({"vectorization": "native", "wrappers": ["?"]}) == {"wrappers.0"}


def test_every_attribute_of_a_spec_has_a_row_and_every_row_has_one() -> None:
    rows = {name for name, row in FIELDS.items() if row.is_stored}
    assert rows == set(RunSpec.__dataclass_fields__)
    for name, row in FIELDS.items():
        assert row.meaning, name
        assert row.title or not row.place, name
        if row.kind == "int" and row.default is not None:
            assert row.low <= row.default <= row.high, name
    shown = RunSpec.from_dict({"length": "quick"}).as_dict()
    filled_in = {"hyperparameters", "total_timesteps"}
    assert {name: FIELDS[name].default for name in rows - filled_in} == {
        name: value for name, value in shown.items() if name not in filled_in
    }


def test_two_specs_never_share_a_default() -> None:
    RunSpec.from_dict({}).environment_kwargs["a"] = RunSpec.from_dict({}).wrappers.append("b")
    assert (RunSpec.from_dict({}).environment_kwargs, RunSpec.from_dict({}).wrappers) == ({}, [])


def test_the_whole_message_names_every_field() -> None:
    with pytest.raises(InvalidSpec, match=r"seed: -1 is not allowed.*device: 'tpu' "):
        RunSpec.from_dict({"seed": -1, "device": "tpu"})


# Numbers of hyperparameters, at and beyond their bounds.


@pytest.mark.parametrize(("algorithm", "schema"), NUMBERS)
def test_a_hyperparameter_is_accepted_at_both_bounds(
    algorithm: str, schema: Hyperparameter
) -> None:
    has_batch = "batch_size" in ALGORITHMS[algorithm].hyperparameters
    room: dict[str, dict[str, Any]] = {
        "n_steps": {"batch_size": 2} if has_batch else {},
        "n_quantiles": {"top_quantiles_to_drop_per_net": 0} if algorithm == "tqc" else {},
        "top_quantiles_to_drop_per_net": {"n_quantiles": 1000},
        "n_top": {"n_delta": 10_000},
    }
    for bound in (schema.low, schema.high):
        spec = spec_with(algorithm, **{schema.name: bound}, **room.get(schema.name, {}))
        assert spec.hyperparameters[schema.name] == bound
        assert type(spec.hyperparameters[schema.name]) is (int if schema.kind == "int" else float)


@pytest.mark.parametrize(("algorithm", "schema"), NUMBERS)
def test_a_hyperparameter_just_beyond_a_bound_is_refused_with_value_and_bounds(
    algorithm: str, schema: Hyperparameter
) -> None:
    assert schema.low is not None
    assert schema.high is not None
    if schema.kind == "int":
        beyond: list[float] = [schema.low - 1, schema.high + 1]
        bounds = f"from {int(schema.low)} to {int(schema.high)}"
    else:
        beyond = [math.nextafter(schema.low, -math.inf), math.nextafter(schema.high, math.inf)]
        bounds = f"from {schema.low:g} to {schema.high:g}"
    for value in beyond:
        message = refusal_of(algorithm, schema.name, value)
        assert repr(value) in message
        assert bounds in message


@pytest.mark.parametrize(("algorithm", "schema"), NUMBERS)
def test_what_is_no_number_is_refused_for_every_number(
    algorithm: str, schema: Hyperparameter
) -> None:
    for value in NOT_NUMBERS:
        assert "is not allowed" in refusal_of(algorithm, schema.name, value)
    if schema.is_optional:
        assert spec_with(algorithm, **{schema.name: None}).hyperparameters[schema.name] is None
    else:
        assert "None" in refusal_of(algorithm, schema.name, None)


@pytest.mark.parametrize(("algorithm", "schema"), NUMBERS)
def test_a_fraction_is_refused_for_a_whole_number_and_taken_for_any_other(
    algorithm: str, schema: Hyperparameter
) -> None:
    if schema.kind == "int":
        assert "2.5" in refusal_of(algorithm, schema.name, 2.5)
    else:
        value = ((schema.low or 0) + (schema.high or 0)) / 2
        spec = spec_with(algorithm, **{schema.name: value})
        assert spec.hyperparameters[schema.name] == value


@pytest.mark.parametrize(
    ("name", "given_value", "value"),
    [
        ("n_steps", "1024", 1024),
        ("n_steps", 1024.0, 1024),
        ("n_steps", "1e3", 1000),
        ("gamma", "0.5", 0.5),
        ("gamma", 1, 1.0),
        ("learning_rate", "3e-4", 0.0003),
        ("use_sde", "True", True),
        ("use_sde", "false", False),
        ("activation_fn", "tanh", "tanh"),
        ("activation_fn", None, None),
    ],
)
def test_values_typed_as_text_get_their_own_type(name: str, given_value: Any, value: Any) -> None:
    extra = {} if name == "n_steps" else {"n_steps": 1024}
    stored = RunSpec.from_dict(
        {"total_timesteps": 9, "hyperparameters": {name: given_value, **extra}}
    ).hyperparameters[name]
    assert stored == value
    assert type(stored) is type(value)


@pytest.mark.parametrize("value", [0, 1, 1.0, "yes", "", None, [True]])
def test_what_is_neither_true_nor_false_is_refused_for_a_switch(value: Any) -> None:
    assert "true or false" in refusal_of("ppo", "use_sde", value)


@pytest.mark.parametrize("value", ["TANH", "softmax", "", 1, True, ["tanh"]])
def test_what_is_no_choice_is_refused_with_the_choices(value: Any) -> None:
    message = refusal_of("ppo", "activation_fn", value)
    assert "tanh, relu, elu, gelu, silu" in message
    assert "null" in message


# Schedules.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lin_0.0003", "lin_0.0003"),
        ("lin_3e-4", "lin_0.0003"),
        ("lin_1", "lin_1.0"),
        ("lin_0.000123456789", "lin_0.000123456789"),
    ],
)
def test_a_linear_schedule_keeps_its_first_value_to_the_last_digit(text: str, value: str) -> None:
    assert spec_with("ppo", learning_rate=text).hyperparameters["learning_rate"] == value


@pytest.mark.parametrize(
    "text",
    [
        "lin_",
        "lin_x",
        "lin_2",
        "lin_0",
        "lin_-0.1",
        "lin_nan",
        "lin_inf",
        "lin_lin_0.1",
        "LIN_0.1",
        "linear_0.1",
        "lin 0.1",
    ],
)
def test_a_malformed_schedule_is_refused_as_it_was_typed(text: str) -> None:
    message = refusal_of("ppo", "learning_rate", text)
    assert repr(text) in message
    assert "lin_<number>" in message


def test_a_schedule_is_refused_where_the_algorithm_takes_none() -> None:
    message = refusal_of("ppo", "gamma", "lin_0.9")
    assert "'lin_0.9'" in message
    assert "lin_<number>" not in message


# Layers.


@pytest.mark.parametrize(
    ("value", "layers"),
    [
        ([64], [64]),
        ((64, 32), [64, 32]),
        ("64", [64]),
        ("64,32", [64, 32]),
        ("64, 32", [64, 32]),
        ("64 32", [64, 32]),
        ("[64, 32]", [64, 32]),
        (" [ 64 , 32 ] ", [64, 32]),
        ([1] * MAX_LAYERS, [1] * MAX_LAYERS),
        ([MAX_LAYER_WIDTH], [MAX_LAYER_WIDTH]),
        ([64.0, 1e2], [64, 100]),
        ("[6.4e1, 1_00]", [64, 100]),
        (None, None),
    ],
)
def test_layer_widths_are_read_from_lists_and_from_text(value: Any, layers: Any) -> None:
    assert spec_with("ppo", net_arch=value).hyperparameters["net_arch"] == layers


@pytest.mark.parametrize(
    "value",
    [
        [],
        "",
        "[]",
        [0],
        [MAX_LAYER_WIDTH + 1],
        [1] * (MAX_LAYERS + 1),
        [-64],
        [64.5],
        ["x"],
        [True],
        [[64]],
        64,
        {"pi": [64]},
        "64,abc",
        "64,-1",
        "64;32",
        "0x40",
        "9" * 5000,
        "64.5",
    ],
)
def test_what_are_no_layer_widths_is_refused_whole(value: Any) -> None:
    message = refusal_of("dqn", "net_arch", value)
    assert f"1 to {MAX_LAYERS} layer widths, each 1 to {MAX_LAYER_WIDTH}" in message


def test_two_specs_never_share_a_list() -> None:
    layers = [64, 64]
    one, other = spec_with("ppo", net_arch=layers), spec_with("ppo", net_arch=layers)
    layers.append(1)
    one.hyperparameters["net_arch"].append(2)
    one.as_dict()["hyperparameters"]["net_arch"].append(3)
    assert other.hyperparameters["net_arch"] == [64, 64]
    assert one.hyperparameters["net_arch"] == [64, 64, 2]


# Whole numbers of the spec itself.


@pytest.mark.parametrize(("kind", "name", "low", "high"), WHOLE_NUMBERS)
def test_a_field_is_accepted_at_both_bounds_as_number_and_as_text(
    kind: Any, name: str, low: int, high: int
) -> None:
    for value in (low, high):
        for typed in (value, float(value), str(value), f" {value} "):
            read = getattr(kind.from_dict({name: typed} | _batch_of_two(kind)), name)
            assert read == value
            assert type(read) is int


@pytest.mark.parametrize(("kind", "name", "low", "high"), WHOLE_NUMBERS)
def test_a_field_just_beyond_a_bound_is_refused_with_value_and_bounds(
    kind: Any, name: str, low: int, high: int
) -> None:
    for value in (low - 1, high + 1, low + 0.5, str(high + 1)):
        (error,) = refusals(kind, {name: value})
        assert error.field == name
        assert repr(value) in error.message
        assert f"from {low} to {high}" in error.message


@pytest.mark.parametrize(("kind", "name", "low", "high"), WHOLE_NUMBERS)
def test_what_is_no_whole_number_is_refused_for_a_field(
    kind: Any, name: str, low: int, high: int
) -> None:
    for value in [*NOT_NUMBERS, "1e-3", "1.5", "1e99999999", "²", "9" * 5000, 10**400]:
        (error,) = refusals(kind, {name: value})
        assert error.field == name


def _batch_of_two(kind: Any) -> dict[str, Any]:
    return {"hyperparameters": {"batch_size": 2}} if kind is RunSpec else {}


# Text fields.


@pytest.mark.parametrize(
    "name",
    ["CartPole-v1", "ALE/Breakout-v5", "package.module:Env-v0", "package:space/Env-v0", "Env"],
)
def test_an_environment_id_is_accepted(name: str) -> None:
    assert RunSpec.from_dict({"environment": name}).environment == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "CartPole-v1\n",
        "\nCartPole-v1",
        "Cart Pole",
        "a:b:C-v0",
        "/Env-v0",
        "Env-v0/",
        "x" * 201,
        "import os; x",
        "../../etc",
        "a\0b",
        3,
        None,
        ["CartPole-v1"],
    ],
)
def test_what_is_no_environment_id_is_refused(name: Any) -> None:
    (error,) = refusals(RunSpec, {"environment": name})
    assert error.field == "environment"


@pytest.mark.parametrize(("typed", "meant"), [("pp0", "ppo"), ("PPO", "ppo"), ("dqm", "dqn")])
def test_an_unknown_algorithm_is_refused_with_the_closest_one(typed: str, meant: str) -> None:
    (error,) = refusals(RunSpec, {"algorithm": typed})
    assert error.field == "algorithm"
    assert repr(typed) in error.message
    assert f"did you mean {meant}?" in error.message
    assert ", ".join(ALGORITHMS) in error.message


@pytest.mark.parametrize("name", ["", None, 1, ["ppo"], {"ppo": 1}])
def test_what_is_no_algorithm_is_refused(name: Any) -> None:
    (error,) = refusals(RunSpec, {"algorithm": name})
    assert error.field == "algorithm"


@pytest.mark.parametrize("device", ["gpu", "", None, 1, ["cpu"], "cuda:0"])
def test_an_unknown_device_is_refused_with_the_allowed_ones(device: Any) -> None:
    (error,) = refusals(RunSpec, {"device": device})
    assert error.field == "device"
    assert "auto, cpu, cuda" in error.message


@pytest.mark.parametrize("value", [[], "lots", 3, None, True])
def test_hyperparameters_that_are_no_object_are_refused(value: Any) -> None:
    (error,) = refusals(RunSpec, {"hyperparameters": value})
    assert error.field == "hyperparameters"


@pytest.mark.parametrize(
    "kwargs",
    [
        [],
        "a",
        None,
        {"a": math.nan},
        {"a": math.inf},
        {"a": object()},
        {"a": (1, 2)},
        {1: 2},
        {"a": 2**70},
        {"a": "\udcff"},
        {"a": "x" * MAX_KWARGS_BYTES},
    ],
)
def test_environment_kwargs_that_json_cannot_keep_are_refused(kwargs: Any) -> None:
    (error,) = refusals(RunSpec, {"environment_kwargs": kwargs})
    assert error.field == "environment_kwargs"


def test_a_render_mode_among_the_kwargs_is_refused_because_films_set_it() -> None:
    (error,) = refusals(RunSpec, {"environment_kwargs": {"render_mode": "human"}})
    assert error.field == "environment_kwargs"
    assert "render_mode" in error.message


def test_environment_kwargs_of_plain_json_are_kept() -> None:
    kwargs = {"map": ["SF", "FG"], "slippery": False, "size": 4, "rate": 0.5, "x": {"y": None}}
    assert RunSpec.from_dict({"environment_kwargs": kwargs}).environment_kwargs == kwargs


@pytest.mark.parametrize("name", ["is_deterministic", "should_film"])
@pytest.mark.parametrize("value", [0, 1, "true", [], 0.0])
def test_a_switch_of_an_evaluation_takes_true_and_false_only(name: str, value: Any) -> None:
    (error,) = refusals(EvalSpec, {name: value})
    assert error.field == name
    assert "true or false" in error.message


def test_a_null_of_an_evaluation_means_its_default() -> None:
    assert EvalSpec.from_dict(dict.fromkeys(EvalSpec.__dataclass_fields__)) == EvalSpec()


# Presets and lengths.


@pytest.mark.parametrize("preset", PRESET_TITLES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_preset_fills_in_what_is_not_given(algorithm: str, preset: Any) -> None:
    spec = RunSpec.from_dict({"algorithm": algorithm, "preset": preset})
    chosen = preset_for(algorithm, "CartPole-v1", preset)
    assert spec.preset == preset
    assert spec.n_envs == chosen.n_envs
    for name, schema in ALGORITHMS[algorithm].hyperparameters.items():
        assert spec.hyperparameters[name] == chosen.hyperparameters.get(name, schema.default)


def test_what_is_given_wins_over_the_preset_and_the_preset_over_the_default() -> None:
    spec = RunSpec.from_dict(
        {"preset": "fast", "n_envs": 4, "hyperparameters": {"n_epochs": 3, "batch_size": 64}}
    )
    assert spec.n_envs == 4
    assert spec.hyperparameters["n_epochs"] == 3
    assert spec.hyperparameters["batch_size"] == 64
    assert spec.hyperparameters["gae_lambda"] == 0.8  # The preset's own, not the library's 0.95.
    assert spec.hyperparameters["vf_coef"] == 0.5  # The library's default.


def test_an_environments_own_preset_wins_over_the_algorithms_general_one() -> None:
    own = RunSpec.from_dict({"environment": "CartPole-v1", "preset": "fast"})
    general = RunSpec.from_dict({"environment": "MountainCar-v0", "preset": "fast"})
    assert own.hyperparameters["gae_lambda"] == 0.8
    assert general.hyperparameters["gae_lambda"] == 0.95


def test_no_preset_means_the_librarys_defaults_and_one_environment() -> None:
    spec = RunSpec.from_dict({})
    assert (spec.algorithm, spec.environment, spec.preset) == ("ppo", "CartPole-v1", None)
    assert spec.n_envs == 1
    assert spec.hyperparameters == {
        name: schema.default for name, schema in ALGORITHMS["ppo"].hyperparameters.items()
    }


@pytest.mark.parametrize("preset", ["Fast", "", "slow", 1, ["fast"], {}])
def test_an_unknown_preset_is_refused_with_the_known_ones(preset: Any) -> None:
    (error,) = refusals(RunSpec, {"preset": preset})
    assert error.field == "preset"
    assert "fast, stable, high_score" in error.message


@pytest.mark.parametrize("length", LENGTH_TITLES)
@pytest.mark.parametrize("environment", ["CartPole-v1", "Acrobot-v1"])
def test_a_length_sets_the_steps_of_the_environment(environment: str, length: Any) -> None:
    spec = RunSpec.from_dict({"environment": environment, "length": length})
    assert spec.total_timesteps == lengths_for(environment)[length]
    assert "length" not in spec.as_dict()


def test_neither_length_nor_steps_means_the_standard_length() -> None:
    assert RunSpec.from_dict({}).total_timesteps == lengths_for("CartPole-v1")["standard"]
    assert RunSpec.from_dict({"length": None}) == RunSpec.from_dict({})


def test_length_and_steps_together_are_refused() -> None:
    (error,) = refusals(RunSpec, {"length": "quick", "total_timesteps": 100})
    assert error == FieldError("length", "give either length or total_timesteps, not both")


@pytest.mark.parametrize("length", ["long", "", 3, [], {}, ["quick"]])
def test_an_unknown_length_is_refused_with_the_known_ones(length: Any) -> None:
    (error,) = refusals(RunSpec, {"length": length})
    assert error.field == "length"
    assert "quick, standard, epic" in error.message


# What is wrong between fields.


def test_a_batch_larger_than_the_rollout_is_refused_with_the_largest_allowed() -> None:
    data = {"n_envs": 2, "hyperparameters": {"n_steps": 32, "batch_size": 65}}
    (error,) = refusals(RunSpec, data)
    assert error.field == "hyperparameters.batch_size"
    assert "65" in error.message
    assert "at most 64" in error.message


def test_a_batch_as_large_as_the_rollout_is_accepted() -> None:
    spec = RunSpec.from_dict({"n_envs": 2, "hyperparameters": {"n_steps": 32, "batch_size": 64}})
    assert spec.hyperparameters["batch_size"] == 64


def test_an_off_policy_batch_may_be_larger_than_a_rollout() -> None:
    assert spec_with("dqn", batch_size=4096).hyperparameters["batch_size"] == 4096


# The rest.


@pytest.mark.parametrize(
    ("total", "save_freq", "steps"), [(1000, 0, 100), (5, 0, 1), (1000, 7, 7), (1, 0, 1)]
)
def test_checkpoints_come_every_tenth_of_the_run_unless_said_otherwise(
    total: int, save_freq: int, steps: int
) -> None:
    spec = RunSpec.from_dict({"total_timesteps": total, "save_freq": save_freq})
    assert spec.steps_between_saves == steps


@given(st.integers(0, MAX_SEED))
@LAW
def test_an_evaluations_seed_is_valid_and_not_the_runs_own(seed: int) -> None:
    evaluation_seed = default_evaluation_seed(seed)
    assert 0 <= evaluation_seed <= MAX_SEED
    assert evaluation_seed != seed


def test_an_evaluations_seed_wraps_around_at_the_greatest_seed() -> None:
    assert default_evaluation_seed(1) == 1 + EVALUATION_SEED_OFFSET
    assert default_evaluation_seed(MAX_SEED) == EVALUATION_SEED_OFFSET - 1


def test_assignments_are_read_as_json_else_as_text() -> None:
    texts = [
        "a:1",
        "b:0.5",
        "c:true",
        "d:null",
        'e:"x"',
        "f:[64, 64]",
        "g:lin_0.1",
        "h:True",
        "i:False",
        "j:None",
        "k:",
        "l:http://x:1",
        "m:NaN",
        "n:01",
    ]
    assert parse_assignments(texts, "-params") == {
        "a": 1,
        "b": 0.5,
        "c": True,
        "d": None,
        "e": "x",
        "f": [64, 64],
        "g": "lin_0.1",
        "h": True,
        "i": False,
        "j": None,
        "k": "",
        "l": "http://x:1",
        "m": "NaN",
        "n": "01",
    }


@pytest.mark.parametrize("text", ["learning_rate", "", ":1", "a=1"])
def test_what_is_no_assignment_is_refused_under_its_option(text: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_assignments(["a:1", text], "-params")
    assert caught.value.errors == [FieldError("-params", f"{text!r} is not name:value")]


@given(st.lists(st.text(max_size=20), max_size=3))
@LAW
def test_only_invalid_spec_comes_out_of_arbitrary_assignments(texts: list[str]) -> None:
    with suppress(InvalidSpec):
        values = parse_assignments(texts, "-params")
        assert len(values) == len({text.partition(":")[0] for text in texts})
        assert "" not in values


# What contradicts itself between hyperparameters.


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters", "named", "reason"),
    [
        ("sac", {"critic_net_arch": [8]}, "critic_net_arch", "give net_arch"),
        ("ars", {"net_arch": [8]}, "policy", "linear has no hidden layers"),
        ("ars", {"n_delta": 2, "n_top": 3}, "n_top", "at most n_delta, which is 2"),
        (
            "tqc",
            {"n_quantiles": 5, "top_quantiles_to_drop_per_net": 5},
            "top_quantiles_to_drop_per_net",
            "less than n_quantiles, which is 5",
        ),
        ("recurrent_ppo", {"shared_lstm": True}, "shared_lstm", "enable_critic_lstm to false"),
        ("a2c", {"use_sde": True}, None, ""),
        ("recurrent_ppo", {"shared_lstm": True, "enable_critic_lstm": False}, None, ""),
        ("ars", {"net_arch": [8], "policy": "mlp"}, None, ""),
        ("ars", {"n_delta": 2, "n_top": 2}, None, ""),
        ("crossq", {"critic_net_arch": [16], "net_arch": [8]}, None, ""),
    ],
)
def test_hyperparameters_that_contradict_each_other_are_refused_with_the_reason(
    algorithm: str, hyperparameters: dict[str, Any], named: str | None, reason: str
) -> None:
    data = {"algorithm": algorithm, "hyperparameters": hyperparameters}
    refused = outcome(RunSpec, data)
    if named is None:
        assert isinstance(refused, RunSpec)
    else:
        assert isinstance(refused, list)
        assert [error.field for error in refused] == [f"hyperparameters.{named}"]
        assert reason in refused[0].message


def test_updates_after_every_episode_need_a_single_environment() -> None:
    data = {"algorithm": "td3", "hyperparameters": {"train_freq": "episode"}}
    assert RunSpec.from_dict(data).hyperparameters["train_freq"] == "episode"
    (error,) = refusals(RunSpec, {**data, "n_envs": 2})
    assert error.field == "hyperparameters.train_freq"


def test_more_environments_than_an_algorithm_takes_are_refused() -> None:
    (error,) = refusals(RunSpec, {"algorithm": "ars", "n_envs": 2})
    assert error.field == "n_envs"
    assert "ARS takes at most 1" in error.message


@pytest.mark.parametrize("value", ["auto", "auto_0.1", 0.2, "0.2"])
def test_the_weight_of_entropy_is_learnt_or_given(value: Any) -> None:
    parsed = spec_with("sac", ent_coef=value).hyperparameters["ent_coef"]
    assert parsed == (0.2 if value == "0.2" else value)


@pytest.mark.parametrize(
    "value", ["auto_", "auto_0", "auto_nan", "auto_auto_1", "lin_0.1", "Auto"]
)
def test_other_words_for_the_weight_of_entropy_are_refused(value: str) -> None:
    assert "or auto, or auto_<number>" in refusal_of("sac", "ent_coef", value)


# Wrappers and stacked observations.


@pytest.mark.parametrize(
    "wrapper",
    [
        "a.b:Wrapper",
        {"path": "a.b:Wrapper"},
        {"path": "a:W", "kwargs": {"skip": 2, "names": ["x", None]}},
    ],
)
def test_wrappers_are_import_paths_with_or_without_arguments(wrapper: Any) -> None:
    assert RunSpec.from_dict({"wrappers": [wrapper]}).wrappers == [wrapper]


@pytest.mark.parametrize(
    "wrapper",
    [
        "",
        "a.b",
        "a:b:c",
        "a:1",
        ":W",
        "a:W()",
        3,
        None,
        [],
        {},
        {"path": 3},
        {"kwargs": {}},
        {"path": "a:W", "kwargs": [1]},
        {"path": "a:W", "more": 1},
        "a:" + "W" * 300,
    ],
)
def test_what_is_no_wrapper_is_refused_by_its_place(wrapper: Any) -> None:
    (error,) = refusals(RunSpec, {"wrappers": ["a:W", wrapper]})
    assert error.field == "wrappers.1"
    assert len(error.message) < 400


@pytest.mark.parametrize("wrappers", ["a:W", None, {"a": 1}, ["a:W"] * 17])
def test_wrappers_that_are_no_short_list_are_refused(wrappers: Any) -> None:
    (error,) = refusals(RunSpec, {"wrappers": wrappers})
    assert error.field == "wrappers"


def test_wrapper_arguments_that_json_cannot_hold_are_refused() -> None:
    (error,) = refusals(RunSpec, {"wrappers": [{"path": "a:W", "kwargs": {"x": math.nan}}]})
    assert error.field == "wrappers"


def test_one_stacked_observation_is_refused_as_it_means_nothing() -> None:
    (error,) = refusals(RunSpec, {"frame_stack": 1})
    assert error.field == "frame_stack"
    assert RunSpec.from_dict({"frame_stack": 2}).frame_stack == 2


def test_an_atari_spec_says_how_the_game_is_played() -> None:
    spec = RunSpec.from_dict({"environment": "ALE/Pong-v5", "environment_kwargs": {"mode": 1}})
    assert spec.frame_stack == 4
    assert spec.environment_kwargs == {"frameskip": 1, "obs_type": "grayscale", "mode": 1}
    assert spec.wrappers[0] == "apps.engine.wrappers:AtariFrames"
    assert RunSpec.from_dict(spec.as_dict()) == spec


def test_wrappers_of_ones_own_replace_those_of_the_family() -> None:
    spec = RunSpec.from_dict({"environment": "ALE/Pong-v5", "wrappers": []})
    assert (spec.wrappers, spec.frame_stack, spec.environment_kwargs) == ([], 0, {})


def test_a_spec_written_before_there_were_wrappers_reads_as_without_them() -> None:
    data = RunSpec.from_dict({}).as_dict()
    del data["wrappers"], data["frame_stack"]
    assert RunSpec.from_dict(data) == RunSpec.from_dict({})


@pytest.mark.parametrize("name", ["film", "milestones"])
@pytest.mark.parametrize("given", ["false", 1, None, []])
def test_a_switch_is_true_or_false(name: str, given: object) -> None:
    assert RunSpec.from_dict({name: False}).as_dict()[name] is False
    with pytest.raises(InvalidSpec, match=rf"{name}: .* is not true or false"):
        RunSpec.from_dict({name: given})


def test_milestones_take_the_place_of_a_frequency_of_evaluations() -> None:
    given = {"total_timesteps": 5000, "milestones": True}
    assert RunSpec.from_dict(given).steps_between_evaluations == 500
    assert RunSpec.from_dict({**given, "total_timesteps": 3}).steps_between_evaluations == 1
    with pytest.raises(InvalidSpec, match="milestones: true is not allowed with eval_freq 7"):
        RunSpec.from_dict({**given, "eval_freq": 7})
