"""Login links are secrets: no log holds one."""

import logging
import re

_LINK = re.compile(r"(/login/)[^/?#\s\"'<>]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return a text without the secrets of the login links in it."""
    return _LINK.sub(r"\1[secret]", text)


class RedactingFormatter(logging.Formatter):
    """Writes a log record, its traceback included, without the secrets of login links."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))
