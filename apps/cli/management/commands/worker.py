"""`worker`: train and evaluate what is queued, without a web server."""

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.option_parser import MAX_WORKERS, whole_between
from apps.jobs.worker import worker


class Command(OurCommand):
    help = "Work on the queue until Ctrl-C; runs are saved before the worker ends."
    has_json = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--workers",
            type=whole_between(1, MAX_WORKERS),
            metavar="N",
            help="runs trained at once (default: RLGYM_WORKERS)",
        )

    def run(self, options: dict[str, Any]) -> None:
        if options["workers"]:
            settings.WORKERS = options["workers"]
        logging.getLogger("huey").setLevel(logging.WARNING)
        worker.run()
