"""Login links are secrets: no log holds one."""

import logging
import re

from apps.text.names import LineFormatter

_LINK = re.compile(r"(/login/)[^/?#\s\"'<>]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return a text without the secrets of the login links in it."""
    return _LINK.sub(r"\1[secret]", text)


class RedactingFormatter(LineFormatter):
    """Writes a log record as a line, its traceback included, without login links' secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))
