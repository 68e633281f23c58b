"""The rule of names: what passes is one visible line, and so is whatever is shown."""

import logging
import unicodedata

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.errors import InvalidSpec
from apps.text import names

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=40)
ODD = st.sampled_from(
    [*"\x00\x07\x1b\x7f\x9b\n\r\t\x85\u2028\u200b\u200f\u202e\u2066\ufeff\ud800ab "]
)
NASTY_TEXT = st.lists(ODD, max_size=8).map("".join)
BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def is_one_plain_line(text: str) -> bool:
    categories = {unicodedata.category(character) for character in text}
    directions = {unicodedata.bidirectional(character) for character in text}
    return (
        not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        and not directions & BIDIRECTIONAL
        and len(text.splitlines()) <= 1
    )


@given(text=ANY_TEXT | NASTY_TEXT, kind=st.sampled_from(["run", "experiment", "token", "file"]))
def test_whatever_passes_is_one_plain_line_and_passes_again_as_it_is(text: str, kind: str) -> None:
    if message := names.wrong_with(text, kind):
        assert is_one_plain_line(message), "a refusal shows what it refuses"
        return
    name = names.read("name", text, kind)
    assert is_one_plain_line(name)
    assert name == name.strip()
    assert len(name) <= names.LIMITS[kind]
    assert names.read("name", name, kind) == name


@given(text=ANY_TEXT | NASTY_TEXT)
def test_whatever_is_shown_is_one_plain_line_or_several(text: str) -> None:
    assert is_one_plain_line(names.one_line(text))
    assert all(is_one_plain_line(line) for line in names.lines(text).split("\n"))
    names.one_line(text).encode()


@given(text=st.text(max_size=40) | NASTY_TEXT.filter(lambda text: "\ud800" not in text))
def test_json_is_shown_in_one_plain_line_and_means_the_same(text: str) -> None:
    value = {text: [text]}
    line = names.one_line_json(orjson.dumps(value).decode())
    assert is_one_plain_line(line)
    assert orjson.loads(line) == value


@given(text=ANY_TEXT | NASTY_TEXT)
def test_a_name_made_of_anything_passes(text: str) -> None:
    name = names.derived(text, "experiment")
    assert names.read("experiment", name, "experiment") == name


@given(text=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=30))
def test_what_is_visible_is_shown_as_it_is(text: str) -> None:
    if not set(text) & names.BLANK_LETTERS:
        assert names.one_line(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\x1b[31mred", "character 2 is U+001B, a control character"),
        ("two\nlines", "character 4 is U+000A, a line break"),
        ("ends\n", "character 5 is U+000A, a line break"),
        ("a\u2028b", "U+2028, a line break"),
        ("nul\0", "U+0000, a control character"),
        ("c1\x9b2J", "U+009B, a control character"),
        ("gpj.\u202eexe", "U+202E, a direction mark"),
        ("zero\u200bwidth", "U+200B, an invisible character"),
        ("\u3164", "U+3164, an invisible character"),
        ("\ud83d", "U+D83D, half a character, a lone surrogate"),
        ("x" * 300, "it has 300 characters, at most 120 are"),
        ("latest", "stands for the run that was made last"),
        ("Latest ", "stands for the run that was made last"),
        ("k3v9mpt2xa", "looks like the id of a run"),
        (5, "5 is not text"),
        (None, "None is not text"),
    ],
)
def test_a_refusal_says_which_character_and_where(text: object, said: str) -> None:
    assert said in names.wrong_with(text, "run")


@pytest.mark.parametrize("text", ["", " ", "\u3000"])
def test_nothing_is_a_name_only_where_one_may_be_left_out(text: str) -> None:
    assert names.read("name", text, "run") == ""
    with pytest.raises(InvalidSpec, match="name: is empty; it must have 1 to 120 characters"):
        names.read("name", text, "run", is_required=True)


@pytest.mark.parametrize(
    "text", ["PPO, run 2", "größer", "実験", "❤️ 🚀", "ppo-CartPole-v1-s1", "k3v"]
)
def test_people_s_names_pass(text: str) -> None:
    assert names.read("name", f"  {text} ", "run") == text


def test_spaces_of_every_kind_become_plain_ones() -> None:
    assert names.read("name", "\u00a0a\u3000b\u2009c", "run") == "a b c"


def test_no_message_of_a_log_forges_another_line() -> None:
    formatter = names.LineFormatter("%(levelname)s %(message)s")
    record = logging.LogRecord(
        "rlgym", logging.INFO, "", 0, "run %s", ("x\nERROR all is lost\x1b[2J\u202e",), None
    )
    assert formatter.format(record) == r"INFO run x\nERROR all is lost\x1b[2J\u202e"


def test_a_traceback_in_a_log_keeps_its_lines_and_nothing_that_a_terminal_obeys() -> None:
    try:
        raise ValueError("\x1b[2Jgone")
    except ValueError as error:
        told = (type(error), error, error.__traceback__)
    record = logging.LogRecord("rlgym", logging.ERROR, "", 0, "failed", (), told)
    text = names.LineFormatter("%(message)s").format(record)
    assert len(text.splitlines()) > 2
    assert text.endswith(r"ValueError: \x1b[2Jgone")
