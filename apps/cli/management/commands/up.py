"""`up`: everything at once: migrate, first admin, web server and worker."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

from apps.accounts.models import LoginLink, first_admin
from apps.cli.command import Command as OurCommand
from apps.cli.option_parser import MAX_WORKERS, whole_between
from apps.cli.progress import progress_bar, wait_for_evaluations, wait_for_run
from apps.cli.shapes import number, run_with_evaluations
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs.verbs import life
from apps.jobs.verbs.naming import Naming
from apps.jobs.worker.stack import Stack
from apps.spec.run import RunSpec

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEMO = {
    "algorithm": "ppo",
    "environment": "CartPole-v1",
    "preset": "high_score",
    "length": "standard",
}


class Command(OurCommand):
    help = "Serve the dashboard with its worker until Ctrl-C."
    has_json = False
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.HOST, help="address to listen on")
        parser.add_argument("--port", type=whole_between(0, 65_535), default=8000)
        parser.add_argument(
            "--workers",
            type=whole_between(1, MAX_WORKERS),
            metavar="N",
            help="runs trained at once",
        )
        parser.add_argument(
            "--demo", action="store_true", help="first train, evaluate and film a CartPole agent"
        )
        parser.add_argument(
            "--no-serve",
            action="store_true",
            help="with --demo: stop after the film and print the run as JSON on the last line",
        )

    def run(self, options: dict[str, Any]) -> None:
        if options["no_serve"] and not options["demo"]:
            raise CommandError("--no-serve goes with --demo")
        if options["workers"]:
            settings.WORKERS = options["workers"]
        self.prepare(options["host"])
        stack = Stack(
            options["host"], options["port"], settings.WORKERS, with_web=not options["no_serve"]
        )
        with stack.alone():
            self._tend(stack, options)

    def _tend(self, stack: Stack, options: dict[str, Any]) -> None:
        asked_to_end = threading.Event()
        for number_ in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number_, lambda *_: asked_to_end.set())
        try:
            stack.start()
            run = self._demo(stack, asked_to_end) if options["demo"] else None
            if options["no_serve"] and run is not None:
                self.print_json(run_with_evaluations(run))
                return
            if not asked_to_end.is_set():
                self._print_address(stack.address, run)
            while not asked_to_end.wait(1.0):
                stack.tend()
        finally:
            self.stderr.write("Ending: runs are saved first …")
            stack.stop()

    def prepare(self, host: str) -> None:
        is_open = host not in LOOPBACK
        if is_open and settings.DEBUG:
            raise CommandError(f"refusing to listen on {host} with RLGYM_DEBUG=1; unset it first")
        if is_open and not get_user_model().objects.filter(is_active=True).exists():
            raise CommandError(
                f"refusing to listen on {host} while there is no user; make one first with "
                "`python manage.py createsuperuser`"
            )
        first_admin()

    def _demo(self, stack: Stack, asked_to_end: threading.Event) -> Run:
        spec = RunSpec.from_dict(DEMO)
        run = life.launch(spec, Naming(experiment="Demo", command="make demo"))
        self.stderr.write(
            f"Training {spec.algorithm.upper()} on {spec.environment} for "
            f"{spec.total_timesteps:,} steps, then playing and filming it."
        )
        with progress_bar(run, is_quiet=False) as watch:
            wait_for_run(run, watch, asked_to_end)
        if run.status != RunStatus.COMPLETED:
            raise CommandError(f"the demo run ended as {run.status}: {run.status_reason}")
        wait_for_evaluations(run, asked_to_end)
        run.refresh_from_db()
        self.stderr.write(
            f"Done: mean return {number(run.evaluation_last)} in its evaluation, "
            f"{number(run.elapsed_s)} s of training."
        )
        return run

    def _print_address(self, address: str, run: Run | None) -> None:
        link = f"{address}/login/{LoginLink.objects.issue(first_admin())}/"
        link += f"?next=/runs/{run.pk}/" if run else ""
        self.stdout.write(
            f"\nrlgym is up. This link logs you in (once, within 12 hours):\n\n  {link}\n\n"
            "`python manage.py login_link` prints another. Ctrl-C ends everything."
        )
        self.stdout.flush()
