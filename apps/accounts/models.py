"""Credentials: one-time login links and API tokens, of which only hashes are stored."""

import hashlib
import secrets
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import OperationalError, models
from django.utils import timezone

from apps.engine.hyperparameters import shown
from apps.engine.suggestions import did_you_mean

LINK_LIFETIME = timedelta(hours=12)
USE_RESOLUTION = timedelta(minutes=1)
TOKEN_PREFIX = "rlgym_"
MAX_NAME_LENGTH = 80
MAX_ID_DIGITS = 18


def _hash(secret: str) -> str:
    # The secrets hold 256 random bits, so one plain hash is enough: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


class CredentialError(ValueError):
    """There is no such user or token, or its name will not do."""


def user_named(name: str) -> User:
    """Return an active user.

    Raises:
        CredentialError: There is none of that name.
    """
    users = get_user_model().objects.filter(is_active=True)
    user: User | None = users.filter(username=name).first()
    if user is None:
        hint = did_you_mean(name, users.values_list("username", flat=True))
        raise CredentialError(f"there is no active user {shown(name)}{hint}")
    return user


def first_admin() -> User:
    """Return the first active superuser, made now if there is none."""
    users = get_user_model().objects
    admin = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
    return admin or users.create_superuser("admin", email="", password=None)


class LoginLinkQuerySet(models.QuerySet["LoginLink"]):
    def issue(self, user: User) -> str:
        """Store a new link for a user and return its secret, which is shown once."""
        secret = secrets.token_urlsafe(32)
        self.create(
            user=user, secret_hash=_hash(secret), expires_at=timezone.now() + LINK_LIFETIME
        )
        return secret

    def redeem(self, secret: str) -> User | None:
        """Use up a link and return its user; None when it is unknown, used or expired."""
        now = timezone.now()
        links = self.filter(secret_hash=_hash(secret))
        if not links.filter(used_at=None, expires_at__gt=now).update(used_at=now):
            return None
        user: User = links.select_related("user").get().user
        return user if user.is_active else None


class LoginLink(models.Model):
    """A link that logs its user in, once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    secret_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    objects = LoginLinkQuerySet.as_manager()

    def __str__(self) -> str:
        return f"login link of {self.user}"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def issue(self, user: User, name: str) -> str:
        """Store a new token for a user and return its secret, which is shown once."""
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        self.create(user=user, name=name, secret_hash=_hash(secret))
        return secret

    def resolve(self, text: str, user: User | None = None) -> "ApiToken":
        """Return the token of an id or a name.

        Args:
            text: An id, or a name that one token alone has.
            user: Whose; None: anybody's.

        Raises:
            CredentialError: There is none, or several have the name.
        """
        tokens = self.select_related("user") if user is None else self.filter(user=user)
        is_id = text.isascii() and text.isdecimal() and len(text) <= MAX_ID_DIGITS
        if is_id and (found := tokens.filter(pk=int(text)).first()):
            return found
        named = list(tokens.filter(name=text).order_by("pk"))
        if len(named) > 1:
            ids = ", ".join(str(token.pk) for token in named)
            raise CredentialError(f"several tokens are called {shown(text)}; say which: {ids}")
        if not named:
            hint = did_you_mean(text, tokens.values_list("name", flat=True))
            raise CredentialError(f"no token has the id or the name {shown(text)}{hint}")
        return named[0]

    def user_of(self, secret: str) -> User | None:
        """Return the active user that a token belongs to, None when there is none."""
        token = (
            self.filter(secret_hash=_hash(secret), user__is_active=True)
            .select_related("user")
            .first()
        )
        if token is None:
            return None
        token.note_use()
        user: User = token.user
        return user


class ApiToken(models.Model):
    """A secret with which a program acts for its user (`Authorization: Bearer`)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=MAX_NAME_LENGTH)
    secret_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.user})"

    @classmethod
    def checked_name(cls, name: str) -> str:
        """Return a name for a token.

        Raises:
            CredentialError: It will not do.
        """
        name = name.strip()
        if not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
            rule = f"it must be text of 1 to {MAX_NAME_LENGTH} characters, in one line"
            raise CredentialError(f"{shown(name)} is not allowed; {rule}")
        return name

    def note_use(self) -> None:
        """Remember that the token was used, to the minute.

        A program that polls must not make every read a write, and reading goes on while the
        database cannot be written.
        """
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > USE_RESOLUTION:
            with suppress(OperationalError):
                ApiToken.objects.filter(pk=self.pk).update(last_used_at=now)
