"""`preflight`: can a spec be trained here, and how long would it take?"""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.markup import escape

from apps.cli.command import Command as OurCommand
from apps.cli.shapes import number, print_facts
from apps.cli.spec_options import add_spec_options, asked_of
from apps.jobs.verbs.checking import Asker
from apps.jobs.verbs.preflight import preflight
from apps.protocol.preflight import Preflight
from apps.text.names import lines, one_line
from apps.words import in_words, size_in_words

STYLES = {"ok": "green", "advice": "cyan", "warning": "yellow", "refusal": "red"}


class Command(OurCommand):
    help = "Check a spec before training: environment, speed, memory. Takes the options of train."

    def add_arguments(self, parser: CommandParser) -> None:
        add_spec_options(parser)

    def run(self, options: dict[str, Any]) -> None:
        result = preflight(*asked_of(options, self.note), Asker.TERMINAL)
        if options["json"]:
            self.print_json(result.as_dict())
        else:
            print_preflight(result)
        if result.severity == "refusal":
            raise CommandError("it cannot be trained like this")


def print_preflight(result: Preflight) -> None:
    """Print findings, gravest first, and the figures."""
    console = Console(highlight=False)
    for finding in result.gravest_first():
        style = STYLES[finding.severity]
        todo = f" → {finding.action}" if finding.action else ""
        told = escape(one_line(finding.words + todo))
        console.print(f"[{style}]{finding.severity:<8}[/] {told}", soft_wrap=True)
    if result.traceback:
        console.print(lines(result.traceback), style="red", markup=False)
    facts: dict[str, object] = {}
    if result.probe:
        facts["environment"] = f"{number(result.probe.steps_per_s)} steps/s"
    if result.steps_per_s and result.eta_s is not None:
        facts["training"] = f"{number(result.steps_per_s)} steps/s"
        facts["time"] = in_words(result.eta_s)
    if result.memory:
        needed, free = result.memory.needed_bytes, result.memory.free_bytes
        facts["memory"] = f"{size_in_words(needed)} of {size_in_words(free)} free"
    if facts:
        print_facts(facts)
