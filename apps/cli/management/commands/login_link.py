"""`login_link`: print an address that logs the admin in, once."""

from typing import Any

from django.core.management.base import CommandParser

from apps.accounts.models import LoginLink, first_admin, user_named
from apps.cli.command import Command as OurCommand


class Command(OurCommand):
    help = "Print an address that logs a user in; it works once, for 12 hours."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--user", metavar="NAME", help="whom to log in (default: the first admin)"
        )
        parser.add_argument(
            "--address", default="http://127.0.0.1:8000", help="where the dashboard is served"
        )

    def run(self, options: dict[str, Any]) -> None:
        user = user_named(options["user"]) if options["user"] else first_admin()
        link = f"{options['address'].rstrip('/')}/login/{LoginLink.objects.issue(user)}/"
        if options["json"]:
            self.print_json({"user": user.get_username(), "link": link})
        else:
            self.stdout.write(link)
