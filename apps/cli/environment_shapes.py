"""What commands print of environments, as tables."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.profiles import EnvironmentProfile, SpaceRow
from apps.cli.shapes import is_for_people, number, print_facts, print_rows
from apps.jobs.verbs.environments import by_group
from apps.text.names import one_line


def print_environments(profiles: Iterable[EnvironmentProfile]) -> None:
    """Print environments group by group, with what to type for those that are missing."""
    if not is_for_people():
        names = ("id", "group", "is_ready", "install", "meaning")
        rows = ([p.card.id, p.group, p.is_ready, p.install, p.card.meaning] for p in profiles)
        print_rows(names, rows)
        return
    console = Console(highlight=False)
    for group, members in by_group(profiles).items():
        missing = "" if members[0].is_installed else f"   not installed: {members[0].install}"
        console.print(f"[bold]{group}[/]{escape(missing)}")
        table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
        for profile in members:
            said = profile.description
            spaces = (
                said and f"{said.observation_space.in_words()} → {said.action_space.in_words()}"
            )
            words = profile.problem or spaces or "being read"
            table.add_row(*map(_plain, (profile.card.id, words, profile.card.meaning)))
        console.print(table)


def print_environment(profile: EnvironmentProfile) -> None:
    """Print all that is known of an environment."""
    card, said, storage = profile.card, profile.description, profile.storage
    facts: dict[str, object] = {"id": card.id, "task": card.meaning or "-"}
    if profile.problem:
        facts["problem"] = profile.problem
    if not profile.is_installed:
        facts["not installed"] = profile.install
    facts |= {
        "group": profile.group,
        "reward": card.reward or "-",
        "solved at": number(card.solved_return),
        "step limit": number(card.max_episode_steps),
        "source": card.source or "-",
    }
    if said and storage:
        film = storage.film_bytes_per_minute
        buffers = (
            f"{ALGORITHMS[k].title} {v / 1e6:,.0f} MB" for k, v in storage.buffer_bytes.items()
        )
        facts |= {
            "render modes": ", ".join(said.render_modes) or "none, so no films",
            "algorithms": ", ".join(profile.algorithms),
            "tuned presets": ", ".join(profile.own_presets) or "-",
            "a transition": f"{storage.transition_bytes:,} bytes",
            "default buffers": ", ".join(buffers) or "-",
            "minute of film": f"about {film / 1e6:.1f} MB" if film else "not measured",
        }
    facts["lengths"] = ", ".join(f"{name} {steps:,}" for name, steps in profile.lengths.items())
    print_facts(facts)
    for title, rows in (("observation", profile.observation), ("actions", profile.action)):
        if rows:
            _print_rows(title, rows)


def _print_rows(title: str, rows: Iterable[SpaceRow]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title)
    for name in ("meaning", "unit"):
        table.add_column(name)
    for name in ("min", "max"):
        table.add_column(name, justify="right")
    for row in rows:
        bounds = (number(row.low), number(row.high))
        table.add_row(*map(_plain, (row.label, row.meaning or "-", row.unit)), *bounds)
    Console().print(table)


def _plain(text: str) -> str:
    """Return what an environment says of itself so that neither terminal nor markup obeys it."""
    return escape(one_line(text))
