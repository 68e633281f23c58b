"""The script that loads a download: it compiles for whatever a spec may say."""

import ast
from dataclasses import replace

import pytest

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.spec.run import RunSpec
from apps.spec.script import loading_script

HOSTILE = "evil'''\"\"\"\n__import__('os').system('true')#"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("has_statistics", [False, True])
def test_it_is_a_script_for_every_algorithm(algorithm: str, has_statistics: bool) -> None:
    spec = RunSpec.from_dict(
        {"algorithm": algorithm, "environment": "CartPole-v1", "normalize": True}
    )
    text = loading_script(spec, "abcdefghij", 256, has_statistics)
    ast.parse(text)
    assert f"{spec.schema.title}.load" in text
    assert ("VecNormalize" in text) == has_statistics
    assert "apps." not in text


def test_what_a_user_named_stays_a_literal() -> None:
    plain = RunSpec.from_dict({"algorithm": "ppo", "environment": "CartPole-v1"})
    wrapper = {"path": f"mine:{HOSTILE}", "kwargs": {HOSTILE: HOSTILE}}
    kwargs = {"map": HOSTILE, "depth": [None, True]}
    spec = replace(
        plain, environment=HOSTILE, environment_kwargs=kwargs, wrappers=[wrapper], frame_stack=4
    )
    tree = ast.parse(loading_script(spec, "abcdefghij", 256, False))
    called = [
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert "__import__" not in called


def test_atari_is_seen_as_it_was_in_training() -> None:
    spec = RunSpec.from_dict(
        {
            "algorithm": "dqn",
            "environment": "ALE/Pong-v5",
            "frame_stack": 4,
            "wrappers": ["apps.engine.wrappers:AtariFrames", "apps.engine.wrappers:ClipReward"],
        }
    )
    text = loading_script(spec, "abcdefghij", 256, False)
    ast.parse(text)
    assert "AtariWrapper(env, terminal_on_life_loss=False, clip_reward=False)" in text
    assert "VecFrameStack(env, 4" in text
    assert "import ale_py" in text


def test_jax_says_how_it_is_read() -> None:
    spec = RunSpec.from_dict({"algorithm": "ppo", "environment": "CartPole-v1", "backend": "sbx"})
    text = loading_script(spec, "abcdefghij", 256, False)
    ast.parse(text)
    assert "msgpack_restore" in text
    assert "manage.py evaluate abcdefghij@256" in text
