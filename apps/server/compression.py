"""Text is compressed for whoever takes it; all else is left as it is."""

import gzip
from functools import lru_cache

from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers
from whitenoise.middleware import WhiteNoiseFileResponse

SMALLEST_BYTES = 200  # Below it, Django leaves an answer as it is: so is a file.
# Films and posters are compressed already; events must leave one by one.
TEXTS = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/manifest+json",
        "application/problem+json",
        "application/x-ndjson",
        "application/xml",
        "image/svg+xml",
    }
)
EVENTS = "text/event-stream"


class TextCompression(GZipMiddleware):
    """Compresses pages, JSON, CSV, scripts and style sheets, but no part of a file.

    Django pads what it compresses by a random length, so that a secret in a page, its CSRF token
    for one, cannot be guessed by how well it compresses.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Compress an answer if it is text and the client takes it."""
        if not is_text(response) or response.has_header("Content-Range"):
            return response
        if not takes_gzip(request.headers.get("Accept-Encoding", "")):
            patch_vary_headers(response, ("Accept-Encoding",))
            return response
        if isinstance(response, WhiteNoiseFileResponse):
            return _static_file(request, response)
        compressed: HttpResponseBase = super().process_response(request, response)
        return compressed


def is_text(response: HttpResponseBase) -> bool:
    """Whether a response is of a kind that is worth compressing."""
    kind = response.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in TEXTS or (kind.startswith("text/") and kind != EVENTS)


def takes_gzip(accepted: str) -> bool:
    """Whether an `Accept-Encoding` header names gzip, and not to refuse it (a quality of 0).

    What it allows in other words (`*`) need not be done.
    """
    qualities = {}
    for part in accepted.split(","):
        name, _, parameters = part.partition(";")
        qualities[name.strip()] = _quality(parameters)
    return qualities.get("gzip", 0.0) > 0


def _quality(parameters: str) -> float:
    name, _, value = parameters.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _static_file(request: HttpRequest, response: FileResponse) -> HttpResponseBase:
    patch_vary_headers(response, ("Accept-Encoding",))
    if request.method != "GET" or response.status_code != 200:
        return response
    content = response.getvalue()
    response.close()
    compressed = _compressed(content)
    is_shorter = SMALLEST_BYTES < len(content) > len(compressed)
    made = HttpResponse(compressed if is_shorter else content, headers=dict(response.items()))
    made["Content-Length"] = str(len(made.content))
    if is_shorter:
        made["Content-Encoding"] = "gzip"
        # WhiteNoise would not know a weak one again; the time of the last change is left.
        del made["ETag"]
    return made


@lru_cache(maxsize=256)
def _compressed(content: bytes) -> bytes:
    """Compress a static file; it is public and stays the same, so once and as well as can be."""
    return gzip.compress(content, mtime=0)
