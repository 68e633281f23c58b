"""One rule for every face: a session, or a bearer token."""

from django.contrib.auth.models import AbstractBaseUser

from apps.accounts.models import ApiToken


def bearer_user(authorization: str) -> AbstractBaseUser | None:
    """Return the user of an `Authorization` header's bearer token, None without a valid one."""
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        return None
    return ApiToken.objects.user_of(secret.strip())
