"""Hypothesis strategies for specs and for arbitrary JSON."""

from typing import Any

from hypothesis import strategies as st

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.schema import MAX_LAYER_WIDTH, MAX_LAYERS, Hyperparameter
from apps.catalogue.normalizing import NORMALIZATION
from apps.catalogue.presets.presets import PRESET_TITLES
from apps.spec.fields import BOUNDS, DEVICES

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
    for word in schema.words:
        if word.endswith("_"):
            values |= st.floats(schema.low, schema.high).map(lambda n, w=word: f"{w}{n!r}")
        else:
            values |= st.just(word)
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
                "environment": st.sampled_from(
                    [
                        "CartPole-v1",
                        "my_name/Env-v0",
                        "a.b:C-v1",
                        "ALE/Pong-v5",
                        "MiniGrid-Unlock-v0",
                    ]
                ),
                "environment_kwargs": st.dictionaries(st.text(max_size=5), st.integers(-9, 9)),
                "device": st.sampled_from(DEVICES),
                "preset": st.none() | st.sampled_from([*PRESET_TITLES]),
                "normalize": st.none()
                | st.booleans()
                | st.fixed_dictionaries(
                    {"norm_obs": st.just(True)},
                    optional={
                        name: allowed_values(schema)
                        for name, schema in NORMALIZATION.items()
                        if name != "norm_obs"
                    },
                ),
                "wrappers": st.lists(
                    st.sampled_from(["a:W", {"path": "a.b:C", "kwargs": {"x": [1, None]}}]),
                    max_size=3,
                ),
            },
        )
    )
    _make_agree(algorithm, data, hyperparameters)
    return {**data, "algorithm": algorithm.name, "hyperparameters": hyperparameters}


def _make_agree(
    algorithm: Algorithm, data: dict[str, Any], hyperparameters: dict[str, Any]
) -> None:
    """Change what contradicts itself, presets or not."""
    data["n_envs"] = min(data.get("n_envs", 1), algorithm.max_envs)
    if data.get("frame_stack") == 1:
        data["frame_stack"] = 2
    if algorithm.is_on_policy:  # A batch has to fit into the rollout.
        rollout_steps = hyperparameters.setdefault("n_steps", 256) * data["n_envs"]
        if "batch_size" in algorithm.hyperparameters:
            hyperparameters["batch_size"] = min(
                hyperparameters.get("batch_size", 64), rollout_steps
            )
    if hyperparameters.get("train_freq") == "episode":
        data["n_envs"] = 1
    if hyperparameters.get("critic_net_arch") and not hyperparameters.get("net_arch"):
        hyperparameters["net_arch"] = [8]
    if algorithm.name == "ars":
        hyperparameters["policy"] = "mlp"
        hyperparameters["n_top"] = None
    if algorithm.name == "tqc":
        hyperparameters["n_quantiles"] = 1000
    if algorithm.name == "recurrent_ppo" and hyperparameters.get("shared_lstm"):
        hyperparameters["enable_critic_lstm"] = False
