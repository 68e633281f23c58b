"""Hypothesis strategies for specs and for arbitrary JSON."""

from typing import Any

from hypothesis import strategies as st

from apps.engine.algorithms import ALGORITHMS, MAX_LAYER_WIDTH, MAX_LAYERS, Hyperparameter
from apps.engine.presets import PRESET_TITLES
from apps.engine.spec import BOUNDS, DEVICES

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["lin_", "lin_0.1", "nan", "-inf", "1e400", "[64, 64]", "ppo", "quick"])
    | st.just("9" * 5000)
    | st.just(10**400)
)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=8,
)


def allowed_values(schema: Hyperparameter) -> st.SearchStrategy[Any]:
    """Every value that a hyperparameter's schema allows."""
    if schema.kind == "bool":
        values: st.SearchStrategy[Any] = st.booleans()
    elif schema.kind == "choice":
        values = st.sampled_from(schema.choices)
    elif schema.kind == "layers":
        values = st.lists(st.integers(1, MAX_LAYER_WIDTH), min_size=1, max_size=MAX_LAYERS)
    elif schema.kind == "int":
        values = st.integers(int(schema.low or 0), int(schema.high or 0))
    else:
        values = st.floats(schema.low, schema.high)
    if schema.is_schedule:
        values |= st.floats(schema.low, schema.high).map(lambda number: f"lin_{number!r}")
    return values | st.none() if schema.is_optional else values


@st.composite
def spec_data(draw: st.DrawFn) -> dict[str, Any]:
    """Data that `RunSpec.from_dict` accepts, with some fields and hyperparameters left out."""
    algorithm = ALGORITHMS[draw(st.sampled_from(sorted(ALGORITHMS)))]
    hyperparameters = draw(
        st.fixed_dictionaries(
            {},
            optional={
                name: allowed_values(schema) for name, schema in algorithm.hyperparameters.items()
            },
        )
    )
    data: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {"total_timesteps": st.integers(*BOUNDS["total_timesteps"])},
            optional={
                **{
                    name: st.integers(low, high)
                    for name, (low, high) in BOUNDS.items()
                    if name != "total_timesteps"
                },
                "environment": st.sampled_from(["CartPole-v1", "my_name/Env-v0", "a.b:C-v1"]),
                "environment_kwargs": st.dictionaries(st.text(max_size=5), st.integers(-9, 9)),
                "device": st.sampled_from(DEVICES),
                "preset": st.none() | st.sampled_from([*PRESET_TITLES]),
            },
        )
    )
    if algorithm.is_on_policy:  # A batch has to fit into the rollout, presets or not.
        hyperparameters.setdefault("n_steps", 256)
        hyperparameters.setdefault("batch_size", 64)
        rollout_steps = hyperparameters["n_steps"] * data.setdefault("n_envs", 1)
        hyperparameters["batch_size"] = min(hyperparameters["batch_size"], rollout_steps)
    return {**data, "algorithm": algorithm.name, "hyperparameters": hyperparameters}
