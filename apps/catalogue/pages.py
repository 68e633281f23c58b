"""The pages docs/algorithms.md, presets.md and metrics.md, written from the catalogues.

A test fails when a page is stale; `python -m apps.catalogue` rewrites them all.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.backends import BACKENDS, foreign_values
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.sbx import SBX_ALGORITHMS
from apps.catalogue.algorithms.schema import Hyperparameter
from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.metrics.aliases import ALIASES, Alias
from apps.catalogue.metrics.keys import EPISODE_FIELDS, EVALUATION_FIELDS, METRICS, Metric
from apps.catalogue.normalizing import what_is_normalized
from apps.catalogue.presets.presets import (
    ENVIRONMENT_PRESETS,
    GENERAL_PRESETS,
    PRESET_TITLES,
    SEARCHES,
    Preset,
)
from apps.catalogue.presets.searched import Estimate, Finalist, Search
from apps.catalogue.stepping import DEFAULT_VECTORIZATION

DOCS = Path(__file__).resolve().parents[2] / "docs"
_WRITTEN = "*Written by `python -m apps.catalogue`; change the catalogue, not this page.*"


def write_pages() -> None:
    """Rewrite the pages."""
    (DOCS / "algorithms.md").write_text(algorithms_page(), encoding="utf-8")
    (DOCS / "presets.md").write_text(presets_page(), encoding="utf-8")
    (DOCS / "metrics.md").write_text(metrics_page(), encoding="utf-8")


def algorithms_page() -> str:
    """Return docs/algorithms.md: one table an algorithm."""
    lines = [
        "# Algorithms",
        "",
        _WRITTEN,
        "",
        "A default is that of the library's own constructor, or of its policy. **Bold**: among",
        "the few that matter most. *log*: best varied on a logarithmic scale. An unknown name is",
        "refused, and so is a value out of bounds.",
        "",
        *table(
            ["algorithm", "name", "library", "backends", "acts in", "learns from"],
            (
                [
                    a.title,
                    f"`{a.name}`",
                    a.library,
                    _backends(a),
                    _words(a.action_spaces),
                    _learns_from(a),
                ]
                for a in ALGORITHMS.values()
            ),
        ),
    ]
    for algorithm in ALGORITHMS.values():
        lines += ["", f"## {algorithm.title}", "", f"{algorithm.meaning} {_needs(algorithm)}"]
        lines += ["", "Charts: " + ", ".join(f"`{key}`" for key in algorithm.diagnostics) + "."]
        lines += [
            "",
            *table(
                ["hyperparameter", "default", "allowed", "meaning"],
                map(_row, algorithm.hyperparameters.values()),
            ),
        ]
        if ported := SBX_ALGORITHMS.get(algorithm.name):
            lines += ["", *_ported(algorithm, ported)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def presets_page() -> str:
    """Return docs/presets.md: every preset with its values and where they come from."""
    lines = [
        "# Presets",
        "",
        _WRITTEN,
        "",
        "An environment's own preset comes before its family's, and that before the general one.",
        "What a preset does not name has the default of [algorithms](algorithms.md).",
        "",
        "## General",
    ]
    for algorithm, presets in GENERAL_PRESETS.items():
        lines += ["", f"### {ALGORITHMS[algorithm].title}", ""]
        rows = ([PRESET_TITLES[name], *_cells(preset)] for name, preset in presets.items())
        lines += table(["preset", "environments", "values", "source"], rows)
    lines += ["", "## For one environment, or a family"]
    for algorithm in ALGORITHMS:
        own = {key: presets for key, presets in ENVIRONMENT_PRESETS.items() if key[0] == algorithm}
        rows = (
            [_environment(environment), PRESET_TITLES[name], *_cells(preset)]
            for (_, environment), presets in own.items()
            for name, preset in presets.items()
        )
        if own:
            lines += ["", f"### {ALGORITHMS[algorithm].title}", ""]
            lines += table(["environment", "preset", "environments", "values", "source"], rows)
    lines += ["", *_how_fast_was_found(), "", *_refused_by_sbx()]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def metrics_page() -> str:
    """Return docs/metrics.md: what each key of a log means, and what others call it."""
    lines = [
        "# Metrics",
        "",
        _WRITTEN,
        "",
        "Stable-Baselines3's keys are kept verbatim; `rlgym/…` are ours. Values of algorithms of",
        "sb3-contrib and sbx are as their Stable-Baselines3 kin's where nothing else is said.",
        "*Healthy* is what a training that goes well tends to show, not a limit.",
    ]
    groups = dict.fromkeys(key.partition("/")[0] for key in METRICS)
    for group in groups:
        own = (metric for key, metric in METRICS.items() if key.startswith(f"{group}/"))
        lines += ["", f"## `{group}/`", ""]
        head = ["key", "meaning", "estimate", "unit", "healthy", "source"]
        lines += table(head, map(_metric_cells, own))
    for title, fields in _FIELD_TABLES.items():
        lines += ["", f"## {title}", ""]
        lines += table(["field", "meaning"], ([f"`{key}`", fields[key]] for key in fields))
    lines += [
        "",
        "## Other libraries' names",
        "",
        "In a run that a script logs, charts explain these as the metric they stand for; lists",
        "read returns and lengths from them. Values stay as they were logged; times the *factor*",
        "they are the metric. The same word of another library than the one named here may mean",
        "something else.",
        "",
        *table(
            ["key", "library", "metric", "factor", "differs"], map(_alias_cells, ALIASES.values())
        ),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


_FIELD_TABLES = {
    "Lines of type `episode`": EPISODE_FIELDS,
    "Summary of an evaluation": EVALUATION_FIELDS,
}


def _metric_cells(metric: Metric) -> list[str]:
    told = [metric.meaning, metric.estimator, metric.unit, metric.healthy, metric.source]
    return [f"`{metric.key}`", *told]


def _alias_cells(alias: Alias) -> list[str]:
    named = [f"`{alias.key}`", alias.library, f"`{alias.target}`"]
    return [*named, "" if alias.factor == 1 else f"{alias.factor:g}", alias.note]


def _ported(original: Algorithm, ported: Algorithm) -> list[str]:
    """Say how an algorithm of backend sbx differs from the one of torch."""
    ours, theirs = original.hyperparameters, ported.hyperparameters
    lacking = [f"`{name}`" for name in ours if name not in theirs]
    changed = [schema for name, schema in theirs.items() if schema != ours.get(name)]
    return [
        f"With backend `{ported.backend}`: {_needs(ported)} "
        + (f"Lacks {', '.join(lacking)}. " if lacking else "")
        + "Otherwise:",
        "",
        *table(["hyperparameter", "default", "allowed", "meaning"], map(_row, changed)),
    ]


def _how_fast_was_found() -> list[str]:
    """Show what the search of Fast presets measured, and which Fast presets nobody searched."""
    lines = [
        "## How the Fast presets were found",
        "",
        "Those of the environments below are searched (`benchmarks/fast_presets.py`, data in",
        "`apps/catalogue/presets/fast.json`); **the other Fast presets are not yet**.",
        "A training is solved when the mean return of its last episodes reaches the solved",
        "return. Candidates drawn from a declared space met in rounds of successive halving; the",
        "finalists and the tuned setting (High score) then trained over fresh seeds, the",
        "finalists to the last step, the tuned setting until it was solved. Figures are",
        "interquartile means over those seeds with 95 % bootstrap intervals; a seed that was",
        "never solved counts as infinite. The preset is the finalist that is solved in the least",
        "CPU time among those that are solved with at least as many seeds as the tuned setting,",
        "and whose last policy still reaches the solved return, or what the tuned setting",
        "reached: faster and less reliable does not count.",
    ]
    for search in SEARCHES.values():
        lines += ["", *_searched(search)]
    return lines


def _searched(search: Search) -> list[str]:
    title = ALGORITHMS[search.algorithm].title
    space = "; ".join(
        f"`{name}` {', '.join(map(_shown, values))}" for name, values in search.space.items()
    )
    measured = search.measured
    packages = ", ".join(f"{name} {version}" for name, version in measured["packages"].items())
    rows = [
        ("tuned", search.tuned),
        *(("finalist", each) for each in search.finalists),
        *(("finalist of an earlier search", each) for each in search.earlier),
    ]
    return [
        f"### {title}, {search.environment}",
        "",
        f"Solved: {search.solved_return:g} over {search.window} episodes, within "
        f"{search.total_timesteps:,} steps. {search.tried} candidates from: {space}. "
        f"{measured['platform']}, {measured['cpu_count']} cores, one thread, "
        f"Python {measured['python']}, {packages}.",
        "",
        *table(
            [
                "",
                "environments",
                "values",
                "solved",
                "CPU seconds",
                "seconds",
                "steps",
                "evaluation",
            ],
            (
                _measured(f"**{name}, the preset**" if each is search.chosen else name, each)
                for name, each in rows
            ),
        ),
    ]


def _measured(name: str, finalist: Finalist) -> list[str]:
    setting = Preset(
        finalist.hyperparameters,
        finalist.n_envs,
        normalize=finalist.normalize,
        vectorization=finalist.vectorization,
    )
    return [
        name,
        *_cells(setting)[:2],
        f"{finalist.solved} of {finalist.seeds}",
        _estimate(finalist.cpu_s, ".2f"),
        _estimate(finalist.seconds, ".2f"),
        _estimate(finalist.steps, ",.0f"),
        _estimate(finalist.evaluation, ".1f"),
    ]


def _estimate(estimate: Estimate, style: str) -> str:
    bounds = (estimate.iqm, estimate.low, estimate.high)
    shown = ["never" if each is None else format(each, style) for each in bounds]
    return "{} ({} to {})".format(*shown)


def _refused_by_sbx() -> list[str]:
    """List the presets that set what backend sbx does not take."""
    general = [((name, ""), own) for name, own in GENERAL_PRESETS.items()]
    rows = (
        [
            ported.title,
            _environment(where) if where else "any other",
            PRESET_TITLES[name],
            ", ".join(f"`{value}`" for value in foreign),
        ]
        for (algorithm, where), presets in [*general, *ENVIRONMENT_PRESETS.items()]
        if (ported := SBX_ALGORITHMS.get(algorithm))
        for name, preset in presets.items()
        if (foreign := foreign_values(ported, preset.hyperparameters))
    )
    return [
        "## With backend `sbx`",
        "",
        "Every preset is for it as well, but these: it does not take the values named here, and",
        "without them the figures mean nothing. Give values of your own for them, or use torch.",
        "",
        *table(["algorithm", "environment", "preset", "values"], rows),
    ]


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Return a table's lines in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(_escape, line)) + " |" for line in lines]


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _row(schema: Hyperparameter) -> list[str]:
    name = f"**`{schema.name}`**" if schema.is_important else f"`{schema.name}`"
    allowed = schema.allowed() + (" *(log)*" if schema.is_log else "")
    return [name, f"`{_shown(schema.default)}`", allowed, schema.meaning]


def _cells(preset: Preset) -> list[str]:
    values = ", ".join(f"`{name}` {_shown(value)}" for name, value in _sorted(preset))
    values = values or "defaults"
    if preset.normalize is not None:
        values += f"; {what_is_normalized(preset.normalize)} normalised"
    environments = str(preset.n_envs)
    if preset.vectorization != DEFAULT_VECTORIZATION:
        environments += f", {preset.vectorization}"
    source = "; ".join([preset.source, *preset.notes])
    if preset.total_timesteps:
        source += f"; {preset.total_timesteps:,} steps"
    return [environments, values, source]


def _sorted(preset: Preset) -> list[tuple[str, Any]]:
    return sorted(preset.hyperparameters.items())


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _environment(name: str) -> str:
    return name if name in ENVIRONMENTS else f"any of {FAMILIES[name].title}"


def _words(kinds: Iterable[str]) -> str:
    return ", ".join(sorted(kinds))


def _backends(algorithm: Algorithm) -> str:
    return ", ".join(f"`{b.name}`" for b in BACKENDS.values() if algorithm.name in b.algorithms)


def _learns_from(algorithm: Algorithm) -> str:
    if algorithm.is_on_policy:
        return "its latest rollout"
    return "a replay buffer" if algorithm.has_replay_buffer else "whole episodes"


def _needs(algorithm: Algorithm) -> str:
    notes = [f"Observations: {_words(algorithm.observations)}."]
    if algorithm.needs_action_masks:
        notes.append("The environment has to have `action_masks()`.")
    if algorithm.is_recurrent:
        notes.append("Its policy remembers: it carries a state from step to step.")
    if algorithm.max_envs == 1:
        notes.append("One environment, not several in parallel.")
    if "her" in algorithm.hyperparameters:
        notes.append(
            "With `her` it learns in hindsight from goals that it reached, where observations are "
            "a dictionary of `achieved_goal`, `desired_goal` and `observation` and the "
            "environment has `compute_reward()`; an episode must end before `learning_starts`."
        )
    return " ".join(notes)
