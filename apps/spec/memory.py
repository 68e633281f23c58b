"""How much memory and disk a training takes, reckoned from its spaces: no library is needed.

The arrays are those of the buffers of Stable-Baselines3 and sb3-contrib; a test compares them.
"""

from apps.catalogue.algorithms.backends import BACKENDS
from apps.catalogue.environments.descriptions import EnvironmentDescription
from apps.catalogue.environments.storage import FLOAT_BYTES, buffer_bytes
from apps.machine import gpu
from apps.machine.host import PROCESS_BYTES
from apps.spec.run import RunSpec


def spec_buffer_bytes(
    spec: RunSpec, description: EnvironmentDescription, steps: int | None = None
) -> int:
    """Return the bytes of what a run learns from.

    Args:
        spec: The run's spec.
        description: What its environment says of itself.
        steps: Only as far as so many steps fill a replay buffer; None: all that is allocated.
    """
    values = spec.hyperparameters
    if "buffer_size" in values and steps is not None:
        values = {**values, "buffer_size": min(values["buffer_size"], steps)}
    spaces = description.observation_space, description.action_space
    return buffer_bytes(spec.algorithm, values, spec.n_envs, *spaces)


def training_bytes(spec: RunSpec, description: EnvironmentDescription) -> int:
    """Return about how many bytes of memory a training takes when it has filled its buffer.

    A check before a run (`preflight`) measures instead of reckoning, and counts large networks
    and environments as well.
    """
    return PROCESS_BYTES + spec_buffer_bytes(spec, description, spec.total_timesteps)


def gpu_bytes(spec: RunSpec, description: EnvironmentDescription) -> int:
    """Return about how many bytes of a GPU's memory a training takes where there is a GPU.

    Buffers are not counted: rollouts lie there only where there is room (`lean.device_buffer`). 0
    for what trains on the processor.
    """
    seen = description.observation_space
    if spec.device == "cpu" or "cuda" not in BACKENDS[spec.backend].devices:
        return 0
    if spec.device == "auto" and not seen.is_image:
        return 0
    values = spec.hyperparameters
    batch: int = values.get("batch_size") or values.get("n_steps", 1) * spec.n_envs
    return gpu.PROCESS_BYTES + gpu.BATCH_COPIES * batch * max(seen.size, 1) * FLOAT_BYTES
