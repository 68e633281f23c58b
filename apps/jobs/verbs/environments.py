"""The environments there are to train in: the known ones and the user's own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.environments.cards import ENVIRONMENTS, EnvironmentCard
from apps.catalogue.environments.descriptions import known_descriptions
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.environments.profiles import EnvironmentProfile, make_profile
from apps.errors import UnknownEnvironment
from apps.jobs.descriptions import description_of
from apps.jobs.verbs.own_environments import OwnEnvironment, own_environment, own_environments
from apps.spec.fitting import misfits_of
from apps.spec.run import RunSpec
from apps.text.suggestions import did_you_mean

OWN_FAMILY = "own"
FAMILY_TITLES = {
    OWN_FAMILY: "Your own",
    **{name: family.title for name, family in FAMILIES.items()},
}
# A page waits this long for modules that were never read; then it shows what it has.
READING_WAIT_S = 3.0
NO_KWARGS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Filter:
    """Which environments are wanted; an empty field wants all.

    Attributes:
        search: Words that id, task, observation, reward or group must hold.
        family: Key of `FAMILY_TITLES`.
        algorithm: Name of an algorithm that can act there.
        is_ready: Whether only those that can be used now.
    """

    search: str = ""
    family: str = ""
    algorithm: str = ""
    is_ready: bool = False

    def passes(self, profile: EnvironmentProfile) -> bool:
        """Whether an environment is wanted."""
        card = profile.card
        said = (card.id, card.meaning, card.observation, card.reward, profile.group, card.source)
        text = " ".join(said).lower()
        return (
            all(word in text for word in self.search.lower().split())
            and self.family in ("", card.family)
            and (not self.algorithm or self.algorithm in profile.algorithms)
            and (profile.is_ready or not self.is_ready)
        )


EVERYTHING = Filter()


def profiles(wanted: Filter = EVERYTHING, wait_s: float = 0.0) -> list[EnvironmentProfile]:
    """Return the environments that pass a filter, the user's own first.

    Args:
        wanted: The filter.
        wait_s: How long to wait for those of the user's own that nobody has described yet.
    """
    own = [_own_profile(each) for each in own_environments(wait_s)]
    known = [known_profile(name) for name in ENVIRONMENTS]
    return [profile for profile in own + known if wanted.passes(profile)]


def profile_of(
    environment: str, wait_s: float = 0.0, kwargs: Mapping[str, Any] = NO_KWARGS
) -> EnvironmentProfile:
    """Return the profile of one environment.

    Args:
        environment: Its id.
        wait_s: How long to wait for those of the user's own that nobody has described yet.
        kwargs: Arguments that it is made with; none: as its card says.

    Raises:
        UnknownEnvironment: There is none of that id in the lists; Gymnasium may know it still.
        InvalidSpec: It cannot be made with these arguments.
    """
    if environment in ENVIRONMENTS:
        found = known_profile(environment)
        return _made_with(found, kwargs) if kwargs else found
    own = own_environment(environment, wait_s)
    if own is not None:
        found = _own_profile(own)
        return _made_with(found, kwargs) if kwargs else found
    known = [*ENVIRONMENTS, *(each.id for each in own_environments(0.0))]
    hint = did_you_mean(environment, known, 3)
    raise UnknownEnvironment(
        f"{environment!r} is in no list here; `environments` lists what is, and an id that "
        f"Gymnasium knows can be trained in all the same{hint}"
    )


@cache
def known_profile(environment: str) -> EnvironmentProfile:
    """Return the profile of an environment that has a card."""
    card = ENVIRONMENTS[environment]
    family = FAMILIES[card.family]
    said = known_descriptions()[environment]
    film_bytes = family.film_bytes_per_minute
    return make_profile(card, family.title, said, misfits_of(said), family.install, film_bytes)


def _made_with(profile: EnvironmentProfile, kwargs: Mapping[str, Any]) -> EnvironmentProfile:
    """Return an environment's profile as it is with arguments, which may be another world."""
    given = {"environment": profile.card.id, "environment_kwargs": dict(kwargs)}
    said = description_of(RunSpec.from_dict(given))
    card = replace(
        profile.card,
        action_space=said.action_space.kind,
        observation=said.observation_space.in_words(),
        max_episode_steps=said.max_episode_steps,
    )
    film_bytes = profile.storage.film_bytes_per_minute if profile.storage else None
    misfits = misfits_of(said)
    return make_profile(card, profile.group, said, misfits, profile.install, film_bytes)


def cards_for(algorithm: Algorithm) -> list[EnvironmentCard]:
    """Return the environments that an algorithm can act in, the user's own first."""
    return [profile.card for profile in profiles(Filter(algorithm=algorithm.name))]


def by_group(found: Iterable[EnvironmentProfile]) -> dict[str, list[EnvironmentProfile]]:
    """Return environments by the title of their group, in the order of the groups."""
    groups: dict[str, list[EnvironmentProfile]] = {title: [] for title in FAMILY_TITLES.values()}
    for profile in found:
        groups[profile.group].append(profile)
    return {title: members for title, members in groups.items() if members}


def _own_profile(own: OwnEnvironment) -> EnvironmentProfile:
    said = own.description
    card = EnvironmentCard(
        id=own.id,
        family=OWN_FAMILY,
        meaning=f"{said.summary}." if said and said.summary else "",
        action_space=said.action_space.kind if said else "other",
        observation=said.observation_space.in_words() if said else "",
        reward="",
        max_episode_steps=said.max_episode_steps if said else None,
        solved_return=said.reward_threshold if said else None,
        source=own.origin,
    )
    return make_profile(
        card,
        FAMILY_TITLES[OWN_FAMILY],
        said,
        misfits_of(said),
        problem=own.problem or (said.untrainable if said else ""),
        is_reading=own.state == "reading",
    )
