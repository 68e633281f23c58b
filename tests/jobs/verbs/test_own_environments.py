"""Environments of one's own: found without being imported here, described elsewhere, kept."""

import os
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.errors import UnknownEnvironment
from apps.jobs.verbs import checking
from apps.jobs.verbs.environments import cards_for, profile_of
from apps.jobs.verbs.own_environments import Source, own_environment, own_environments, sources
from rlgym import settings as settings_module

pytestmark = pytest.mark.usefixtures("home")

GOOD = """
print("noise on standard output")
import gymnasium
from tests.worlds.misbehaving import Behaving
class Walk(Behaving):
    \"\"\"Walk to the left. And back.\"\"\"
class Breaks(Behaving):
    def __init__(self):
        raise RuntimeError("no simulator")
def register():
    gymnasium.register("Walk-v0", Walk, max_episode_steps=50)
    gymnasium.register("Breaks-v0", Breaks)
"""


@pytest.fixture
def folder(settings: Settings) -> Path:
    folder: Path = settings.ENVIRONMENTS_FOLDER
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_modules_of_the_folder_are_listed_and_broken_ones_say_why(
    folder: Path, settings: Settings
) -> None:
    settings.CHECK_LIMIT_S = 1
    (folder / "own_walk.py").write_text(GOOD + "register()\n")
    (folder / "own_typo.py").write_text("import gymnasium\ngymnasium.registr()\n")
    (folder / "own_exit.py").write_text("import os\nos._exit(3)\n")
    (folder / "own_hang.py").write_text("while True: pass\n")
    (folder / "_private.py").write_text("1/0")
    assert {each.state for each in own_environments()} == {"reading"}
    found = {each.id: each for each in own_environments(wait_s=60)}
    problems = {name: each.problem for name, each in found.items() if each.problem}
    assert {*found} - {*problems} == {"own_walk:Walk-v0"}
    assert problems["own_walk:Breaks-v0"].endswith("RuntimeError: no simulator")
    assert "could not be imported: AttributeError" in problems["own_typo"]
    assert "ended with code 3" in problems["own_exit"]
    assert "within 1 s: it hung in <module>" in problems["own_hang"]
    assert not {path.stem for path in folder.glob("*.py")} & {*sys.modules}

    walk = profile_of("own_walk:Walk-v0")
    assert walk.card.meaning == "Walk to the left."
    assert walk.card.max_episode_steps == 50
    assert "dqn" in walk.algorithms
    assert walk.storage is not None
    assert [card.id for card in cards_for(ALGORITHMS["dqn"])][:2] == [
        "own_walk:Walk-v0",
        "CartPole-v1",
    ]
    assert not [card for card in cards_for(ALGORITHMS["sac"]) if card.id.startswith("own")]
    with pytest.raises(UnknownEnvironment, match="in no list here"):
        profile_of("own_walk:Run-v0")

    (folder / "own_walk.py").write_text("")
    assert [each.state for each in own_environments() if each.id == "own_walk"] == ["reading"]


def test_an_installed_package_names_its_environments_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    information = tmp_path / "walks-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: walks\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text(
        "[rlgym.environments]\nwalks = packaged_walks:register\n"
    )
    (tmp_path / "packaged_walks.py").write_text(GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    assert sources() == [Source("walks 1.2", "packaged_walks")]
    (walk,) = [each for each in own_environments(wait_s=60) if each.state == "ready"]
    assert (walk.id, walk.origin) == ("packaged_walks:Walk-v0", "walks 1.2")
    spec = checking.check_spec({"environment": walk.id, "algorithm": "dqn"})
    assert spec.environment == walk.id


def test_the_setting_names_modules_and_single_ids(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLGYM_ENVIRONMENTS", "one:A-v0, one:B-v0, two.three, two.three:C-v0")
    settings.ENVIRONMENTS = settings_module._environments("RLGYM_ENVIRONMENTS")
    assert sources() == [
        Source("RLGYM_ENVIRONMENTS", "one", ("one:A-v0", "one:B-v0")),
        Source("RLGYM_ENVIRONMENTS", "two.three"),
    ]
    monkeypatch.setenv("RLGYM_ENVIRONMENTS", "os; rm -rf")
    with pytest.raises(ImproperlyConfigured, match="must be a module"):
        settings_module._environments("RLGYM_ENVIRONMENTS")


COUNTING = """
import os
from pathlib import Path
import gymnasium
from tests.worlds.misbehaving import Behaving
class Counts(Behaving):
    def __init__(self, number):
        with (Path(__file__).parent / "made.txt").open("a") as file:
            file.write(f"{number} ")
for number in range(5):
    gymnasium.register(f"Counts{number}-v0", Counts, kwargs={"number": number})
"""


def test_one_environment_is_described_without_its_neighbours(folder: Path) -> None:
    (folder / "own_counts.py").write_text(COUNTING)
    profile = profile_of("own_counts:Counts3-v0", 60)
    assert (profile.is_ready, profile.description is not None) == (True, True)
    assert (folder / "made.txt").read_text() == "3 "
    assert profile_of("own_counts:Counts3-v0", 60).is_ready  # It is not made again.
    assert (folder / "made.txt").read_text() == "3 "
    assert own_environment("own_counts:Nothing-v0", 60) is None
    with pytest.raises(UnknownEnvironment):
        profile_of("own_counts:Nothing-v0", 60)


SLOW = """
import time
from pathlib import Path
told = Path(__file__).parent / "told.txt"
with told.open("a") as file:
    file.write("in ")
time.sleep(0.3)
with told.open("a") as file:
    file.write("out ")
"""


def test_whoever_asks_for_many_names_that_there_are_not_has_them_read_one_by_one(
    folder: Path,
) -> None:
    (folder / "own_slow.py").write_text(SLOW)
    names = [f"own_slow:Nothing{number}-v0" for number in range(3)]
    states = [own_environment(name) for name in names]
    assert {one.state for one in states if one} == {"reading"}
    assert [own_environment(name, 60) for name in names] == [None] * 3
    assert (folder / "told.txt").read_text() == "in out " * 3
