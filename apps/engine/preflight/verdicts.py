"""What the measurements of a pre-flight check mean, in words. Pure functions."""

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.descriptions import EnvironmentDescription
from apps.catalogue.environments.storage import transition_bytes
from apps.machine.gpu import GpuMemory
from apps.protocol.preflight import PICTURE, Finding, Memory, Probe, Scale
from apps.spec.run import RunSpec
from apps.words import in_words, size_in_words

# Networks learn best from inputs and targets of about 1.
LARGE_OBSERVATION = 30.0
UNEVEN_OBSERVATIONS = 100.0
LARGE_REWARD = 100.0
SMALL_REWARD = 1e-3
TIGHT_FRACTION = 0.8
LEAK_FRACTION = 0.1


def on_probe(
    spec: RunSpec, description: EnvironmentDescription, probe: Probe, free_bytes: int
) -> list[Finding]:
    """Judge what random actions showed."""
    if probe.not_finite:
        return [
            Finding(
                "refusal",
                f"{probe.not_finite}: networks that read it hold nothing else afterwards",
                "look for a division by zero or a simulation that blew up, and end the episode "
                "there",
            )
        ]
    assert probe.reward is not None  # A step was taken, and what it gave was finite.
    return [
        _on_reward(spec, probe, probe.reward),
        _on_observations(spec, probe),
        _on_episodes(spec, description, probe),
        _on_repeating(probe),
        *_on_leak(spec, probe, free_bytes),
    ]


def _on_reward(spec: RunSpec, probe: Probe, reward: Scale) -> Finding:
    said = (
        f"a step's reward was {reward.low:.4g} to {reward.high:.4g} "
        f"(mean {reward.mean:.4g}) in {probe.steps:,} random steps"
    )
    largest = max(abs(reward.low), abs(reward.high))
    if largest == 0:
        return Finding(
            "advice",
            f"the reward was 0 in all of {probe.steps:,} random steps",
            "an agent learns only once it meets a reward: reward the way towards the goal, or "
            "start episodes near it",
        )
    if reward.low == reward.high:
        return Finding("ok", f"every random step was rewarded with {reward.low:.4g}")
    if largest <= LARGE_REWARD and reward.std >= SMALL_REWARD:
        return Finding("ok", said)
    if spec.normalize and spec.normalize["norm_reward"]:
        return Finding("ok", f"{said}; this run normalises it")
    return Finding(
        "advice",
        said,
        "normalise it (norm_reward), or scale it to about 1: networks learn such targets slowly",
    )


def _on_observations(spec: RunSpec, probe: Probe) -> Finding:
    scales = [scale for scale in probe.observation if scale.std > 0]
    largest = max(scales, key=lambda scale: max(abs(scale.low), abs(scale.high)), default=None)
    if largest is None or largest.name.endswith(PICTURE):
        return Finding("ok", "observations need no scaling")
    reach = max(abs(largest.low), abs(largest.high))
    spreads = [scale.std for scale in scales]
    said = f"number {largest.name} of the observation was {largest.low:.4g} to {largest.high:.4g}"
    if reach <= LARGE_OBSERVATION and max(spreads) <= UNEVEN_OBSERVATIONS * min(spreads):
        return Finding("ok", f"observations are of even size: at most {reach:.4g}")
    if spec.normalize and spec.normalize["norm_obs"]:
        return Finding("ok", f"{said}; this run normalises observations")
    return Finding(
        "advice",
        f"{said}, and the numbers' spreads range from {min(spreads):.2g} to {max(spreads):.2g}",
        "normalise observations (norm_obs): networks learn best from numbers of about -1 to 1",
    )


def _on_episodes(spec: RunSpec, description: EnvironmentDescription, probe: Probe) -> Finding:
    limit = description.max_episode_steps
    card = ENVIRONMENTS.get(spec.environment)
    limit = limit or (card.max_episode_steps if card else None)
    if probe.episodes:
        many = "1 episode" if probe.episodes == 1 else f"{probe.episodes:,} episodes"
        return Finding(
            "ok",
            f"{many} ended, after {probe.mean_length:,.0f} steps on average with a mean "
            f"return of {probe.mean_return:.4g}",
        )
    if limit is None:
        return Finding(
            "warning",
            f"no episode ended in {probe.steps:,} random steps, and there is no step limit: a run "
            "in which no episode ends fails",
            "register it with max_episode_steps, or end episodes",
        )
    longest = spec.total_timesteps // spec.n_envs
    if limit > longest:
        return Finding(
            "warning",
            f"no episode ended in {probe.steps:,} random steps, and the step limit, {limit:,}, is "
            f"more than the {longest:,} steps that each environment takes in this run",
            "raise total_timesteps, or lower n_envs",
        )
    return Finding("ok", f"no random episode ended by itself; the limit is {limit:,} steps")


def _on_repeating(probe: Probe) -> Finding:
    if probe.difference:
        return Finding(
            "warning",
            f"the same seed and actions gave something else: {probe.difference} differed, so the "
            "same spec and seed do not give the same curve",
            "draw all chance from self.np_random, which reset(seed=...) seeds",
        )
    return Finding("ok", "the same seed and actions gave the same observations and rewards")


def _on_leak(spec: RunSpec, probe: Probe, free_bytes: int) -> list[Finding]:
    grown_bytes = probe.leak_bytes_per_step * spec.total_timesteps
    if grown_bytes <= LEAK_FRACTION * free_bytes:
        return []
    return [
        Finding(
            "warning",
            f"memory grew by {size_in_words(probe.leak_bytes_per_step)} with each step: by "
            f"{size_in_words(grown_bytes)} until the end of this run, and "
            f"{size_in_words(free_bytes)} are free",
            "look for a list that only grows",
        )
    ]


def on_memory(spec: RunSpec, description: EnvironmentDescription, memory: Memory) -> Finding:
    """Judge whether a training fits into memory."""
    buffer = size_in_words(memory.buffer_bytes)
    needed = f"it takes about {size_in_words(memory.needed_bytes)} of memory, {buffer} the buffer"
    have = f"{size_in_words(memory.free_bytes)} are free"
    fit = _how_to_fit(spec, description, memory)
    if memory.needed_bytes > memory.free_bytes:
        return Finding("refusal", f"{needed}, and {have}: it cannot fit", fit)
    if memory.allocated_bytes > memory.total_bytes:
        said = (
            f"its buffer is made for {size_in_words(memory.allocated_bytes)}, though this run "
            f"does not fill it, and the machine has {size_in_words(memory.total_bytes)}"
        )
        return Finding("refusal", said, fit)
    if memory.needed_bytes > TIGHT_FRACTION * memory.free_bytes:
        return Finding("warning", f"{needed}, and {have}: that is tight", fit)
    return Finding("ok", f"{needed}; {have}")


def _how_to_fit(spec: RunSpec, description: EnvironmentDescription, memory: Memory) -> str:
    rest = memory.needed_bytes - memory.buffer_bytes
    room = int(TIGHT_FRACTION * memory.free_bytes) - rest
    if spec.schema.has_replay_buffer and room > 0:
        each = transition_bytes(description.observation_space, description.action_space)
        return f"lower buffer_size to at most {room // each:,}"
    return "lower n_envs, n_steps or the networks' size, or end what else runs here"


def on_gpu_memory(needed_bytes: int, gpu_memory: GpuMemory | None) -> list[Finding]:
    """Judge whether a training fits into the memory of a GPU.

    Args:
        needed_bytes: What it takes there, reckoned; 0: nothing.
        gpu_memory: That of the GPU, None where there is none.
    """
    if not needed_bytes or gpu_memory is None:
        return []
    needed = f"it takes about {size_in_words(needed_bytes)} of the GPU's memory"
    fit = "use a smaller batch, or train with device cpu"
    if needed_bytes > gpu_memory.total_bytes:
        said = f"{needed}, which has {size_in_words(gpu_memory.total_bytes)}: it would never begin"
        return [Finding("refusal", said, fit)]
    said = f"{needed}, of which {size_in_words(gpu_memory.free_bytes)} are free"
    if needed_bytes > gpu_memory.free_bytes:
        return [Finding("warning", f"{said}: it waits in the queue until there is room", fit)]
    return [Finding("ok", said)]


def on_speed(spec: RunSpec, steps_per_s: float, eta_s: float, n_envs: int) -> Finding:
    """Tell how long a run takes, measured with so many parallel environments."""
    some = f" (with {n_envs} of its {spec.n_envs} environments)" if n_envs < spec.n_envs else ""
    return Finding(
        "ok",
        f"training makes {steps_per_s:,.0f} steps/s here{some}: {spec.total_timesteps:,} "
        f"steps take about {in_words(eta_s)}",
    )
