"""Write docs/spec.md, every field of a run's spec: `python -m apps.spec`.

A test fails when the page is stale.
"""

import json

from apps.catalogue.pages import DOCS, table
from apps.spec.fields import FIELDS
from apps.spec.schema import Field


def page() -> str:
    """Return docs/spec.md."""
    lines = [
        "# The spec of a run",
        "",
        "*Written by `python -m apps.spec`; change the rows of `apps/spec/fields.py`, not this",
        "page.*",
        "",
        "What is asked of a run: the body of `POST /runs`, an entry of a batch file, the options",
        "of `train` and `preflight`, the form of a new run, and `spec.json` in the run's",
        "directory. What is left out has the default, or the preset's value. An unknown field is",
        "refused, and so is a value out of bounds; all that is wrong is told at once.",
        "",
        "*On a branch* says who may change it where a run goes on from a checkpoint of another;",
        "all else stays. `continue` changes `total_timesteps`, and how long schedules run.",
        "",
        *table(
            ["field", "option", "allowed", "default", "on a branch", "meaning"],
            (_row(row) for row in FIELDS.values() if row.is_asked),
        ),
        "",
        "Options that take more than one value, and what goes with a spec beside its fields, are",
        "in [commands](commands.md#train); hyperparameters in [algorithms](algorithms.md).",
    ]
    return "\n".join(lines) + "\n"


def _row(row: Field) -> list[str]:
    option = f"`{row.flags[0]}`" if row.flags else ""
    meaning = row.description + (f" [More]({row.see})" if row.see else "")
    return [f"`{row.name}`", option, row.allowed(), _default(row), _on_branch(row), meaning]


def _on_branch(row: Field) -> str:
    if not row.is_stored:
        return ""
    has_page = bool(row.place) or row.name == "hyperparameters"
    asked = "page, command, REST" if has_page else "command, REST"
    return {"kept": "stays", "asked": asked, "open": "REST"}[row.on_branch]


def _default(row: Field) -> str:
    if row.default is None and not row.is_optional:
        return f"that of `{STANDS_FOR[row.name]}`"
    return f"`{json.dumps(row.default)}`"


# What says what a field is where it has no default of its own.
STANDS_FOR = {"total_timesteps": "length"}


if __name__ == "__main__":
    (DOCS / "spec.md").write_text(page(), encoding="utf-8")
