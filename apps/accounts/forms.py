"""Forms that log in by password, slowly after many wrong ones."""

import math
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from apps.accounts.models import FailedLogin


class LoginForm(AuthenticationForm):
    """A name and a password; `wait_s` says how long to wait after too many wrong ones."""

    wait_s = 0

    def clean(self) -> dict[str, Any]:
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if not name or not password:
            return super().clean()
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        self.wait_s = math.ceil(FailedLogin.objects.begin(name, address))
        if self.wait_s:
            raise ValidationError(
                f"Too many wrong passwords. Wait {self.wait_s} s, then try again; a login link "
                "(python manage.py login_link) works at once.",
                code="slowed",
            )
        cleaned = super().clean()
        FailedLogin.objects.succeed(name, address)
        return cleaned


class StaffLoginForm(LoginForm, AdminAuthenticationForm):
    """The same for the admin, which lets staff in only."""
