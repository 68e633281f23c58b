"""The files that pages load: ours name no foreign origin, the vendored one has its licence."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders

from apps.dashboard import vendoring
from apps.dashboard.modules import import_map
from tests.dashboard.reading import SCRIPTS, STATIC, TEMPLATES

OURS = [*SCRIPTS, *STATIC.glob("*.css"), *TEMPLATES.rglob("*.html")]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_files_name_no_foreign_origin(path: Path) -> None:
    assert not re.search(r"https?://|[\"'(]//\w", path.read_text())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_evaluate_no_text(path: Path) -> None:
    assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML", path.read_text())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_what_the_import_map_names(path: Path) -> None:
    """Never an address: under which name a file is served is no script's business."""
    imported = re.findall(r"^import (?:.* from )?\"([^\"]+)\";$", path.read_text(), re.MULTILINE)
    assert set(imported) <= import_map()["imports"].keys()
    assert len(imported) == len(re.findall(r"\bimport\b[ (*{\"]", path.read_text()))


def test_the_import_map_names_files_that_are_there() -> None:
    for address in import_map()["imports"].values():
        assert finders.find(address.removeprefix(settings.STATIC_URL))


def test_vendored_files_are_whole_and_licensed() -> None:
    assert {path.name for path in vendoring.TARGET.iterdir()} == {*vendoring.FILES.values()}
    script = (vendoring.TARGET / "uPlot.iife.min.js").read_text()
    assert script.startswith("/*! https://github.com/leeoniya/uPlot (v1.6.32) */")
    assert "MIT License" in (vendoring.TARGET / "uPlot.LICENSE").read_text()


def test_integrity_is_written_as_npm_writes_it() -> None:
    assert vendoring.integrity_of(b"").startswith("sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpId")
    assert vendoring.INTEGRITY.startswith("sha512-")
