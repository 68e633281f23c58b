"""Families of environments: what each needs, and how its ids look."""

from dataclasses import dataclass, field
from typing import Any

from apps.catalogue.extras import install_command


@dataclass(frozen=True, slots=True)
class Family:
    """A group of environments that one package brings.

    Attributes:
        title: The name people read.
        requirement: What pip is told to install when the package is missing; the extra's own.
        package: Package that has to be there; where `ids` is given, importing it registers them.
        ids: Pattern of ids that Gymnasium knows only after the package is imported.
        extra: Name of our own optional dependency that brings it, empty where the base install
            does wherever it can be trained in.
        wrappers: Wrappers that its environments are trained with where a spec names none.
        frame_stack: Likewise, how many observations are seen at once.
        kwargs: Likewise, keyword arguments of the environment.
        film_bytes_per_minute: Size of a minute of film, roughly: random play, filmed as an
            evaluation is, the mean over three to five of its environments.
    """

    title: str
    requirement: str
    package: str = "gymnasium"
    ids: str = ""
    extra: str = ""
    wrappers: tuple[Any, ...] = ()
    frame_stack: int = 0
    kwargs: dict[str, Any] = field(default_factory=dict)
    film_bytes_per_minute: int | None = None

    @property
    def install(self) -> str:
        """What to type here when the package is missing."""
        return install_command(self.requirement)


FAMILIES: dict[str, Family] = {
    "classic_control": Family(
        "Classic control",
        "gymnasium[classic-control]>=1.2,<2",
        film_bytes_per_minute=900_000,
    ),
    "toy_text": Family("Toy text", "gymnasium[toy-text]>=1.2,<2", film_bytes_per_minute=120_000),
    "box2d": Family(
        "Box2D",
        "gymnasium[box2d]>=1.2,<2",
        "Box2D",
        extra="box2d",
        film_bytes_per_minute=1_400_000,
    ),
    "mujoco": Family(
        "MuJoCo",
        "mujoco>=3.3,<4",
        "mujoco",
        extra="mujoco",
        film_bytes_per_minute=2_700_000,
    ),
    "atari": Family(
        "Atari",
        "ale-py>=0.11,<0.13",
        "ale_py",
        ids=r"ALE/.+|\w+NoFrameskip-v\d+",
        extra="atari",
        wrappers=(
            "apps.engine.wrappers:AtariFrames",
            "apps.engine.wrappers:LifeIsEpisode",
            "apps.engine.wrappers:ClipReward",
        ),
        frame_stack=4,
        kwargs={"frameskip": 1, "obs_type": "grayscale"},
        film_bytes_per_minute=400_000,
    ),
    "minigrid": Family(
        "MiniGrid",
        "minigrid>=3,<4",
        "minigrid",
        ids=r"(MiniGrid|BabyAI)-.+",
        extra="minigrid",
        wrappers=("minigrid.wrappers:FlatObsWrapper",),
        film_bytes_per_minute=200_000,
    ),
}
