"""`environments`: what there is to train in, and all that is known of one of them."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.cli.command import Command as OurCommand
from apps.cli.environment_shapes import print_environment, print_environments
from apps.cli.option_parser import one_of
from apps.jobs.verbs.environments import FAMILY_TITLES, Filter, profile_of, profiles
from apps.spec.assignments import parse_assignments

WAIT_S = 600.0  # A module of one's own may take its time; a terminal can wait for it.


class Command(OurCommand):
    help = "List the environments, your own included, or show one of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", nargs="?", metavar="ID", help="show this one")
        parser.add_argument("--search", default="", metavar="WORDS")
        families = f"one of {', '.join(FAMILY_TITLES)}"
        parser.add_argument("--family", type=one_of(FAMILY_TITLES), metavar="NAME", help=families)
        parser.add_argument(
            "--algo", type=one_of(ALGORITHMS), metavar="NAME", help="it can act there"
        )
        parser.add_argument("--ready", action="store_true", help="only what can be used now")
        shown = "with ID: show it as it is with these arguments"
        parser.add_argument(
            "--env-kwargs", nargs="+", default=[], metavar="NAME:VALUE", help=shown
        )

    def run(self, options: dict[str, Any]) -> None:
        kwargs = parse_assignments(options["env_kwargs"], "--env-kwargs")
        if kwargs and not options["id"]:
            raise CommandError("--env-kwargs goes with the id of an environment")
        if options["id"]:
            profile = profile_of(options["id"], WAIT_S, kwargs)
            if options["json"]:
                self.print_json(profile.in_full())
            else:
                print_environment(profile)
            return
        wanted = Filter(
            options["search"], options["family"] or "", options["algo"] or "", options["ready"]
        )
        found = profiles(wanted, WAIT_S)
        if options["json"]:
            self.print_json([profile.in_short() for profile in found])
        else:
            print_environments(found)
