"""What a page answers when it could not be made."""

import sys

from django.http import HttpRequest, HttpResponse
from django.views import defaults

from apps.jobs import soundness

RETRY_S = 10


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503, plainly, when the database cannot be used; else the page for a fault of ours.

    Nothing here asks the database: no session, no user, no template of a page.
    """
    error = sys.exc_info()[1]
    if isinstance(error, Exception) and soundness.is_unusable(error):
        return HttpResponse(
            "The database cannot be used now. `python manage.py doctor` says what is wrong and "
            "what to do; runs that train go on meanwhile.\n",
            status=503,
            content_type="text/plain; charset=utf-8",
            headers={"Retry-After": str(RETRY_S), "Cache-Control": "no-store"},
        )
    return defaults.server_error(request)
