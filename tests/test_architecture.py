"""The walls of the house, held by tests: who imports whom, and names that say nothing."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent
EMPTY_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "core",
    "base",
    "misc",
    "services",
    "service",
    "managers",
    "manager",
    "handlers",
    "handler",
}
OUR_FOLDERS = ("apps", "rlgym", "tests", "benchmarks")
CATCH_ALL_IS_ALLOWED_IN = {"apps/jobs/tasks.py"}
HEAVY = {"torch", "stable_baselines3", "moviepy", "jax", "flax", "sbx"}
# What the processes that must stay light begin with.
LIGHT = {
    "web": ["rlgym.asgi", "rlgym.urls"],
    "worker": ["apps.jobs.tasks", "apps.jobs.verbs.life", "apps.metrics.store"],
    "describer": ["apps.engine.describer", "apps.spec.run", "apps.rundir.directory"],
}
MAX_FILES = 20
# Folders that hold more, and why.
LARGE_FOLDERS = {
    "apps/cli/management/commands": "Django finds a command there, by the name of its file",
    "benchmarks": "a program a file, by whose name `make bench` starts it",
    "docs/decisions": "one file a decision, and none is taken away",
}
# An address that names an XML vocabulary; no browser asks for it.
VOCABULARIES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
FOREIGN = re.compile(r"""https?:\\?/\\?/[^\s"'<>)]+|(?<=["'(=])\s*//[\w.-]+\.\w+[^\s"'<>)]*""")


def python_files() -> list[Path]:
    """Every Python file of ours."""
    return [
        file
        for folder in OUR_FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in file.parts
    ]


def name_of(file: Path) -> str:
    """A file's path as people write it."""
    return file.relative_to(ROOT).as_posix()


def nodes_of(file: Path) -> Iterator[ast.AST]:
    """Every node of a file's syntax tree."""
    return ast.walk(ast.parse(file.read_text(), name_of(file)))


def test_imports_keep_every_contract() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [linter, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports inside functions, and those for types alone, count as well."""
    graph = grimp.build_graph("apps", cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert [*TopologicalSorter(imports).static_order()]  # It raises at a circle, which it names.


def contracts() -> dict[str, dict[str, Any]]:
    """The contracts by their names."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {one["name"]: one for one in pyproject["tool"]["importlinter"]["contracts"]}


def rooms_of(contract: dict[str, Any]) -> set[str]:
    """Every room that a contract of layers names."""
    return {name.strip() for layer in contract["layers"] for name in layer.split("|")}


def test_every_room_has_its_floor() -> None:
    files = {f"apps.{file.stem}" for file in ROOT.glob("apps/*.py")} - {"apps.__init__"}
    rooms = {f"apps.{folder.parent.name}" for folder in ROOT.glob("apps/*/__init__.py")}
    assert rooms_of(contracts()["Imports go down only"]) == rooms | files | {"rlgym"}


def test_every_folder_of_the_engine_has_its_floor() -> None:
    engine = ROOT / "apps/engine"
    folders = {folder.parent.name for folder in engine.glob("*/__init__.py")}
    inside = folders | {file.stem for file in engine.glob("*.py")}
    assert rooms_of(contracts()["Inside the engine there is no circle"]) == inside - {"__init__"}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        # What lies beneath cannot: the floors forbid it.
        (
            "Nobody imports the engine: it is started",
            {"engine", "analysis", "client", "machine", "text", "words", "errors"},
        ),
        (
            "Learning libraries are the engine's alone",
            {"engine", "client", "text", "words", "errors"},
        ),
    ],
)
def test_a_contract_names_every_room_that_it_is_about(name: str, allowed: set[str]) -> None:
    rooms = rooms_of(contracts()["Imports go down only"]) - {f"apps.{room}" for room in allowed}
    assert set(contracts()[name]["source_modules"]) == rooms


def imported_by(file: Path) -> set[str]:
    """Names of the modules that a file imports."""
    names: set[str] = set()
    for node in nodes_of(file):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("process", LIGHT)
def test_a_light_process_loads_no_learning_library(process: str, tmp_path: Path) -> None:
    code = (
        "import importlib, sys, django; "
        f"{process != 'describer'} and django.setup(); "
        f"[importlib.import_module(module) for module in {LIGHT[process]!r}]; "
        f"print(sorted({HEAVY!r} & set(sys.modules)), 'django.conf' in sys.modules)"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RLGYM_")},
        "RLGYM_HOME": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "rlgym.settings",
    }
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["[]", "True" if process != "describer" else "False"]


def test_no_file_and_no_folder_has_a_name_that_says_nothing() -> None:
    paths = {path for file in python_files() for path in (file, *file.parents)}
    assert [
        name_of(path)
        for path in sorted(paths)
        if path.is_relative_to(ROOT) and path.stem.lower().strip("_") in EMPTY_NAMES
    ] == []


def test_no_class_has_a_name_that_says_nothing() -> None:
    assert [
        f"{name_of(file)}: {node.name}"
        for file in python_files()
        for node in nodes_of(file)
        if isinstance(node, ast.ClassDef)
        and (node.name.lower() in EMPTY_NAMES or re.search(r"(Manager|Helper|Utils?)$", node.name))
    ] == []


def test_everything_is_caught_in_one_place_only() -> None:
    catching = {
        name_of(file)
        for file in python_files()
        for node in nodes_of(file)
        if isinstance(node, ast.ExceptHandler) and catches_everything(node)
    }
    assert catching - CATCH_ALL_IS_ALLOWED_IN == set()


def catches_everything(handler: ast.ExceptHandler) -> bool:
    """Whether a handler swallows any error: it is as wide as that, and does not raise it again."""
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    is_wide = any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
        for kind in types
    )
    last = handler.body[-1]
    is_raised_again = isinstance(last, ast.Raise) and (last.exc is None or last.cause is not None)
    return is_wide and not is_raised_again


@pytest.mark.parametrize(
    ("handler", "is_catch_all"),
    [
        ("except: pass", True),
        ("except Exception: pass", True),
        ("except (OSError, BaseException): pass", True),
        ("except Exception: log(); raise", False),
        ("except Exception as error: raise Refused from error", False),
        ("except Exception as error: raise Refused", True),
        ("except OSError: pass", False),
    ],
)
def test_a_catch_all_is_recognised(handler: str, is_catch_all: bool) -> None:
    (node,) = ast.parse(f"try: pass\n{handler}").body
    assert isinstance(node, ast.Try)
    assert catches_everything(node.handlers[0]) is is_catch_all


def test_no_test_imports_what_another_file_of_tests_holds() -> None:
    """What they share stands in a file of its own, fixtures in a conftest."""
    assert [
        f"{name_of(file)}: {name}"
        for file in python_files()
        for name in sorted(imported_by(file) | imported_from(file))
        if name.startswith("tests.") and re.search(r"\.(test_\w+|conftest)(\.|$)", name)
    ] == []


def files_by_folder() -> dict[str, int]:
    """How many files each folder of ours holds; what makes it a package is not counted."""
    folders = [ROOT / name for name in (*OUR_FOLDERS, "docs", "templates", "examples")]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    skipped = {"__pycache__", "vendor"}
    return Counter(
        name_of(file.parent)
        for file in files
        if file.name != "__init__.py" and not skipped & set(file.parts)
    )


def test_no_folder_holds_more_than_one_can_look_over() -> None:
    large = {name for name, n_files in files_by_folder().items() if n_files > MAX_FILES}
    assert large - set(LARGE_FOLDERS) == set()


def imported_from(file: Path) -> set[str]:
    """What a file imports out of modules, each as `module.name`; for its types alone as well."""
    return {
        f"{node.module}.{alias.name}"
        for node in nodes_of(file)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_no_import_is_relative() -> None:
    assert [
        f"{name_of(file)}:{node.lineno}"
        for file in python_files()
        for node in nodes_of(file)
        if isinstance(node, ast.ImportFrom) and node.level
    ] == []


def test_settings_alone_reads_our_variables() -> None:
    reading = re.compile(r"(environ|getenv)\W[^\n]*RLGYM_")
    assert [
        name_of(file)
        for file in python_files()
        if file.parts[len(ROOT.parts)] in {"apps", "rlgym"}
        and file != ROOT / "rlgym" / "settings.py"
        and file.parent != ROOT / "apps" / "client"  # It runs where there are no settings of ours.
        and reading.search(file.read_text())
    ] == []


def foreign_addresses(text: str) -> list[str]:
    """Addresses of other hosts in a template, script, style sheet or picture."""
    found = [match.strip() for match in FOREIGN.findall(text)]
    return [address for address in found if address.rstrip("\\") not in VOCABULARIES]


def test_no_page_names_a_foreign_origin() -> None:
    files = [*ROOT.glob("templates/**/*"), *ROOT.glob("apps/*/templates/**/*")]
    files += ROOT.glob("apps/*/static/**/*")
    texts = [f for f in files if f.suffix in {".html", ".js", ".css", ".svg", ".txt", ".json"}]
    assert texts
    found = {}
    for file in texts:
        text = file.read_text()
        if "vendor" in file.parts:  # The banner of a vendored file names its project.
            text = re.sub(r"\A\s*/\*.*?\*/", "", text, flags=re.DOTALL)
        if addresses := foreign_addresses(text):
            found[name_of(file)] = addresses
    assert found == {}


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ('<script src="https://cdn.example/x.js">', ["https://cdn.example/x.js"]),
        ('<link href="//cdn.example/x.css">', ["//cdn.example/x.css"]),
        ("background: url(//cdn.example/x.png)", ["//cdn.example/x.png"]),
        ("@import 'http://cdn.example/x.css'", ["http://cdn.example/x.css"]),
        ('<svg xmlns="http://www.w3.org/2000/svg">', []),
        ("// a comment about example.org", []),
        ('<a href="/runs/">', []),
        ("const half = a //b.c\n", []),
    ],
)
def test_a_foreign_address_is_recognised(text: str, addresses: list[str]) -> None:
    assert foreign_addresses(text) == addresses
