"""Evaluation: recorded seeds, honest numbers, a film of the same episodes."""

import json
import re
import subprocess
from pathlib import Path

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from apps.engine import checkpoints
from apps.engine.building import ALGORITHM_CLASSES
from apps.engine.errors import DamagedCheckpoint, FilmFailed
from apps.engine.evaluation import Player, evaluate, play
from apps.engine.rundir import RunDirectory, read_json, read_lines, sha256_of, write_json
from apps.engine.spec import EvalSpec, RunSpec
from apps.engine.video import MAX_HEIGHT, MAX_WIDTH, Film, picture_size
from tests.engine.conftest import TINY, make_directory
from tests.engine.test_training import events_of, train_tiny


def probe(path: Path) -> str:
    """Return what ffmpeg says of a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def count_frames(path: Path) -> int:
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path), "-f", "null", "-",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(re.findall(r"frame=\s*(\d+)", done.stderr)[-1])


@pytest.fixture
def tiny_run(tmp_path: Path) -> tuple[RunSpec, RunDirectory]:
    directory, _ = train_tiny(tmp_path / "run", "ppo")
    return RunSpec.from_dict(TINY["ppo"]), directory


def test_the_same_seeds_give_the_same_episodes(trained: tuple[RunSpec, RunDirectory]) -> None:
    _, directory = trained
    model = checkpoints.load(ALGORITHM_CLASSES["ppo"], directory, 256, "cpu")
    spec = EvalSpec(is_deterministic=False)
    env = gymnasium.make("CartPole-v1")
    first = [play(Player(model), env, spec, seed) for seed in (5, 6, 5)]
    assert first[0].episode_return == first[2].episode_return
    assert first[0].length == first[2].length


def test_the_summary_says_what_the_episodes_say(tiny_run: tuple[RunSpec, RunDirectory]) -> None:
    spec, directory = tiny_run
    asked = EvalSpec(n_episodes=4, seed=7, should_film=False)
    result = evaluate(directory, spec, 256, asked, "eval_test")
    returns = [episode.episode_return for episode in result.episodes]
    assert [episode.seed for episode in result.episodes] == [7, 8, 9, 10]
    assert result.summary()["return_mean"] == pytest.approx(np.mean(returns))
    assert result.summary()["return_std"] == pytest.approx(np.std(returns))
    assert result.summary()["return_min"] == min(returns)
    assert result.summary()["n_terminated"] + result.summary()["n_truncated"] == 4
    assert all(episode.elapsed_ms > 0 for episode in result.episodes)
    written = json.loads((directory.evaluations / "eval_test.json").read_text())
    assert written["return_mean"] == result.summary()["return_mean"]
    assert events_of(directory, "evaluation")[0]["name"] == "eval_test"


def test_an_episode_that_does_not_end_is_capped(tiny_run: tuple[RunSpec, RunDirectory]) -> None:
    spec, directory = tiny_run
    asked = EvalSpec(n_episodes=2, max_episode_steps=3, should_film=False)
    result = evaluate(directory, spec, 256, asked, "eval_test")
    assert result.summary()["n_capped"] == 2
    assert [episode.length for episode in result.episodes] == [3, 3]


def test_the_film_is_h264_yuv420p_faststart_with_every_step_and_a_poster(
    tiny_run: tuple[RunSpec, RunDirectory],
) -> None:
    spec, directory = tiny_run
    result = evaluate(directory, spec, 256, EvalSpec(n_episodes=2), "eval_test")
    assert result.film is not None
    path = directory.path / result.film.path
    said = probe(path)
    assert "h264" in said
    assert "yuv420p" in said
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    # Each episode shows its reset and every step.
    expected = sum(episode.length + 1 for episode in result.episodes)
    assert result.film.n_frames == expected == count_frames(path)
    assert result.film.size_bytes == path.stat().st_size
    with Image.open(directory.path / result.film.poster_path) as poster:
        assert poster.size == (result.film.width, result.film.height)
    assert not list(directory.evaluations.glob(".*"))
    assert events_of(directory, "film")[0]["name"] == "eval/eval_test.mp4"


def test_an_evaluation_outlives_a_film_that_fails(
    tmp_path: Path,
) -> None:
    directory, _ = train_tiny(tmp_path / "run", "ppo", environment="TupleObservations-v0")
    spec = RunSpec.from_dict({**TINY["ppo"], "environment": "TupleObservations-v0"})
    result = evaluate(directory, spec, 256, EvalSpec(n_episodes=2), "eval_test")
    assert result.film is None
    assert "could not be made" in result.film_error
    written = json.loads((directory.evaluations / "eval_test.json").read_text())
    assert written["return_mean"] == 1.0
    assert written["film_error"] == result.film_error


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete"])
def test_a_damaged_checkpoint_is_refused_before_it_is_unpickled(
    tiny_run: tuple[RunSpec, RunDirectory], harm: str
) -> None:
    spec, directory = tiny_run
    path = directory.checkpoints / "256" / "model.zip"
    data = path.read_bytes()
    if harm == "flip":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif harm == "truncate":
        path.write_bytes(data[:-10])
    else:
        path.unlink()
    with pytest.raises(DamagedCheckpoint, match="choose another checkpoint"):
        evaluate(directory, spec, 256, EvalSpec(), "eval_test")


def test_a_manifest_that_is_not_the_recorded_one_is_refused(
    tiny_run: tuple[RunSpec, RunDirectory],
) -> None:
    spec, directory = tiny_run
    path = directory.checkpoints / "256" / "manifest.json"
    recorded = sha256_of(path)
    evaluate(directory, spec, 256, EvalSpec(1, should_film=False), "eval_test", recorded)
    manifest = read_json(path)
    write_json(path, {**manifest, "is_best": not manifest["is_best"]})
    with pytest.raises(DamagedCheckpoint, match="not the one that was recorded"):
        evaluate(directory, spec, 256, EvalSpec(), "eval_test", recorded)
    write_json(path, {**manifest, "files": {}})
    with pytest.raises(DamagedCheckpoint, match=r"does not name model\.zip, state\.pkl"):
        evaluate(directory, spec, 256, EvalSpec(), "eval_test")


def test_a_checkpoint_that_never_was_is_refused(tiny_run: tuple[RunSpec, RunDirectory]) -> None:
    spec, directory = tiny_run
    with pytest.raises(DamagedCheckpoint, match="does not exist"):
        evaluate(directory, spec, 12345, EvalSpec(), "eval_test")


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((600, 400), (600, 400)),
        ((160, 210), (160, 210)),
        ((84, 84), (168, 168)),
        ((1920, 1080), (1236, 696)),
        ((601, 401), (600, 400)),
        ((4000, 100), (1280, 32)),
    ],
)
def test_pictures_fit_720p_with_even_sides(size: tuple[int, int], shown: tuple[int, int]) -> None:
    width, height = picture_size(*size)
    assert width % 2 == height % 2 == 0
    assert width <= MAX_WIDTH
    assert height < MAX_HEIGHT
    assert (width, height) == shown


def test_a_frame_that_is_no_picture_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(FilmFailed, match="not an RGB picture"),
        Film(tmp_path / "x.mp4", 30) as film,
    ):
        film.add("text", "caption")
    assert list(tmp_path.iterdir()) == []


def test_a_film_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FilmFailed, match="no frame"), Film(tmp_path / "x.mp4", 30):
        pass


def test_an_untrained_directory_has_no_checkpoints(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "run", RunSpec.from_dict(TINY["ppo"]))
    assert checkpoints.steps_of(directory) == []
    assert read_lines(directory.log) == ([], 0)
