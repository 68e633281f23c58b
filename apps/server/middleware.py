"""What holds for every answer, whichever room gives it."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

PRIVATE = "private, no-store"
Answer = HttpResponseBase | Awaitable[HttpResponseBase]
View = Callable[[HttpRequest], Any]


@sync_and_async_middleware
def known_hosts(get_response: View) -> View:
    """Refuse what is asked of another host in one line; Django would log a traceback for each."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            refused = _refused_host(request)
            return refused or cast(HttpResponseBase, await get_response(request))

        return answer_async
    return lambda request: _refused_host(request) or get_response(request)


def _refused_host(request: HttpRequest) -> HttpResponse | None:
    try:
        request.get_host()
    except DisallowedHost:
        text = "This is not one of the hosts that are served; RLGYM_ALLOWED_HOSTS names them.\n"
        headers = {"Cache-Control": PRIVATE, "X-Content-Type-Options": "nosniff"}
        return HttpResponse(text, status=400, content_type="text/plain", headers=headers)
    return None


@sync_and_async_middleware
def private_answers(get_response: View) -> View:
    """Let no cache keep an answer that does not say by itself how it may be kept."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            return _private(await get_response(request))

        return answer_async
    return lambda request: _private(get_response(request))


def _private(response: HttpResponseBase) -> HttpResponseBase:
    response.headers.setdefault("Cache-Control", PRIVATE)
    return response
