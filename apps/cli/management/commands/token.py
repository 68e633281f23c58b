"""`token`: make, list and revoke the secrets with which programs act for a user."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.accounts.models import ApiToken, first_admin, user_named
from apps.cli.command import Command as OurCommand
from apps.cli.option_parser import one_of
from apps.cli.shapes import print_rows

ACTIONS = ("create", "list", "revoke")


class Command(OurCommand):
    help = "Make an API token, list those there are, or revoke one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action", type=one_of(ACTIONS), metavar="ACTION", help=f"one of {', '.join(ACTIONS)}"
        )
        parser.add_argument("token", nargs="?", metavar="NAME|ID", help="of create and revoke")
        parser.add_argument(
            "--user", metavar="NAME", help="whose (default: the first admin's; of list: all)"
        )

    def run(self, options: dict[str, Any]) -> None:
        action, token = options["action"], options["token"]
        if (token is None) != (action == "list"):
            raise CommandError(
                "list takes no name" if token is not None else f"{action} what? Give a name"
            )
        getattr(self, action)(options)

    def create(self, options: dict[str, Any]) -> None:
        """Make a token and print its secret, this once."""
        user = user_named(options["user"]) if options["user"] else first_admin()
        secret = ApiToken.objects.issue(user, options["token"])
        token = ApiToken.objects.filter(user=user).latest("pk")
        if options["json"]:
            self.print_json({**_as_dict(token), "secret": secret})
        else:
            self.note("it is shown this once; only its hash is kept")
            self.stdout.write(secret)

    def list(self, options: dict[str, Any]) -> None:
        """Print the tokens, newest first, without their secrets."""
        tokens = ApiToken.objects.select_related("user").order_by("-pk")
        if options["user"]:
            tokens = tokens.filter(user=user_named(options["user"]))
        rows = [_as_dict(token) for token in tokens]
        if options["json"]:
            self.print_json(rows)
        elif rows:
            print_rows([*rows[0]], ([*row.values()] for row in rows))
        else:
            self.stdout.write("No token. `python manage.py token create NAME` makes one.")

    def revoke(self, options: dict[str, Any]) -> None:
        """Delete a token: whoever has its secret is let in no more."""
        token = ApiToken.objects.resolve(
            options["token"], user_named(options["user"]) if options["user"] else None
        )
        said = _as_dict(token)
        token.delete()
        if options["json"]:
            self.print_json(said)
        else:
            self.stdout.write(f"token {said['id']} ({said['name']}) of {said['user']}: revoked")


def _as_dict(token: ApiToken) -> dict[str, Any]:
    used = token.last_used_at
    return {
        "id": token.pk,
        "name": token.name,
        "user": token.user.get_username(),
        "created_at": token.created_at.isoformat(),
        "last_used_at": used.isoformat() if used else None,
    }
