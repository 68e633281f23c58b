"""The environments there are to train in: the known ones and the user's own."""

from apps.engine.algorithms import Algorithm
from apps.engine.environment_cards import ENVIRONMENTS, EnvironmentCard
from apps.engine.environment_profiles import EnvironmentProfile, known_profile, make_profile
from apps.engine.errors import UnknownEnvironment
from apps.jobs.own_environments import OwnEnvironment, own_environments

OWN_GROUP = "Your own"


def profiles(wait_s: float = 0.0) -> list[EnvironmentProfile]:
    """Return the profile of every environment, the user's own first.

    Args:
        wait_s: How long to wait for those of the user's own that nobody has described yet.
    """
    own = [_own_profile(each) for each in own_environments(wait_s)]
    return own + [known_profile(name) for name in ENVIRONMENTS]


def profile(environment: str, wait_s: float = 0.0) -> EnvironmentProfile:
    """Return the profile of one environment.

    Raises:
        UnknownEnvironment: There is none of that id in the lists; Gymnasium may know it still.
    """
    for each in profiles(0.0 if environment in ENVIRONMENTS else wait_s):
        if each.card.id == environment:
            return each
    raise UnknownEnvironment(
        f"{environment!r} is in no list here; `environments` lists what is. An id that Gymnasium "
        "knows can be trained in all the same"
    )


def cards_for(algorithm: Algorithm) -> list[EnvironmentCard]:
    """Return the environments that an algorithm can act in, the user's own first."""
    return [each.card for each in profiles() if algorithm.name in each.algorithms]


def _own_profile(own: OwnEnvironment) -> EnvironmentProfile:
    said = own.description
    card = EnvironmentCard(
        id=own.id,
        family="",
        meaning=f"{said.summary}." if said and said.summary else "",
        action_space=said.action_space.kind if said else "other",
        observation=said.observation_space.in_words() if said else "",
        reward="",
        max_episode_steps=said.max_episode_steps if said else None,
        solved_return=said.reward_threshold if said else None,
        source=own.origin,
    )
    waiting = "its module is being read; look again in a moment"
    problem = waiting if own.state == "reading" else own.problem
    return make_profile(card, OWN_GROUP, said, problem=problem)
