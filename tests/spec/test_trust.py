"""What a login may name: the rule alone, which imports and opens nothing."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.catalogue.environments.families import FAMILIES
from apps.spec.run import RunSpec
from apps.spec.trust import WRAPPERS, Registered, leads_outside, refusals
from apps.words import shown


@pytest.fixture
def registered(tmp_path: Path) -> Registered:
    home = tmp_path / "home"
    workplace = tmp_path / "checkout"
    (home / "environments").mkdir(parents=True)
    workplace.mkdir()
    return Registered(home, workplace, frozenset({"maze", "lab.envs"}))


def refused(registered: Registered, inherited: Any = None, **fields: Any) -> list[str]:
    spec = RunSpec.from_dict({"environment": "CartPole-v1", **fields})
    return [error.field for error in refusals(spec, registered, inherited)]


@pytest.mark.parametrize(
    "environment",
    [
        "CartPole-v1",
        "ALE/Pong-v5",
        "maze:Maze-v0",
        "maze.rooms:Hall-v0",
        "lab.envs:Lab-v0",
        "lab.envs.deep:Lab-v0",
        "gymnasium:CartPole-v1",
    ],
)
def test_what_is_registered_may_be_named(registered: Registered, environment: str) -> None:
    assert refused(registered, environment=environment) == []


@pytest.mark.parametrize(
    "environment",
    [
        "antigravity:Foo-v0",
        "this:Foo-v0",
        "os:Foo-v0",
        "lab:Lab-v0",
        "mazes:Maze-v0",
        "lab.env:Lab-v0",
        "antigravity:CartPole-v1",
        "gymnasium.utils.play:CartPole-v1",
        "GymV21Environment-v0",
        "GymV26Environment-v0",
        "maze:GymV26Environment-v0",
        "GymV21Environment",
        "GymV26Environment",
        "maze:GymV26Environment",
    ],
)
def test_what_is_not_registered_may_not(registered: Registered, environment: str) -> None:
    assert refused(registered, environment=environment) == ["environment"]


@pytest.mark.parametrize(
    "wrapper",
    [
        "stable_baselines3.common.monitor:Monitor",
        "gymnasium.wrappers:RecordVideo",
        "gymnasium.wrappers:HumanRendering",
        "antigravity:Wrapper",
        "os:PathLike",
        {"path": "stable_baselines3.common.monitor:Monitor", "kwargs": {"filename": "x"}},
        {"path": "maze:Walls", "kwargs": {"map": {"north": ["../../etc/passwd"]}}},
    ],
)
def test_wrappers_that_are_not_registered_or_reach_outside_may_not(
    registered: Registered, wrapper: Any
) -> None:
    fine = "gymnasium.wrappers:ClipAction"
    assert refused(registered, wrappers=[fine, wrapper]) == ["wrappers.1"]


def test_the_families_wrappers_and_those_of_registered_modules_may_be_named(
    registered: Registered,
) -> None:
    own = [wrapper for family in FAMILIES.values() for wrapper in family.wrappers]
    assert {*own} <= WRAPPERS
    assert refused(registered, wrappers=[*own, {"path": "maze:Walls", "kwargs": {"n": 3}}]) == []


def test_paths_inside_the_data_directory_may_be_named(registered: Registered) -> None:
    inside = registered.folder / "environments" / "ant.xml"
    for path in (inside, registered.folder / "not" / "there.xml"):
        assert refused(registered, environment_kwargs={"xml_file": str(path)}) == []
    assert refused(registered, environment_kwargs={"xml_file": "ant.xml", "n": [1, None]}) == []


def test_a_path_outside_is_refused_in_the_same_words_whether_it_is_there_or_not(
    registered: Registered, tmp_path: Path
) -> None:
    (tmp_path / "there.xml").touch()
    spec = RunSpec.from_dict({"environment": "CartPole-v1"})
    messages = set()
    for name in ("there", "else?"):
        path = str(tmp_path / f"{name}.xml")
        (error,) = refusals(replace(spec, environment_kwargs={"xml_file": path}), registered)
        messages.add(error.message.replace(shown(path), "PATH"))
    assert len(messages) == 1


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "../there",
        "a/../../there",
        "..",
        "a\\..\\there",
        "~",
        "~root/x",
        "~/x",
        "file:///etc/passwd",
        "file:etc",
        "https://example.org/x",
        "FTP://x",
        "./not-there",
        "some/relative/path",
        "beside.txt",
        "link",
        "with\0nul",
        "{home}/../there",
        "{home}/link/passwd",
        "{home}/secret_key",
        "{home}/db.sqlite3-wal",
        "{home}/./secret_key",
    ],
)
def test_every_way_out_is_seen(registered: Registered, text: str) -> None:
    (registered.workplace / "beside.txt").touch()
    (registered.workplace / "link").symlink_to("/etc")
    (registered.folder / "link").symlink_to("/etc")
    path = text.format(home=registered.folder)
    assert leads_outside(path, registered)
    for kwargs in ({"a": path}, {"a": [{"b": path}]}, {"a": {path: 1}}):
        assert refused(registered, environment_kwargs=kwargs) == ["environment_kwargs"]


@pytest.mark.parametrize("text", ["", "rgb", "ant.xml", "5x5", "a: b", "...", "é", "no such file"])
def test_words_are_no_paths(registered: Registered, text: str) -> None:
    assert not leads_outside(text, registered)


PIECES = st.lists(st.sampled_from([*"ab./\\~: \0", "..", "/etc", "file:"]), max_size=12)


@given(pieces=PIECES)
def test_whatever_passes_opens_nothing_outside(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    text = "".join(pieces)
    home = tmp_path_factory.getbasetemp() / "trusted"
    home.mkdir(exist_ok=True)
    registered = Registered(home, home)
    if not leads_outside(text, registered):
        real = os.path.realpath(home / text)
        assert Path(real).is_relative_to(home.resolve())


def test_what_the_run_before_had_is_inherited_and_what_is_new_is_judged(
    registered: Registered,
) -> None:
    fields: dict[str, Any] = {
        "environment": "elsewhere:Foo-v0",
        "environment_kwargs": {"map": "/maps/one", "size": 3},
        "wrappers": ["elsewhere:Wrapper"],
    }
    assert refused(registered, fields, **fields) == []
    other = {**fields["environment_kwargs"], "map": "/maps/two"}
    assert refused(registered, fields, **{**fields, "environment_kwargs": other}) == [
        "environment_kwargs"
    ]
    assert refused(registered, fields, **{**fields, "environment": "elsewhere:Bar-v0"}) == [
        "environment",
        "environment_kwargs",
    ]
    assert refused(registered, fields, **{**fields, "wrappers": ["elsewhere:Other"]}) == [
        "wrappers.0"
    ]
