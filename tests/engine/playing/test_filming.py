"""Films: the episodes of an evaluation, as much of them as is allowed, in a file that plays."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from apps import words
from apps.engine.control import Control
from apps.engine.playing import evaluation
from apps.engine.playing.evaluation import Deadline, Interrupted, evaluate
from apps.engine.playing.scenes import FilmLimits, film, scenes_of, what_was_cut
from apps.engine.playing.video import MAX_HEIGHT, MAX_WIDTH, Film, frame_rate, picture_size
from apps.engine.training.training import NoEpisode
from apps.errors import EngineError, FilmFailed
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json
from apps.spec.evaluation import EvalSpec
from apps.spec.run import RunSpec
from tests.builders import TINY, events_of
from tests.trainings import train_tiny

WORLDS = "tests.worlds.odd_worlds"


def probe(path: Path) -> str:
    """Return what ffmpeg says of a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def count_frames(path: Path) -> int:
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-hide_banner",
        "-i",
        str(path),
        "-f",
        "null",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(re.findall(r"frame=\s*(\d+)", done.stderr)[-1])


def evaluated(
    path: Path,
    environment: str,
    n_episodes: int = 2,
    max_episode_steps: int = 10_000,
    trained_in: str = "",
) -> tuple[RunSpec, RunDirectory]:
    """Train for a moment in a world, or its like, and evaluate the end of it as `eval_test`."""
    with suppress(NoEpisode):  # In a world without an end; its checkpoint is there.
        train_tiny(path / "run", "ppo", environment=trained_in or environment)
    directory = RunDirectory(path / "run")
    spec = RunSpec.from_dict({**TINY["ppo"], "environment": environment})
    asked = EvalSpec(n_episodes=n_episodes, max_episode_steps=max_episode_steps)
    evaluate(directory, spec, 256, asked, "eval_test")
    return spec, directory


def test_a_film_is_h264_yuv420p_faststart_with_every_step_and_a_poster(tmp_path: Path) -> None:
    spec, directory = evaluated(tmp_path, "CartPole-v1")
    made = film(directory, spec, "eval_test", FilmLimits())
    path = directory.path / made["path"]
    said = probe(path)
    assert "h264" in said
    assert "yuv420p" in said
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    # Each episode shows its reset and every step.
    written = read_json(directory.evaluations / "eval_test.json")
    expected = sum(episode["length"] + 1 for episode in written["episodes"])
    assert made["n_frames"] == expected == count_frames(path)
    assert (made["n_episodes"], made["cut"]) == (2, "")
    assert made["size_bytes"] == path.stat().st_size
    with Image.open(directory.path / made["poster_path"]) as poster:
        assert poster.size == (made["width"], made["height"])
    assert not list(directory.evaluations.glob(".*"))
    assert written["film"] == made
    assert events_of(directory, "film")[0]["name"] == "eval/eval_test.mp4"


def test_a_film_has_as_many_episodes_and_frames_as_allowed_and_says_what_it_leaves_out(
    tmp_path: Path,
) -> None:
    spec, directory = evaluated(tmp_path, f"{WORLDS}:Endless-v0", 3, max_episode_steps=400)
    made = film(directory, spec, "eval_test", FilmLimits(n_episodes=2, duration_s=5))
    assert made["fps"] == 20
    assert made["n_frames"] == count_frames(directory.path / made["path"]) == 100
    assert made["cut"] == (
        "2 of 3 episodes; episode 1 cut at step 49 of 400; episode 2 cut at step 49 of 400"
    )
    assert events_of(directory, "film")[0]["cut"] == made["cut"]


def test_a_film_that_takes_too_long_is_cut_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, directory = evaluated(tmp_path, f"{WORLDS}:Endless-v0", 2, max_episode_steps=300)
    clock = iter(range(10**6))
    monkeypatch.setattr(evaluation.time, "monotonic", lambda: next(clock))
    made = film(directory, spec, "eval_test", FilmLimits(), deadline=Deadline(30))
    assert made["n_frames"] == 31
    assert made["n_episodes"] == 1
    assert "1 of 2 episodes" in made["cut"]
    assert "ended after 30 s" in made["cut"]


def test_a_renderer_that_raises_leaves_the_figures_and_no_half_film(tmp_path: Path) -> None:
    spec, directory = evaluated(tmp_path, f"{WORLDS}:BrokenRenderer-v0")
    with pytest.raises(RuntimeError, match="no display"):
        film(directory, spec, "eval_test", FilmLimits())
    assert [path.name for path in directory.evaluations.iterdir()] == ["eval_test.json"]
    assert read_json(directory.evaluations / "eval_test.json")["return_mean"] == 10.0


def test_a_run_without_an_episode_tells_no_mean_return(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "apps.engine.training.callback")
    with suppress(NoEpisode):
        train_tiny(tmp_path / "run", "ppo", environment=f"{WORLDS}:Endless-v0")
    assert "step 256 of 256, no episode yet, completed" in caplog.text
    assert "inf" not in caplog.text


def test_what_cannot_be_drawn_is_refused_in_words(tmp_path: Path) -> None:
    spec, directory = evaluated(tmp_path, "TupleObservations-v0")
    with pytest.raises(EngineError, match="could not be made"):
        film(directory, spec, "eval_test", FilmLimits())


def test_a_film_that_is_asked_to_end_leaves_nothing(tmp_path: Path) -> None:
    spec, directory = evaluated(tmp_path, "CartPole-v1")
    control = Control()
    control.request_stop()
    with pytest.raises(Interrupted):
        film(directory, spec, "eval_test", FilmLimits(), deadline=Deadline(9, control))
    assert [path.name for path in directory.evaluations.iterdir()] == ["eval_test.json"]


@pytest.mark.parametrize(
    ("world", "mean", "caption"),
    [("TinyReward", 1e-7, "1e-7"), ("HugeReward", 1.7e308, "1.7e308")],
)
def test_tiny_and_huge_returns_are_kept_and_said_shortly(
    tmp_path: Path, world: str, mean: float, caption: str
) -> None:
    like = f"{WORLDS}:TinyReward-v0"
    spec, directory = evaluated(tmp_path, f"{WORLDS}:{world}-v0", trained_in=like)
    assert events_of(directory, "evaluation")[0]["return_mean"] == pytest.approx(mean, rel=1e-9)
    assert film(directory, spec, "eval_test", FilmLimits())["n_frames"] > 0
    assert words.number(mean) == caption


lengths = st.lists(st.integers(1, 2000), min_size=1, max_size=12)


@given(lengths, st.integers(1, 9), st.integers(1, 90), st.sampled_from([1.0, 4.0, 30.0, 60.0]))
def test_scenes_share_the_frames_and_show_all_there_is_room_for(
    lengths: list[int], n_episodes: int, duration_s: int, fps: float
) -> None:
    episodes: list[dict[str, Any]] = [{"seed": n, "length": n} for n in lengths]
    scenes = scenes_of(episodes, FilmLimits(n_episodes, duration_s), fps)
    room = max(int(duration_s * fps), len(scenes))
    assert [scene.length for scene in scenes] == lengths[:n_episodes]
    assert sum(scene.shown + 1 for scene in scenes) <= room
    if sum(length + 1 for length in lengths[:n_episodes]) * len(scenes) <= room:
        assert not any(scene.is_cut for scene in scenes)
    shows_all = len(scenes) == len(lengths) and not any(scene.is_cut for scene in scenes)
    assert (what_was_cut(scenes) == "") == shows_all
    for scene in scenes:
        assert ("cut at" in scene.caption("X-v0", 1, 1.0)) == scene.is_cut


@pytest.mark.parametrize(
    ("metadata", "fps"),
    [
        ({}, 30.0),
        ({"render_fps": 4}, 4.0),
        ({"render_fps": 500}, 60.0),
        ({"render_fps": 0}, 30.0),
        ({"render_fps": "fast"}, 30.0),
        ({"render_fps": 0.2}, 1.0),
    ],
)
def test_a_film_is_shown_at_the_rate_of_its_environment(
    metadata: dict[str, Any], fps: float
) -> None:
    assert frame_rate(metadata) == fps


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
