"""A rollout on the device trains what the library's rollout in the host's memory trains."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecTransposeImage

from apps.engine.models.lean.device_buffer import DeviceRolloutBuffer, buffer_for
from apps.engine.models.lean.on_policy import LeanPPO
from tests.engine.models.lean.pairs import PAIRS, SMALL, Rows, tensors_of

PICTURES = {"screen_height": 40, "screen_width": 40}


def trained(
    kind: type[BaseAlgorithm], is_picture: bool, **arguments: Any
) -> tuple[Any, list[dict[str, Any]]]:
    torch.set_num_threads(1)
    if is_picture:
        env = make_vec_env(FakeImageEnv, 3, seed=3, env_kwargs=PICTURES)
        for place, one in enumerate(env.envs):  # It draws its pictures from its space.
            one.unwrapped.observation_space.seed(place)
        model = kind("CnnPolicy", VecTransposeImage(env), seed=3, device="cpu", **arguments)
    else:
        model = kind(
            "MlpPolicy", make_vec_env("Pendulum-v1", 3), seed=3, device="cpu", **arguments
        )
    rows = Rows()
    model.set_logger(Logger(None, [rows]))
    model.learn(200, log_interval=1)
    return model, rows.rows


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize("algorithm", PAIRS)
@pytest.mark.parametrize("is_picture", [True, False])
def test_what_is_trained_from_it_is_the_same(algorithm: str, is_picture: bool) -> None:
    library, ours = PAIRS[algorithm]
    arguments = {**SMALL, "batch_size": 40} if algorithm == "ppo" else {"n_steps": 16}
    theirs, their_rows = trained(library, is_picture, **arguments)
    model, rows = trained(ours, is_picture, rollout_buffer_class=DeviceRolloutBuffer, **arguments)
    assert type(model.rollout_buffer) is DeviceRolloutBuffer
    assert rows == their_rows
    assert all(map(torch.equal, tensors_of(model), tensors_of(theirs)))


def test_its_file_loads_in_the_library_with_the_library_s_buffer(tmp_path: Path) -> None:
    model, _ = trained(LeanPPO, True, rollout_buffer_class=DeviceRolloutBuffer, **SMALL)
    model.save(tmp_path / "model.zip")
    stock = PPO.load(tmp_path / "model.zip")
    assert stock.rollout_buffer_class.__module__.startswith("stable_baselines3")
    seen = np.zeros((3, *model.observation_space.shape), np.uint8)
    assert np.array_equal(
        stock.predict(seen, deterministic=True)[0], model.predict(seen, deterministic=True)[0]
    )


def test_it_is_for_arrays_that_fit_into_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000_000, 2_000_000))
    picture = spaces.Box(0, 255, (1, 100, 100), np.uint8)
    assert buffer_for(torch.device("cuda"), picture, 50) is DeviceRolloutBuffer
    assert buffer_for(torch.device("cuda"), picture, 51) is None
    assert buffer_for(torch.device("cpu"), picture, 50) is None
    assert buffer_for(torch.device("cuda"), spaces.Dict({"a": picture}), 50) is None
