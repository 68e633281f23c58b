"""The mirror for TensorBoard: what it reads back is what the log says, and it never ends a run."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from apps.catalogue import extras
from apps.engine.training import mirror
from apps.engine.training.training import Attempt, train
from apps.rundir import events
from apps.rundir.directory import RunDirectory
from apps.rundir.log import read_lines
from apps.spec.run import RunSpec
from tests.builders import TINY_PPO, make_directory

SPEC = RunSpec.from_dict({**TINY_PPO, "tensorboard": True, "save_freq": 64})

Points = dict[str, list[tuple[int, float]]]


def told_by_the_log(directory: RunDirectory) -> Points:
    """Return the points of each metric that no later attempt superseded, in order."""
    points: Points = {}
    for event in map(events.decode, read_lines(directory.log, max_bytes=1 << 24)[0]):
        if event["type"] == "attempt":
            for key, old in points.items():
                points[key] = [point for point in old if point[0] <= event["from_step"]]
        elif event["type"] == "metrics":
            for key in event["values"]:
                value = events.value_of(event, key)
                assert value is not None
                points.setdefault(key, []).append((event["step"], value))
    return points


def read_by_tensorboard(folder: Path) -> Points:
    """Return the points of each metric as TensorBoard has them."""
    reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(folder))
    found.Reload()
    keys = found.Tags()["scalars"]
    return {key: [(one.step, one.value) for one in found.Scalars(key)] for key in keys}


def assert_same(found: Points, told: Points) -> None:
    assert found.keys() == told.keys()
    for key, points in told.items():
        assert [step for step, _ in found[key]] == [step for step, _ in points], key
        values = [value for _, value in points]
        expected = pytest.approx(values, rel=1e-6, nan_ok=True)
        assert [value for _, value in found[key]] == expected, key


def test_tensorboard_reads_what_the_log_says_each_point_once_after_a_kill(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "run", SPEC)
    train(SPEC, directory)
    first = told_by_the_log(directory)
    assert {"rollout/ep_rew_mean", "train/approx_kl", "time/fps"} <= first.keys()
    assert_same(read_by_tensorboard(directory.tensorboard), first)
    # As after a kill: points beyond the latest checkpoint, and a record that was cut off.
    steps = sorted(int(path.name) for path in directory.checkpoints.iterdir() if path.is_dir())
    for step in steps[1:]:
        shutil.rmtree(directory.checkpoints / str(step))
    (file,) = directory.tensorboard.iterdir()
    with file.open("r+b") as written:
        written.truncate(file.stat().st_size - 3)
    train(SPEC, directory, attempt=Attempt(2))
    assert len(list(directory.tensorboard.iterdir())) == 2
    assert_same(read_by_tensorboard(directory.tensorboard), told_by_the_log(directory))


@pytest.mark.parametrize("trouble", ["the library is gone", "the folder cannot be made"])
def test_a_mirror_that_cannot_be_written_ends_no_training(
    tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    directory = make_directory(tmp_path / "run", SPEC)
    if trouble == "the library is gone":
        for name in ("tensorboard", "apps.engine.training.tensorboard"):
            monkeypatch.setitem(sys.modules, name, None)
        assert "-m pip install 'tensorboard" in extras.missing()
    else:
        directory.tensorboard.write_text("in the way")
    assert train(SPEC, directory).status == "completed"
    assert caplog.text.count("no more points for TensorBoard, training goes on") == 1
    assert told_by_the_log(directory)


def test_values_that_are_not_finite_are_mirrored_too(tmp_path: Path) -> None:
    values = {"a": float("nan"), "b": float("-inf"), "c": 1.5}
    with mirror.Mirror(tmp_path / "tensorboard") as one:
        one.take([events.metrics(1, values)])
    found = read_by_tensorboard(tmp_path / "tensorboard")
    assert_same(found, {key: [(1, value)] for key, value in values.items()})
