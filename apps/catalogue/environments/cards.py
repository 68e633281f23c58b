"""What is known of environments without constructing one: families and cards. Data only.

The figures of a card are those of the installed package; a test compares them where it is there.
"""

from dataclasses import dataclass

from apps.catalogue.algorithms.algorithm import SpaceKind


@dataclass(frozen=True, slots=True)
class EnvironmentCard:
    """What a page says of a known environment without constructing it.

    Attributes:
        id: Gymnasium's id.
        family: Key of `FAMILIES`; empty for one of the user's own.
        meaning: One line for people: the task.
        action_space: Kind of its action space.
        observation: Its observation in words, with units.
        reward: Its reward in words.
        max_episode_steps: Steps after which an episode is truncated, None for never; for Atari
            those of a policy, four frames each.
        solved_return: Mean return that counts as solved, None where nobody says one.
        source: Where the task comes from.
    """

    id: str
    family: str
    meaning: str
    action_space: SpaceKind
    observation: str
    reward: str
    max_episode_steps: int | None
    solved_return: float | None
    source: str = ""


def _atari(game: str, meaning: str, reward: str) -> EnvironmentCard:
    return EnvironmentCard(
        f"ALE/{game}-v5",
        "atari",
        meaning,
        "discrete",
        "the screen, 210 x 160 pixels; trained on the last 4 pictures, 84 x 84 shades of grey",
        reward,
        27_000,
        None,
        "Bellemare et al. (2013), Arcade Learning Environment",
    )


def _minigrid(name: str, meaning: str, max_episode_steps: int) -> EnvironmentCard:
    return EnvironmentCard(
        f"MiniGrid-{name}-v0",
        "minigrid",
        meaning,
        "discrete",
        "the 7 x 7 cells ahead (object, colour, state), heading, mission; trained on as a vector",
        "1 less 0.9 times the share of the step limit used up, at success; else 0",
        max_episode_steps,
        None,
        "Chevalier-Boisvert et al. (2023), Minigrid",
    )


def _mujoco(
    name: str,
    meaning: str,
    observation: str,
    reward: str,
    solved_return: float | None,
    max_episode_steps: int = 1000,
) -> EnvironmentCard:
    return EnvironmentCard(
        f"{name}-v5",
        "mujoco",
        meaning,
        "box",
        observation,
        reward,
        max_episode_steps,
        solved_return,
        "Todorov et al. (2012), MuJoCo; Gymnasium",
    )


_JOINTS = "positions (m, rad) and velocities (m/s, rad/s) of the joints"

ENVIRONMENTS: dict[str, EnvironmentCard] = {
    card.id: card
    for card in (
        EnvironmentCard(
            "CartPole-v1",
            "classic_control",
            "Balance a pole on a cart by pushing left or right.",
            "discrete",
            "cart position (m), cart velocity, pole angle (rad), pole angular velocity",
            "+1 for every step the pole stays up",
            500,
            475.0,
            "Barto, Sutton and Anderson (1983)",
        ),
        EnvironmentCard(
            "Acrobot-v1",
            "classic_control",
            "Swing the tip of a two-link arm above a line.",
            "discrete",
            "sine and cosine of both joint angles, both angular velocities (rad/s)",
            "-1 for every step until the tip is above the line",
            500,
            -100.0,
            "Sutton (1996)",
        ),
        EnvironmentCard(
            "MountainCar-v0",
            "classic_control",
            "Drive an underpowered car up a hill by building momentum.",
            "discrete",
            "car position, car velocity",
            "-1 for every step until the flag is reached",
            200,
            -110.0,
            "Moore (1990)",
        ),
        EnvironmentCard(
            "MountainCarContinuous-v0",
            "classic_control",
            "The same hill, with a continuous throttle that costs.",
            "box",
            "car position, car velocity",
            "+100 at the flag, -0.1 times the squared throttle at every step",
            999,
            90.0,
            "Moore (1990)",
        ),
        EnvironmentCard(
            "Pendulum-v1",
            "classic_control",
            "Swing a pendulum up and hold it there.",
            "box",
            "cosine and sine of the angle, angular velocity (rad/s)",
            "from -16.3 (hanging, fast) to 0 (upright, still, no torque) at every step",
            200,
            None,
            "Gymnasium",
        ),
        EnvironmentCard(
            "FrozenLake-v1",
            "toy_text",
            "Cross a slippery frozen lake without falling in.",
            "discrete",
            "the field one stands on, 0 to 15",
            "+1 at the goal, else 0",
            100,
            0.7,
            "Gymnasium",
        ),
        EnvironmentCard(
            "FrozenLake8x8-v1",
            "toy_text",
            "The same lake, eight fields wide.",
            "discrete",
            "the field one stands on, 0 to 63",
            "+1 at the goal, else 0",
            200,
            0.85,
            "Gymnasium",
        ),
        EnvironmentCard(
            "Taxi-v4",
            "toy_text",
            "Fetch a passenger and bring them where they want to go.",
            "discrete",
            "place of taxi and passenger and the destination, as one of 500 states",
            "-1 a step, -10 for a wrong pick-up or drop-off, +20 for the right one",
            200,
            8,
            "Dietterich (2000)",
        ),
        EnvironmentCard(
            "LunarLander-v3",
            "box2d",
            "Land a lunar module between two flags.",
            "discrete",
            "position, velocity, angle (rad), angular velocity, ground contact of legs",
            "for nearing the pad, slowing down and standing upright; +100 or -100 at the end; "
            "engines cost",
            1000,
            200,
            "Gymnasium",
        ),
        EnvironmentCard(
            "LunarLanderContinuous-v3",
            "box2d",
            "The same landing, with continuous engines.",
            "box",
            "position, velocity, angle (rad), angular velocity, ground contact of legs",
            "for nearing the pad, slowing down and standing upright; +100 or -100 at the end; "
            "engines cost",
            1000,
            200,
            "Gymnasium",
        ),
        EnvironmentCard(
            "BipedalWalker-v3",
            "box2d",
            "Walk on two legs over nearly even ground.",
            "box",
            "hull angle and velocities, joint angles and speeds, leg contact, 10 lidar rays",
            "for moving forward, 300 in all at the far end; -100 for a fall; torque costs",
            1600,
            300,
            "Gymnasium",
        ),
        EnvironmentCard(
            "BipedalWalkerHardcore-v3",
            "box2d",
            "The same walk over stumps, pits and stairs.",
            "box",
            "hull angle and velocities, joint angles and speeds, leg contact, 10 lidar rays",
            "for moving forward, 300 in all at the far end; -100 for a fall; torque costs",
            2000,
            300,
            "Gymnasium",
        ),
        EnvironmentCard(
            "CarRacing-v3",
            "box2d",
            "Drive a lap on a new race track, seen from above.",
            "box",
            "a picture of 96 x 96 pixels in colour",
            "-0.1 a frame, +1000/N for each of the N tiles of the track",
            1000,
            900,
            "Gymnasium",
        ),
        _mujoco(
            "HalfCheetah",
            "Make a flat cheetah run as fast as it can.",
            _JOINTS,
            "speed forward (m/s), less a cost of control",
            4800.0,
        ),
        _mujoco(
            "Hopper",
            "Make one leg hop forward without falling.",
            _JOINTS,
            "1 a step upright, speed forward (m/s), less a cost of control",
            3800.0,
        ),
        _mujoco(
            "Walker2d",
            "Make two flat legs walk without falling.",
            _JOINTS,
            "1 a step upright, speed forward (m/s), less a cost of control",
            None,
        ),
        _mujoco(
            "Ant",
            "Make a four-legged body walk.",
            _JOINTS + ", contact forces",
            "1 a step in health, speed forward (m/s), less costs of control and contact",
            6000.0,
        ),
        _mujoco(
            "Humanoid",
            "Make a body with arms and legs walk upright.",
            _JOINTS + ", inertias, velocities, actuator and contact forces",
            "5 a step upright, 1.25 times the speed (m/s), less costs of control and contact",
            None,
        ),
        _mujoco(
            "Swimmer",
            "Make three links swim in a viscous fluid.",
            _JOINTS,
            "speed forward (m/s), less a cost of control",
            360.0,
        ),
        _mujoco(
            "Reacher",
            "Bring the tip of a two-link arm to a target.",
            "joint angles and velocities (rad/s), target, distance of the tip (m)",
            "minus the distance (m), less a cost of control",
            -3.75,
            50,
        ),
        _mujoco(
            "Pusher",
            "Push a cylinder to a target with an arm.",
            "joint angles and velocities (rad/s), places of fingertip, object and goal (m)",
            "minus the distances (m), less a cost of control",
            0.0,
            100,
        ),
        _mujoco(
            "InvertedPendulum",
            "Balance a pole on a sliding cart with a continuous force.",
            "cart position (m), pole angle (rad), their velocities",
            "+1 for every step the pole stays up",
            950.0,
        ),
        _mujoco(
            "InvertedDoublePendulum",
            "Balance two jointed poles on a sliding cart.",
            "cart position (m), sines and cosines of the angles, velocities, constraint force",
            "10 a step, less costs of distance and speed",
            9100.0,
        ),
        _atari(
            "Breakout", "Break a wall of bricks with a ball and a paddle.", "1 to 7 for each brick"
        ),
        _atari("Pong", "Table tennis against the computer, to 21.", "+1 or -1 for each ball"),
        _atari(
            "SpaceInvaders",
            "Shoot rows of invaders before they land.",
            "5 to 30 for each invader, 200 for the mother ship",
        ),
        _atari(
            "Seaquest",
            "Save divers under water and come up for air.",
            "20 and more for each shot, more for each diver brought up",
        ),
        _atari(
            "Qbert",
            "Hop over a pyramid and change the colour of each cube.",
            "25 for each cube, more for bonuses",
        ),
        _atari(
            "MsPacman",
            "Eat the dots of a maze, chased by ghosts.",
            "10 for each dot, more for ghosts and fruit",
        ),
        _atari("BeamRider", "Shoot saucers that ride on beams.", "44 and more for each saucer"),
        _atari(
            "Enduro",
            "Overtake cars by day, night, snow and fog.",
            "+1 for each car overtaken, -1 for each that overtakes",
        ),
        _atari(
            "Asteroids",
            "Shoot rocks that break, in a ship that drifts.",
            "20 to 100 for each rock, more for saucers",
        ),
        _atari("Freeway", "Lead a chicken over ten lanes of traffic.", "+1 for each crossing"),
        _minigrid("Empty-Random-5x5", "Reach the green square of an empty room.", 100),
        _minigrid("Empty-8x8", "Reach the green square of a larger empty room.", 256),
        _minigrid("FourRooms", "Find the green square in one of four rooms.", 100),
        _minigrid("DoorKey-5x5", "Fetch a key, open the door, reach the green square.", 250),
        _minigrid("DoorKey-8x8", "The same in a larger room.", 640),
        _minigrid("Unlock", "Find the key and open the locked door.", 288),
        _minigrid("KeyCorridorS3R1", "Find a key in other rooms and fetch an object.", 270),
        _minigrid("Fetch-5x5-N2", "Fetch the object that the mission names.", 125),
        _minigrid("RedBlueDoors-6x6", "Open the red door, then the blue one.", 720),
        _minigrid("LavaCrossingS9N1", "Cross a stream of lava where there is a gap.", 324),
    )
}
