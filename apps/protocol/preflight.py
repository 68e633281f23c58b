"""What a pre-flight check found: measurements, an estimate, and findings in words. Data only.

The check itself is `engine/checker.py`, in a trainer process; forms and the API read its result.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from apps.catalogue.environments.descriptions import EnvironmentDescription

# From the least to the gravest. `advice`: it trains, and something would be better. `warning`: it
# may not come to anything. `refusal`: it cannot be trained like this.
Severity = Literal["ok", "advice", "warning", "refusal"]
PICTURE = ("darkest", "brightest")  # Names of the two numbers that stand for all of a picture.
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Attributes:
        severity: How grave it is.
        message: What was found, with its figures.
        action: What to do, empty where nothing is to be done or the message says it.
        field: The field of the spec that is refused, empty where it is about none.
    """

    severity: Severity
    message: str
    action: str = ""
    field: str = ""

    @property
    def words(self) -> str:
        """The message, with the field that it is about."""
        return f"{self.field}: {self.message}" if self.field else self.message


@dataclass(frozen=True, slots=True)
class Scale:
    """How large some numbers were over the steps of a probe.

    Attributes:
        name: What they are: `reward`, or an observation's index or name.
        low: The least.
        high: The greatest.
        mean: Their mean.
        std: Their standard deviation.
    """

    name: str
    low: float
    high: float
    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class Probe:
    """What a while of random actions in one environment showed.

    Attributes:
        steps: Steps taken.
        steps_per_s: How many a second, resets included.
        reset_s: Seconds of the first reset.
        reward: Scale of a step's reward, as the learner sees it; None when no step was taken.
        observation: Scale of each number of an observation, of the first `MAX_SCALES`; of a
            picture one for all.
        episodes: Episodes that ended.
        mean_length: Their mean length in steps, None when none ended.
        mean_return: Their mean return, likewise.
        not_finite: The first number that was NaN or infinite, in words; empty for none.
        difference: Where the same seed and actions gave something else; empty for nowhere.
        leak_bytes_per_step: How much memory grew with each step; 0 when it did not.
    """

    steps: int
    steps_per_s: float
    reset_s: float
    reward: Scale | None
    observation: tuple[Scale, ...]
    episodes: int
    mean_length: float | None
    mean_return: float | None
    not_finite: str = ""
    difference: str = ""
    leak_bytes_per_step: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What a training takes of memory when it has filled its buffers.

    Attributes:
        process_bytes: Interpreter and libraries.
        environments_bytes: All parallel environments.
        networks_bytes: Weights, gradients and the optimizer's state.
        buffer_bytes: What it learns from: replay buffer or rollout, as far as the run fills it.
        allocated_bytes: The same, whether filled or not.
        free_bytes: What the machine has free.
        total_bytes: What the machine has.
    """

    process_bytes: int
    environments_bytes: int
    networks_bytes: int
    buffer_bytes: int
    allocated_bytes: int
    free_bytes: int
    total_bytes: int

    @property
    def needed_bytes(self) -> int:
        """All of it together."""
        parts = (self.process_bytes, self.environments_bytes, self.networks_bytes)
        return sum(parts) + self.buffer_bytes


@dataclass(frozen=True, slots=True)
class Preflight:
    """The result of a check.

    Attributes:
        findings: What was found, in the order it was looked for.
        environment: What the environment says of itself, None when it could not be made.
        probe: What random actions showed, None when it did not come to that.
        memory: What training takes, likewise.
        steps_per_s: Training steps a second on this machine now, likewise.
        eta_s: Seconds that the whole run would take, likewise.
        elapsed_s: Seconds that the check took.
        traceback: Where it broke or hung, empty when it did not.
    """

    findings: tuple[Finding, ...] = ()
    environment: EnvironmentDescription | None = None
    probe: Probe | None = None
    memory: Memory | None = None
    steps_per_s: float | None = None
    eta_s: float | None = None
    elapsed_s: float = 0.0
    traceback: str = ""

    @property
    def severity(self) -> Severity:
        """The gravest of its findings."""
        found = [SEVERITIES.index(finding.severity) for finding in self.findings]
        return SEVERITIES[max(found, default=0)]

    def gravest_first(self) -> list[Finding]:
        """Return the findings, the gravest first."""
        return sorted(self.findings, key=lambda each: -SEVERITIES.index(each.severity))

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready data; `from_dict` reads it back."""
        memory = self.memory and {
            **asdict(self.memory),
            "needed_bytes": self.memory.needed_bytes,
        }
        return {**asdict(self), "severity": self.severity, "memory": memory}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `as_dict` and JSON have made of a result."""
        values: dict[str, Any] = {name: data[name] for name in cls.__slots__}
        values["findings"] = tuple(Finding(**finding) for finding in data["findings"])
        if data["environment"]:
            values["environment"] = EnvironmentDescription.from_dict(data["environment"])
        if data["probe"]:
            values["probe"] = _probe(data["probe"])
        if data["memory"]:
            values["memory"] = Memory(**{name: data["memory"][name] for name in Memory.__slots__})
        return cls(**values)


def _probe(data: Mapping[str, Any]) -> Probe:
    observation = tuple(Scale(**scale) for scale in data["observation"])
    reward = data["reward"] and Scale(**data["reward"])
    return Probe(**{**data, "reward": reward, "observation": observation})
