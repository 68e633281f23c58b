"""The reader's time zone: the browser tells it in a cookie, and pages are written in it.

Without a script there is no cookie: then times and days are in UTC, and say so.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, tzinfo
from functools import cache
from inspect import iscoroutinefunction
from typing import Any, cast
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.decorators import sync_and_async_middleware

COOKIE = "rlgym_zone"


@cache
def _known() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_named(name: str) -> tzinfo | None:
    """Return a time zone by its name (`Europe/Berlin`), None when there is none such."""
    if name == "UTC":
        return UTC
    return ZoneInfo(name) if name in _known() else None


@sync_and_async_middleware
def in_readers_zone(get_response: Callable[[HttpRequest], Any]) -> Any:
    """Write what answers a request in the zone that its cookie names."""
    if iscoroutinefunction(get_response):
        answer = cast(Callable[[HttpRequest], Awaitable[HttpResponseBase]], get_response)

        async def middleware_async(request: HttpRequest) -> HttpResponseBase:
            with timezone.override(_zone_of(request)):
                return await answer(request)

        return middleware_async

    def middleware(request: HttpRequest) -> HttpResponseBase:
        with timezone.override(_zone_of(request)):
            return cast(HttpResponseBase, get_response(request))

    return middleware


def _zone_of(request: HttpRequest) -> tzinfo:
    return zone_named(request.COOKIES.get(COOKIE, "")) or UTC
