"""How often the scalars of a training go to its log: decided here, for callback and library."""

from typing import Any

from apps.spec.run import RunSpec

# On-policy algorithms log each rollout, but for very short ones: A2C's has 5 steps.
SHORT_ROLLOUT_STEPS = 32
STEPS_BETWEEN_DUMPS = 500
# As the library has it by default.
EPISODES_BETWEEN_DUMPS = 4


def between_dumps(spec: RunSpec) -> int:
    """Return after how many rollouts scalars are logged, off-policy after how many episodes.

    As `learn(log_interval=…)` of Stable-Baselines3 has it. What is neither (ARS) counts updates.
    """
    if spec.log_interval:
        return spec.log_interval
    if spec.schema.has_replay_buffer:
        return EPISODES_BETWEEN_DUMPS
    if not spec.schema.is_on_policy:
        return 1
    rollout_steps = spec.hyperparameters["n_steps"] * spec.n_envs
    is_short = rollout_steps < SHORT_ROLLOUT_STEPS
    return int(STEPS_BETWEEN_DUMPS // rollout_steps) if is_short else 1


def options_of_learn(spec: RunSpec) -> dict[str, Any]:
    """Return what `learn()` is told: an on-policy algorithm leaves the dumps to the callback."""
    return {"log_interval": None if spec.schema.is_on_policy else between_dumps(spec)}
