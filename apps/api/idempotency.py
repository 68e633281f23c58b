"""`Idempotency-Key`: a POST that is sent again is answered as the first time and done once.

Whatever was refused is not remembered: mended, it may be sent again with the same key.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import orjson
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from apps.accounts.answers import MAX_KEY_LENGTH, Answer
from apps.accounts.authentication import reader_of
from apps.accounts.problems import problem

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
# How long a second request waits for the first, which is still being carried out.
PATIENCE_S = 20.0
LOOK_S = 0.05
RETRY_S = 5
FIRST_REFUSAL = 400

PARAMETER = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "description": (
        "A key of the caller's own, kept for a day: the same request with the same key is "
        "answered as the first time and carried out once; another one with it is refused (422)."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
}


def once(request: HttpRequest, view: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Answer a request by its view, or as a request with the same key was answered."""
    key = request.headers.get(HEADER)
    user = reader_of(request) if key is not None and request.method == "POST" else None
    if key is None or user is None:  # Nobody is told so by the view.
        return view()
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        rule = f"it must have 1 to {MAX_KEY_LENGTH} printable characters of ASCII"
        return _refuse(f"{key[:MAX_KEY_LENGTH]!r} is not allowed; {rule}")
    return _answered(request, user, key, view)


def _answered(
    request: HttpRequest, user: User, key: str, view: Callable[[], HttpResponseBase]
) -> HttpResponseBase:
    fingerprint = fingerprint_of(request)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer, is_ours = Answer.objects.reserve(user, key, fingerprint)
        if is_ours:
            return _carried_out(answer, view)
        if answer.fingerprint != fingerprint:
            return _refuse(f"{key!r} was used for another request; take another key for this one")
        if answer.status is not None:
            return _replayed(answer)
        if time.monotonic() > deadline:
            return problem(
                409,
                "A request with this key is being carried out, or its server ended meanwhile; "
                "look whether there is what it asked for before you ask with another key.",
                kind="unanswered",
                headers={"Retry-After": str(RETRY_S)},
            )
        time.sleep(LOOK_S)  # Forgotten when the first is refused: then this one is carried out.


def _carried_out(answer: Answer, view: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    rows = Answer.objects.filter(pk=answer.pk)
    try:
        response = view()
    except BaseException:
        rows.delete()
        raise
    if not isinstance(response, HttpResponse) or response.status_code >= FIRST_REFUSAL:
        rows.delete()
        return response
    rows.update(
        status=response.status_code,
        content_type=response.get("Content-Type", ""),
        location=response.get("Location", ""),
        content=response.content,
    )
    return response


def _replayed(answer: Answer) -> HttpResponse:
    response = HttpResponse(
        bytes(answer.content), status=answer.status, content_type=answer.content_type
    )
    if answer.location:
        response["Location"] = answer.location
    response[REPLAYED] = "true"
    return response


def _refuse(message: str) -> HttpResponse:
    errors = [{"field": HEADER, "message": message}]
    return problem(422, f"{HEADER}: {message}", kind="invalid", errors=errors)


def fingerprint_of(request: HttpRequest) -> str:
    """Return a hash of what a request asks for: its address, and its body by meaning."""
    told = hashlib.sha256(f"{request.get_full_path()}\n".encode())
    if request.content_type == "multipart/form-data":  # Its boundary is another one each time.
        for name, values in sorted(request.POST.lists()):
            told.update(repr((name, values)).encode())
        for name, files in sorted(request.FILES.lists()):
            told.update(repr((name, [hash_of(file) for file in files])).encode())
    else:
        told.update(_canonical(request.body))
    return told.hexdigest()


def hash_of(file: "UploadedFile[bytes]") -> tuple[str | None, str]:
    """Return an uploaded file's name and the hash of its content, and rewind it."""
    told = hashlib.sha256()
    for chunk in file.chunks():
        told.update(chunk)
    file.seek(0)
    return file.name, told.hexdigest()


def _canonical(body: bytes) -> bytes:
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body  # The view has the words for it.
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
