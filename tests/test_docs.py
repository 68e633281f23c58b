"""The documents name what there is, and nothing that there is not."""

import re
from pathlib import Path

from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent
SETTING = re.compile(r"\bRLGYM_[A-Z][A-Z_]*[A-Z]\b")
# A command has a heading of its own, a line of a table or list, or a call in an example.
COMMAND = re.compile(
    r"^(?:#{2,4} .*?`|\| *`|[-*] +`)(?:python )?(?:manage\.py )?([a-z][a-z_]*)\b", re.MULTILINE
)
COMMAND_HEADING = re.compile(
    r"^#{2,4} `(?:python )?(?:manage\.py )?([a-z][a-z_]*)\b", re.MULTILINE
)
COMMAND_CALL = re.compile(r"manage\.py ([a-z][a-z_]*)\b")


def document(name: str) -> str:
    """Return the text of a document."""
    path = ROOT / "docs" / name
    assert path.exists(), f"docs/{name} is missing"
    return path.read_text()


def our_commands() -> set[str]:
    """Names of the management commands that we bring."""
    files = ROOT.glob("apps/*/management/commands/*.py")
    return {file.stem for file in files if not file.stem.startswith("_")}


def settings_read() -> set[str]:
    """Names of our variables that the settings read."""
    return set(SETTING.findall((ROOT / "rlgym" / "settings.py").read_text()))


def test_every_setting_that_is_read_is_documented() -> None:
    assert settings_read() - set(SETTING.findall(document("settings.md"))) == set()


def test_every_documented_setting_is_read() -> None:
    assert set(SETTING.findall(document("settings.md"))) - settings_read() == set()


def test_every_command_is_documented() -> None:
    text = document("commands.md")
    documented = {*COMMAND.findall(text), *COMMAND_CALL.findall(text)}
    assert our_commands() - documented == set()


def test_every_documented_command_exists() -> None:
    text = document("commands.md")
    documented = {*COMMAND_HEADING.findall(text), *COMMAND_CALL.findall(text)}
    assert documented - set(get_commands()) == set()


def test_there_are_settings_and_commands_to_document() -> None:
    assert {"RLGYM_HOME", "RLGYM_SECRET_KEY"} <= settings_read()
    assert {"train", "runs", "up", "worker"} <= our_commands()
    assert our_commands() <= set(get_commands())


def test_a_command_is_found_however_a_document_writes_it() -> None:
    text = (
        "## `train`\n### Stop: `stop RUN`\n| `runs` | lists |\n- `python manage.py up --host H`\n"
        "* `worker`\n    python manage.py doctor --json\nprose about `nothing`\n"
    )
    assert {*COMMAND.findall(text), *COMMAND_CALL.findall(text)} == {
        "train",
        "stop",
        "runs",
        "up",
        "worker",
        "doctor",
    }
