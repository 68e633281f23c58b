"""Login links, API tokens and the form of a refusal."""

from datetime import timedelta

import orjson
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from apps.accounts.authentication import bearer_user
from apps.accounts.models import LINK_LIFETIME, USE_RESOLUTION, ApiToken, LoginLink, first_admin
from apps.accounts.problems import problem


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ada")


def test_a_link_logs_in_once(user: User) -> None:
    secret = LoginLink.objects.issue(user)
    assert LoginLink.objects.redeem(secret) == user
    assert LoginLink.objects.redeem(secret) is None


def test_an_expired_link_logs_nobody_in(user: User) -> None:
    secret = LoginLink.objects.issue(user)
    LoginLink.objects.update(expires_at=timezone.now() - LINK_LIFETIME)
    assert LoginLink.objects.redeem(secret) is None


def test_a_link_of_a_disabled_user_logs_nobody_in(user: User) -> None:
    secret = LoginLink.objects.issue(user)
    User.objects.update(is_active=False)
    assert LoginLink.objects.redeem(secret) is None


def test_only_hashes_of_secrets_are_stored(user: User) -> None:
    link, token = LoginLink.objects.issue(user), ApiToken.objects.issue(user, "mine")
    assert token.startswith("rlgym_")
    assert link not in str(LoginLink.objects.values())
    assert token.removeprefix("rlgym_") not in str(ApiToken.objects.values())


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_names_its_user(scheme: str, user: User) -> None:
    token = ApiToken.objects.issue(user, "mine")
    assert bearer_user(f"{scheme} {token}") == user


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer x", "Basic x", "x"])
def test_anything_else_names_nobody(header: str, user: User) -> None:
    ApiToken.objects.issue(user, "mine")
    assert bearer_user(header) is None


def test_the_use_of_a_token_is_noted_to_the_minute(user: User) -> None:
    secret = ApiToken.objects.issue(user, "mine")
    ApiToken.objects.user_of(secret)
    first = ApiToken.objects.get().last_used_at
    ApiToken.objects.user_of(secret)
    assert ApiToken.objects.get().last_used_at == first
    long_ago = timezone.now() - USE_RESOLUTION - timedelta(seconds=1)
    ApiToken.objects.update(last_used_at=long_ago)
    ApiToken.objects.user_of(secret)
    noted = ApiToken.objects.get().last_used_at
    assert noted is not None
    assert noted > long_ago


def test_the_first_admin_is_made_once(db: None) -> None:
    assert first_admin() == first_admin()
    assert User.objects.filter(is_superuser=True).count() == 1


def test_a_problem_document_has_its_members() -> None:
    response = problem(
        409, "No.", kind="refused", headers={"X": "y"}, legal_moves=["a"], errors=None
    )
    assert response["Content-Type"] == "application/problem+json"
    assert response["X"] == "y"
    assert orjson.loads(response.content) == {
        "type": "urn:rlgym:problem:refused",
        "title": "Conflict",
        "status": 409,
        "detail": "No.",
        "legal_moves": ["a"],
    }
