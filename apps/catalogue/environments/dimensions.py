"""What each number of a known environment's observations and actions means. Data only.

Bounds are not written here: they are those of the installed package (`descriptions.py`). A test
compares the counts with it. Sources: the documentation and the code of each package.
"""

import re
from dataclasses import dataclass

_ENTRY = re.compile(r"(?P<meaning>.+?)(?: \((?P<unit>[^()]+)\))?(?: x(?P<count>\d+))?")


@dataclass(frozen=True, slots=True)
class Dimension:
    """One number of a space, or several in a row that mean the same.

    Attributes:
        meaning: What it is, in words.
        unit: Its unit, empty for none.
        count: How many numbers in a row.
    """

    meaning: str
    unit: str = ""
    count: int = 1


def _read(text: str) -> tuple[Dimension, ...]:
    """Read `meaning (unit) xCOUNT; …`; what stands before a colon goes before each of a list.

    For example `velocity of a, b (m/s)` stays one entry; `angle of: hip, knee (rad)` is two.
    """
    dimensions = []
    for entry in text.split("; "):
        found = _ENTRY.fullmatch(entry)
        assert found is not None, entry
        prefix, colon, rest = found["meaning"].partition(": ")
        each = [f"{prefix} {item}" for item in rest.split(", ")] if colon else [prefix]
        count = int(found["count"] or 1)
        dimensions += [Dimension(meaning, found["unit"] or "", count) for meaning in each]
    return tuple(dimensions)


_CHEETAH = "back thigh, back shin, back foot, front thigh, front shin, front foot"
_WALKER = "right thigh, right leg, right foot, left thigh, left leg, left foot"
_ARM = (
    "shoulder pan, shoulder lift, shoulder roll, elbow flex, forearm roll, wrist flex, wrist roll"
)
_ANT = (
    "front left hip, front left ankle, front right hip, front right ankle, "
    "back left hip, back left ankle, back right hip, back right ankle"
)
_HUMANOID = (
    "abdomen z, abdomen y, abdomen x, right hip x, right hip z, right hip y, right knee, "
    "left hip x, left hip z, left hip y, left knee, right shoulder 1, right shoulder 2, "
    "right elbow, left shoulder 1, left shoulder 2, left elbow"
)
_BODY = (
    "height of the torso (m); orientation of the torso, quaternion: w, x, y, z; "
    "angle of: {joints} (rad); velocity of the torso along: x, y, z (m/s); "
    "angular velocity of the torso about: x, y, z (rad/s); angular velocity of: {joints} (rad/s); "
)
_LANDER = (
    "place beside the pad; height above the pad; velocity sideways; velocity upwards; "
    "angle (rad); angular velocity; left leg touches the ground; right leg touches the ground"
)
_WALKER2D_BODY = (
    "angle of the hull (rad); angular velocity of the hull; velocity forward; velocity upwards; "
    "angle of the first: hip (rad); speed of the first: hip; angle of the first: knee (rad); "
    "speed of the first: knee; the first leg touches the ground; angle of the second: hip (rad); "
    "speed of the second: hip; angle of the second: knee (rad); speed of the second: knee; "
    "the second leg touches the ground; lidar, share of its reach that is free x10"
)
_MINIGRID = "the 7 x 7 cells ahead, each its object, colour, state x147; mission, 96 letters x2688"
_GAME = "the last 4 pictures, 84 x 84 shades of grey x28224"

_OBSERVATIONS: dict[str, str] = {
    "CartPole-v1": "cart position (m); cart velocity (m/s); pole angle (rad); "
    "angular velocity of the pole (rad/s)",
    "Acrobot-v1": "cosine of the first angle; sine of the first angle; "
    "cosine of the second angle; sine of the second angle; "
    "angular velocity of the: first joint, second joint (rad/s)",
    "MountainCar-v0": "car position; car velocity",
    "MountainCarContinuous-v0": "car position; car velocity",
    "Pendulum-v1": "cosine of the angle; sine of the angle; angular velocity (rad/s)",
    "FrozenLake-v1": "the field one stands on, row times 4 plus column",
    "FrozenLake8x8-v1": "the field one stands on, row times 8 plus column",
    "Taxi-v4": "((row times 5 plus column) times 5 plus passenger) times 4 plus destination",
    "LunarLander-v3": _LANDER,
    "LunarLanderContinuous-v3": _LANDER,
    "BipedalWalker-v3": _WALKER2D_BODY,
    "BipedalWalkerHardcore-v3": _WALKER2D_BODY,
    "CarRacing-v3": "a picture seen from above, 96 x 96 pixels in red, green, blue x27648",
    "HalfCheetah-v5": "height of the tip (m); angle of the tip (rad); "
    f"angle of: {_CHEETAH} (rad); velocity of the tip: forward, upwards (m/s); "
    "angular velocity of the tip (rad/s); "
    f"angular velocity of: {_CHEETAH} (rad/s)",
    "Hopper-v5": "height of the torso (m); angle of the torso (rad); "
    "angle of: thigh, leg, foot (rad); velocity of the torso: forward, upwards (m/s); "
    "angular velocity of: torso, thigh, leg, foot (rad/s)",
    "Walker2d-v5": "height of the torso (m); angle of the torso (rad); "
    f"angle of: {_WALKER} (rad); velocity of the torso: forward, upwards (m/s); "
    "angular velocity of the torso (rad/s); "
    f"angular velocity of: {_WALKER} (rad/s)",
    "Swimmer-v5": "angle of the: front tip, first rotor, second rotor (rad); "
    "velocity of the tip along: x, y (m/s); "
    "angular velocity of the: front tip, first rotor, second rotor (rad/s)",
    "Reacher-v5": "cosine of the: first angle, second angle; sine of the: first angle, second "
    "angle; place of the target: x, y (m); angular velocity of the: first arm, second arm "
    "(rad/s); from the target to the fingertip: x, y (m)",
    "Pusher-v5": f"angle of: {_ARM} (rad); angular velocity of: {_ARM} (rad/s); "
    "place of the fingertip: x, y, z (m); place of the object: x, y, z (m); "
    "place of the goal: x, y, z (m)",
    "InvertedPendulum-v5": "cart position (m); pole angle (rad); cart velocity (m/s); "
    "angular velocity of the pole (rad/s)",
    "InvertedDoublePendulum-v5": "cart position (m); sine of the: first angle, second angle; "
    "cosine of the: first angle, second angle; cart velocity (m/s); "
    "angular velocity of the: first pole, second pole (rad/s); constraint force (N)",
    "Ant-v5": _BODY.format(joints=_ANT) + "contact forces (N) and torques (N m) on 13 bodies x78",
    "Humanoid-v5": _BODY.format(joints=_HUMANOID) + "mass and inertia of 13 bodies x130; "
    "velocity and angular velocity of 13 bodies x78; actuator force at each joint x17; "
    "contact forces (N) and torques (N m) on 13 bodies x78",
}

_ACTIONS: dict[str, str] = {
    "CartPole-v1": "push left; push right",
    "Acrobot-v1": "torque -1 (N m); no torque; torque +1 (N m)",
    "MountainCar-v0": "throttle left; let it roll; throttle right",
    "MountainCarContinuous-v0": "throttle, left to right",
    "Pendulum-v1": "torque (N m)",
    "FrozenLake-v1": "left; down; right; up",
    "FrozenLake8x8-v1": "left; down; right; up",
    "Taxi-v4": "south; north; east; west; pick up; drop off",
    "LunarLander-v3": "nothing; left engine; main engine; right engine",
    "LunarLanderContinuous-v3": "main engine, off below 0; side engines, left to right",
    "BipedalWalker-v3": "motor speed of the first: hip, knee; "
    "motor speed of the second: hip, knee",
    "CarRacing-v3": "steering, left to right; gas; brake",
    "HalfCheetah-v5": f"torque at: {_CHEETAH} (N m)",
    "Hopper-v5": "torque at: thigh, leg, foot (N m)",
    "Walker2d-v5": f"torque at: {_WALKER} (N m)",
    "Swimmer-v5": "torque at: first rotor, second rotor (N m)",
    "Reacher-v5": "torque at: first hinge, second hinge (N m)",
    "Pusher-v5": f"torque at: {_ARM} (N m)",
    "InvertedPendulum-v5": "force on the cart (N)",
    "InvertedDoublePendulum-v5": "force on the cart (N)",
    "Ant-v5": "torque at: back right hip, back right ankle, front left hip, front left ankle, "
    "front right hip, front right ankle, back left hip, back left ankle (N m)",
    "Humanoid-v5": "torque at: abdomen y, abdomen z, abdomen x, right hip x, right hip z, "
    "right hip y, right knee, left hip x, left hip z, left hip y, left knee, right shoulder 1, "
    "right shoulder 2, right elbow, left shoulder 1, left shoulder 2, left elbow (N m)",
    "ALE/Breakout-v5": "nothing; fire; right; left",
    "ALE/Pong-v5": "nothing; fire; right; left; right and fire; left and fire",
    "ALE/SpaceInvaders-v5": "nothing; fire; right; left; right and fire; left and fire",
    "ALE/Seaquest-v5": "nothing; fire; up; right; left; down; up right; up left; down right; "
    "down left; up and fire; right and fire; left and fire; down and fire; up right and fire; "
    "up left and fire; down right and fire; down left and fire",
    "ALE/Qbert-v5": "nothing; fire; up; right; left; down",
    "ALE/MsPacman-v5": "nothing; up; right; left; down; up right; up left; down right; down left",
    "ALE/BeamRider-v5": "nothing; fire; up; right; left; up right; up left; right and fire; "
    "left and fire",
    "ALE/Enduro-v5": "nothing; fire; right; left; down; down right; down left; right and fire; "
    "left and fire",
    "ALE/Asteroids-v5": "nothing; fire; up; right; left; down; up right; up left; up and fire; "
    "right and fire; left and fire; down and fire; up right and fire; up left and fire",
    "ALE/Freeway-v5": "nothing; up; down",
}
_ACTIONS["BipedalWalkerHardcore-v3"] = _ACTIONS["BipedalWalker-v3"]
_FAMILY_OBSERVATIONS = {"minigrid": _MINIGRID, "atari": _GAME}
_FAMILY_ACTIONS = {
    "minigrid": "turn left; turn right; forward; pick up; drop; toggle; done",
}


def observation_dimensions(environment: str, family: str) -> tuple[Dimension, ...]:
    """Return what the numbers of an observation mean, in order; empty where nobody wrote it."""
    text = _OBSERVATIONS.get(environment, _FAMILY_OBSERVATIONS.get(family, ""))
    return _read(text) if text else ()


def action_dimensions(environment: str, family: str) -> tuple[Dimension, ...]:
    """Return what the actions, or the numbers of one, mean in order; empty likewise."""
    text = _ACTIONS.get(environment, _FAMILY_ACTIONS.get(family, ""))
    return _read(text) if text else ()
