"""Logging in: by the one-time link, or by name and password."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.accounts.forms import LoginForm, StaffLoginForm
from apps.accounts.models import LoginLink
from apps.dashboard.frame import show

BACKEND = "django.contrib.auth.backends.ModelBackend"


@login_not_required
@never_cache
@require_GET  # Not HEAD: a link preview must not use the link up.
def login_link(request: HttpRequest, secret: str) -> HttpResponse:
    user = LoginLink.objects.redeem(secret)
    if user is None:
        return show(request, "dashboard/login/page.html", "This link does not log in", status=403)
    login(request, user, backend=BACKEND)
    return redirect(_safe_next(request))


def _safe_next(request: HttpRequest) -> str:
    """Return the local address that `?next=` asks for, the dashboard when it is none."""
    wanted = request.GET.get("next", "")
    is_local = wanted.startswith("/") and url_has_allowed_host_and_scheme(
        wanted, allowed_hosts=None, require_https=request.is_secure()
    )
    return wanted if is_local else "/"


class LoginPage(LoginView):
    """The page to log in by password, in the admin's frame; `?next=` stays on this site."""

    template_name = "admin/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = (
        True  # Every page that leads here is open to whoever is logged in.
    )

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        frame = admin.site.each_context(self.request)
        here = {
            "title": "Log in",
            "app_path": self.request.get_full_path(),
            "username": self.request.user.get_username(),
        }
        return super().get_context_data(**frame, **here, **context)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        if isinstance(form, LoginForm) and form.wait_s:
            response.status_code = 429
            response["Retry-After"] = str(form.wait_s)
        return response


class StaffLoginPage(LoginPage):
    """The admin's own, which leads back into it."""

    authentication_form = StaffLoginForm
    redirect_authenticated_user = False  # Somebody else may have the rights.
    next_page = "admin:index"
