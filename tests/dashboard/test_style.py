"""Our style sheets: whole, about things that pages have, and readable in light and dark."""

import re
from collections.abc import Iterator
from pathlib import Path

import django
import pytest

from tests.dashboard.reading import SCRIPTS, STATIC, TEMPLATES

SHEETS = [*STATIC.glob("*.css")]
APPS = STATIC.parents[2]
ADMIN = Path(django.__file__).parent / "contrib" / "admin"
TAGS = {
    *("html", "body", "header", "main", "nav", "form", "fieldset", "div", "p", "pre", "code"),
    *("h1", "h2", "h3", "strong", "span", "a", "time", "ol", "ul", "li", "dl", "dt", "dd"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "figcaption", "img", "svg", "video"),
    *("label", "input", "select", "option", "textarea", "button", "output", "progress"),
    *("details", "summary"),
}
# Made by a library of somebody else's, htmx and uPlot.
FOREIGN_NAMES = re.compile(r"htmx-|u-|uplot")
# Forms put this before the names of their fields.
FIELD_ID = re.compile(r"(filter|evaluate|id)[-_]")
# What a focus ring may lie on, and how much it must stand out there (WCAG 1.4.11).
RING_GROUNDS = ("--body-bg", "--panel-bg", "--darkened-bg")
RING_CONTRAST = 3.0
TEXT_CONTRAST = 4.5
TEXT_PAIRS = [
    (text, ground)
    for text in (
        "--body-fg",
        "--body-quiet-color",
        "--body-medium-color",
        "--link-fg",
        "--status-running",
        "--status-completed",
        "--status-waiting",
        "--status-stopped",
        "--status-lost",
        "--danger",
        "--accent",
    )
    for ground in ("--body-bg", "--panel-bg", "--darkened-bg")
] + [("--button-fg", "--button-bg"), ("--button-fg", "--button-hover-bg")]


def source_of(path: Path) -> str:
    """Return a sheet without its comments and without what is in quotes."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    return re.sub(r'"[^"\n]*"', '""', text)


def rules(sheet: str) -> Iterator[tuple[str, str]]:
    """Yield each rule's selector and what is declared in it; rules within `@media` too."""
    for found in re.finditer(r"([^{}]*)\{([^{}]*)\}", sheet):
        prelude = found[1].strip()
        if not prelude.startswith("@") and prelude not in {"from", "to"}:
            yield prelude, found[2]


def variables(theme: str) -> dict[str, str]:
    """Return the colours that the sheet names, as they are in light (0) or dark (1)."""
    root = next(body for selector, body in rules(source_of(SHEETS[0])) if ":root" in selector)
    chosen = {}
    for name, light, dark in re.findall(r"(--[\w-]+): light-dark\(([^,]+), ([^)]+)\)", root):
        chosen[name] = {"light": light, "dark": dark}[theme]
    return chosen


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rgb` or `#rrggbb` as WCAG defines it."""
    digits = colour.removeprefix("#")
    pairs = [d * 2 for d in digits] if len(digits) == 3 else re.findall("..", digits)
    shares = [int(pair, 16) / 255 for pair in pairs]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.name)
def test_braces_are_balanced_and_every_declaration_is_whole(path: Path) -> None:
    sheet = source_of(path)
    depth = 0
    for sign in re.findall(r"[{}]", sheet):
        depth += 1 if sign == "{" else -1
        assert 0 <= depth <= 2, "a brace too many"
    assert depth == 0, "a brace is missing"
    for selector, body in rules(sheet):
        assert selector, "a rule without a selector"
        for declaration in filter(None, map(str.strip, body.split(";"))):
            assert re.match(r"[\w-]+\s*:\s*\S", declaration), f"{selector}: {declaration}"


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.name)
def test_selectors_name_elements_that_html_has(path: Path) -> None:
    for selector, _ in rules(source_of(path)):
        plain = re.sub(r"::?[\w-]+|\[[^\]]*\]|[.#][\w-]+", " ", selector)
        unknown = set(re.findall(r"[a-zA-Z][\w-]*", plain)) - TAGS
        assert not unknown, f"{selector} names {unknown}"


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.name)
def test_selectors_name_what_some_page_has(path: Path) -> None:
    """A selector that a slip of the keyboard made is about nothing."""
    places = [
        *TEMPLATES.rglob("*.html"),
        *SCRIPTS,
        *APPS.rglob("*.py"),
        *(ADMIN / "templates").rglob("*.html"),
        *(ADMIN / "static").rglob("*.css"),
    ]
    words = set(re.findall(r"[\w-]+", " ".join(place.read_text() for place in places)))
    made = {f"badge-{word}" for word in words} | {f"ink-{word}" for word in words}
    for selector, _ in rules(source_of(path)):
        names = re.findall(r"[.#]([a-zA-Z][\w-]*)", re.sub(r"\[[^\]]*\]", "", selector))
        ours = {FIELD_ID.sub("", name) for name in names if not FOREIGN_NAMES.match(name)}
        unknown = ours - words - made
        assert not unknown, f"{selector}: no page has {unknown}"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", RING_GROUNDS)
def test_the_focus_ring_stands_out(theme: str, ground: str) -> None:
    colours = variables(theme)
    assert contrast(colours["--focus"], colours[ground]) >= RING_CONTRAST


def test_one_rule_alone_says_what_a_focus_ring_looks_like_on_pages() -> None:
    """Another one for everything would win: the header's ring is pale, for its dark ground."""
    general = [
        body for selector, body in rules(source_of(SHEETS[0])) if selector == ":focus-visible"
    ]
    assert len(general) == 1
    assert "var(--focus)" in general[0]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_PAIRS)
def test_text_stands_out(theme: str, text: str, ground: str) -> None:
    colours = variables(theme)
    assert contrast(colours[text], colours[ground]) >= TEXT_CONTRAST
