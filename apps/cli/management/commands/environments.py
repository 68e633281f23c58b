"""`environments`: what there is to train in, and all that is known of one of them."""

from typing import Any

from django.core.management.base import CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.environment_shapes import (
    environment_as_dict,
    environment_in_full,
    print_environment,
    print_environments,
)
from apps.engine.algorithms import ALGORITHMS
from apps.jobs.environments import FAMILY_TITLES, Filter, profile_of, profiles

WAIT_S = 600.0  # A module of one's own may take its time; a terminal can wait for it.


class Command(OurCommand):
    help = "List the environments, your own included, or show one of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", nargs="?", metavar="ID", help="show this one")
        parser.add_argument("--search", default="", metavar="WORDS")
        parser.add_argument("--family", default="", choices=[*FAMILY_TITLES])
        parser.add_argument(
            "--algo", default="", choices=[*ALGORITHMS], metavar="NAME", help="it can act there"
        )
        parser.add_argument("--ready", action="store_true", help="only what can be used now")

    def run(self, options: dict[str, Any]) -> None:
        if options["id"]:
            profile = profile_of(options["id"], WAIT_S)
            if options["json"]:
                self.print_json(environment_in_full(profile))
            else:
                print_environment(profile)
            return
        wanted = Filter(options["search"], options["family"], options["algo"], options["ready"])
        found = profiles(wanted, WAIT_S)
        if options["json"]:
            self.print_json([environment_as_dict(profile) for profile in found])
        else:
            print_environments(found)
