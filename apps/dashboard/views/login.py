"""The one-time link that logs its user in."""

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.accounts.models import LoginLink
from apps.dashboard.pages import show

BACKEND = "django.contrib.auth.backends.ModelBackend"


@login_not_required
@never_cache
@require_GET  # Not HEAD: a link preview must not use the link up.
def login_link(request: HttpRequest, secret: str) -> HttpResponse:
    user = LoginLink.objects.redeem(secret)
    if user is None:
        return show(request, "dashboard/login_link.html", "This link does not log in", status=403)
    login(request, user, backend=BACKEND)
    return redirect(_safe_next(request))


def _safe_next(request: HttpRequest) -> str:
    """Return the local address that `?next=` asks for, the dashboard when it is none."""
    wanted = request.GET.get("next", "")
    is_local = wanted.startswith("/") and url_has_allowed_host_and_scheme(
        wanted, allowed_hosts=None, require_https=request.is_secure()
    )
    return wanted if is_local else "/"
