"""The web server, started as `python -m rlgym.server`: daphne, with bounds and a discreet log."""

from typing import Any
from urllib.parse import unquote

from daphne import server
from daphne.cli import CommandLineInterface

import rlgym.asgi  # noqa: F401 - sets Django up, before anything that knows a model is imported
from apps.accounts.redaction import redacted
from apps.server.http import Factory


class Server(server.Server):
    """Daphne's server with our factory; its access log holds no login link's secret."""

    @property
    def http_factory(self) -> Factory:
        """What daphne listens with. It makes one of its own, which is exchanged here."""
        return self._factory

    @http_factory.setter
    def http_factory(self, made: Any) -> None:
        self._factory = Factory(made.server)

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Write a line of the access log, if one is kept."""
        super().log_action(protocol, action, {**details, "path": _loggable(details["path"])})


class Interface(CommandLineInterface):
    """Daphne's options."""

    server_class = Server


def _loggable(path: str) -> str:
    decoded = unquote(path)  # A secret may be written in more ways than one.
    hidden = redacted(decoded)
    return path if hidden == decoded else hidden.encode("unicode_escape").decode()


if __name__ == "__main__":
    Interface.entrypoint()
