"""`login_link`: print an address that logs the admin in, once."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from apps.accounts.models import LoginLink, first_admin
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
        user = _user_named(options["user"]) if options["user"] else first_admin()
        link = f"{options['address'].rstrip('/')}/login/{LoginLink.objects.issue(user)}/"
        if options["json"]:
            self.print_json({"user": user.get_username(), "link": link})
        else:
            self.stdout.write(link)


def _user_named(name: str) -> User:
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise CommandError(f"there is no active user {name!r}")
    return user
