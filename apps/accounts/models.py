"""Credentials: one-time login links and API tokens, of which only hashes are stored.

Also how often a password was wrong lately, so that guessing becomes slow.
"""

import hashlib
import ipaddress
import secrets
from contextlib import suppress
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import OperationalError, models, transaction
from django.utils import timezone

from apps.accounts.answers import Answer
from apps.text import names
from apps.text.suggestions import did_you_mean
from apps.words import shown

__all__ = ["Answer", "ApiToken", "LoginLink", "first_admin"]

LINK_LIFETIME = timedelta(hours=12)
USE_RESOLUTION = timedelta(minutes=1)
TOKEN_PREFIX = "rlgym_"
MAX_ID_DIGITS = 18

# Wrong passwords that cost no waiting: of a name from an address, of an address with any names, of
# a name from all addresses that it never logged in from.
FREE_OF_PAIR = 5
FREE_OF_ADDRESS = 20
FREE_OF_NAME = 10
MAX_WAIT_S = 60
FORGOTTEN_AFTER = timedelta(hours=1)
UNFAMILIAR_AFTER = timedelta(days=90)


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
        """Store a new token for a user and return its secret, which is shown once.

        Raises:
            InvalidSpec: The name is not allowed.
        """
        name = names.read("name", name, "token", is_required=True)
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
    name = models.CharField(max_length=names.LIMITS["token"])
    secret_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.user})"

    def note_use(self) -> None:
        """Remember that the token was used, to the minute.

        A program that polls must not make every read a write, and reading goes on while the
        database cannot be written.
        """
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > USE_RESOLUTION:
            with suppress(OperationalError):
                ApiToken.objects.filter(pk=self.pk).update(last_used_at=now)


class FailedLoginQuerySet(models.QuerySet["FailedLogin"]):
    def begin(self, name: str, address: str) -> float:
        """Count an attempt to log in by password, before the password is looked at.

        Counted first, so that many at once are not all let through; `succeed` takes it back.

        Returns:
            Seconds to wait before the next attempt; 0 when this one may go on. An attempt that has
            to wait does not count: knocking on goes no slower, and keeps nobody out for longer.
        """
        now = timezone.now()
        with transaction.atomic():
            counted = self._counted(name, address, now)
            wait_s = max(row.wait_s(free, now) for row, free in counted)
            if wait_s <= 0:
                for row, _ in counted:
                    row.failures += 1
                    row.last_at = now
                    row.save()
                self._forget(now)
        return max(0.0, wait_s)

    def succeed(self, name: str, address: str) -> None:
        """Take back the count of an attempt whose password was right."""
        pair, *others = _keys(name, address)
        now = timezone.now()
        self.filter(key=pair).update(failures=0, is_familiar=True, last_at=now)
        self.filter(key__in=others, failures__gt=0).update(failures=models.F("failures") - 1)

    def _counted(self, name: str, address: str, now: datetime) -> list[tuple["FailedLogin", int]]:
        keys = _keys(name, address)
        known = {row.key: row for row in self.filter(key__in=keys)}
        rows = [known.get(key) or FailedLogin(key=key, last_at=now) for key in keys]
        for row in rows:
            row.failures = 0 if now - row.last_at > FORGOTTEN_AFTER else row.failures
        pair, of_address, of_name = rows
        counted = [(pair, FREE_OF_PAIR), (of_address, FREE_OF_ADDRESS)]
        # Whoever guesses elsewhere must not keep out who logs in from where they always do.
        return counted if pair.is_familiar else [*counted, (of_name, FREE_OF_NAME)]

    def _forget(self, now: datetime) -> None:
        self.filter(last_at__lt=now - FORGOTTEN_AFTER, is_familiar=False).delete()
        self.filter(last_at__lt=now - UNFAMILIAR_AFTER).delete()


class FailedLogin(models.Model):
    """How often in a row a password was wrong: for a name, from an address, or for both."""

    key = models.CharField(max_length=64, unique=True)
    failures = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()
    is_familiar = models.BooleanField(default=False)

    objects = FailedLoginQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.failures} wrong passwords"

    def wait_s(self, free: int, now: datetime) -> float:
        """Return how long the next attempt has to wait: longer each time, up to a minute."""
        beyond = self.failures - free
        if beyond < 0:
            return 0.0
        wait_s = min(2.0 ** min(beyond + 1, 10), MAX_WAIT_S)
        return wait_s - (now - self.last_at).total_seconds()


def _keys(name: str, address: str) -> tuple[str, str, str]:
    """Return what an attempt is counted under: name and address, address, name.

    Hashed, for people type their password where their name belongs.
    """
    name, address = name.strip().casefold(), _network(address)
    return _hash(f"pair {address} {name}"), _hash(f"address {address}"), _hash(f"name {name}")


def _network(address: str) -> str:
    """Return what one client has of the internet: an address, of IPv6 its whole network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # A unix socket has none.
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
