"""A replay buffer's chunks: shared where they are still true, written where they are not."""

import resource
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer

from apps.engine.checkpoints import buffer
from apps.engine.checkpoints.buffer import FileEntry, SharedChunks, load_buffer, position_of
from apps.rundir.files import FULL_DISK_ERRORS, sha256_of

SIZE = 23
N_ENVS = 2
CHUNK_ROWS = 5
PLACE = spaces.Box(-1.0, 1.0, (2,))
PIXELS = spaces.Box(0, 255, (2,), np.uint8)
GOALS = spaces.Dict({"observation": PIXELS, "achieved_goal": PLACE, "desired_goal": PLACE})


def model_with(buffer_class: type = ReplayBuffer, size: int = SIZE, space: Any = None) -> Any:
    """Return what the functions need of a model: its buffer and its count of steps."""
    space = space or (PLACE if buffer_class is ReplayBuffer else GOALS)
    more = {"env": None} if buffer_class is HerReplayBuffer else {}
    actions = spaces.Discrete(4)
    buffer = buffer_class(size * N_ENVS, space, actions, device="cpu", n_envs=N_ENVS, **more)
    return SimpleNamespace(replay_buffer=buffer, num_timesteps=0)


def play(model: Any, steps: int) -> None:
    """Add transitions that are all different; episodes end in one environment or the other."""
    buffer = model.replay_buffer
    for _ in range(steps):
        now = model.num_timesteps
        seen: Any = np.full((N_ENVS, 2), now % 250)
        if isinstance(buffer, DictReplayBuffer):
            seen = {name: seen + number for number, name in enumerate(GOALS)}
        actions = np.full((N_ENVS, 1), now % 4)
        is_over = np.array([now % 14 == 12, now % 10 == 8])
        infos = [{"TimeLimit.truncated": bool(over)} for over in is_over]
        buffer.add(seen, seen, actions, np.full(N_ENVS, float(now)), is_over, infos)
        model.num_timesteps += N_ENVS


def content(model: Any) -> dict[str, Any]:
    """Return every array of a buffer as bytes, the filled part of it, and where it stands."""
    buffer = model.replay_buffer
    filled = buffer.buffer_size if buffer.full else buffer.pos
    found: dict[str, Any] = {"pos": buffer.pos, "full": buffer.full}
    for name, value in vars(buffer).items():
        parts = value if isinstance(value, dict) else {"": value}
        for key, array in parts.items():
            if isinstance(array, np.ndarray) and name != "infos":
                found[f"{name}.{key}"] = array[:filled].tobytes()
    return found


def save(chunks: SharedChunks, model: Any, folder: Path) -> dict[str, FileEntry]:
    """Save as a checkpoint does."""
    folder.mkdir()
    files = chunks.write(model, folder)
    chunks.remember(model, folder, files)
    assert files == {
        path.name: {"sha256": sha256_of(path), "size_bytes": path.stat().st_size}
        for path in folder.iterdir()
    }
    return files


def resumed(model: Any, folder: Path) -> Any:
    again = model_with(type(model.replay_buffer))
    again.num_timesteps = model.num_timesteps
    assert load_buffer(again, folder, position_of(model)) == ""
    return again


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer, "MAX_CHUNK_ROWS", CHUNK_ROWS)


@pytest.mark.parametrize("buffer_class", [ReplayBuffer, DictReplayBuffer, HerReplayBuffer])
@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2 * SIZE), st.sampled_from(["go on", "resume", "lose"])),
        min_size=2,
        max_size=6,
    )
)
def test_whatever_was_played_and_saved_comes_back_and_only_what_is_new_is_written(
    buffer_class: type, turns: list[tuple[int, str]]
) -> None:
    with tempfile.TemporaryDirectory() as text:
        model, chunks = model_with(buffer_class), SharedChunks()
        before: dict[str, int] = {}
        for number, (steps, then) in enumerate(turns):
            first = model.replay_buffer.pos
            play(model, steps)
            folder = Path(text) / str(number)
            files = save(chunks, model, folder)
            assert content(resumed(model, folder)) == content(model)
            inodes = {name: (folder / name).stat().st_ino for name in files}
            new = {(first + step) % SIZE // CHUNK_ROWS for step in range(steps)}
            for name in inodes.keys() & before.keys():
                is_new = int(name.split(".")[1].split("-")[0]) // CHUNK_ROWS in new
                assert (inodes[name] != before[name]) == is_new
            before = inodes
            if then == "resume":
                model, chunks = resumed(model, folder), SharedChunks()
                chunks.remember(model, folder, files)
            elif then == "lose":
                shutil.rmtree(folder)
                before = {}


def test_a_checkpoint_stands_alone_when_the_one_before_it_is_gone(tmp_path: Path) -> None:
    model, chunks = model_with(), SharedChunks()
    play(model, 17)
    save(chunks, model, tmp_path / "first")
    play(model, 1)
    save(chunks, model, tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    assert content(resumed(model, tmp_path / "second")) == content(model)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (model_with(size=10), "its size is another now"),
        (model_with(size=17), "its size is another now"),
        (model_with(space=spaces.Box(-1.0, 1.0, (3,))), "its shape is another now"),
        (model_with(space=spaces.Box(-1.0, 1.0, (2,), np.float64)), "its shape is another now"),
        (model_with(DictReplayBuffer), "its shape is another now"),
        (model_with(HerReplayBuffer), "hindsight replay is another now"),
    ],
)
def test_a_buffer_that_does_not_fit_stays_empty_and_says_why(
    tmp_path: Path, other: Any, reason: str
) -> None:
    model = model_with()
    play(model, 17)
    save(SharedChunks(), model, tmp_path / "saved")
    assert load_buffer(other, tmp_path / "saved", position_of(model)) == reason
    assert other.replay_buffer.size() == 0


def test_a_larger_buffer_takes_what_a_smaller_one_held(tmp_path: Path) -> None:
    model, larger = model_with(), model_with(size=40)
    play(model, 17)
    save(SharedChunks(), model, tmp_path / "saved")
    assert load_buffer(larger, tmp_path / "saved", position_of(model)) == ""
    assert content(larger) == content(model)


def test_rows_of_pixels_make_chunks_of_few_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffer, "MAX_CHUNK_BYTES", 100)
    model = model_with()
    play(model, 4)
    # A row holds 2 environments x (2 x 2 x 4 bytes of observations + 8 + 3 x 4) bytes.
    assert list(save(SharedChunks(), model, tmp_path / "saved")) == [
        f"buffer.{row}-{row + 1}.arrays" for row in range(4)
    ]


def test_a_full_disk_is_told_by_its_number(tmp_path: Path) -> None:
    model = model_with()
    play(model, 17)
    (tmp_path / "saved").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is compared
            SharedChunks().write(model, tmp_path / "saved")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno in FULL_DISK_ERRORS
