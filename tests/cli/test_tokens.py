"""The `token` command: secrets for programs, shown once and taken back."""

import json
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.test import Client

from tests.cli.calling import call

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def status_with(secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    return Client(headers=headers).get("/api/v1/runs").status_code


def test_a_token_lets_in_until_it_is_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    secret = call("token", "create", "laptop").strip()
    assert "shown this once" in capsys.readouterr().err
    assert status_with(secret) == 200
    (listed,) = json.loads(call("token", "list", "--json"))
    assert (listed["name"], listed["user"]) == ("laptop", "admin")
    assert listed["last_used_at"]
    assert secret not in json.dumps(listed)
    assert "revoked" in call("token", "revoke", "laptop")
    assert status_with(secret) == 401
    assert "token create" in call("token", "list")


def test_tokens_are_of_a_user_and_told_apart_by_id(
    django_user_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    django_user_model.objects.create_user("ann")
    django_user_model.objects.create_user("gone", is_active=False)
    first = json.loads(call("token", "create", "x", "--user", "ann", "--json"))
    second = json.loads(call("token", "create", "x", "--json"))
    assert (first["user"], second["user"]) == ("ann", "admin")
    assert status_with(first["secret"]) == 200
    assert [t["id"] for t in json.loads(call("token", "list", "--json"))] == [
        second["id"],
        first["id"],
    ]
    call("token", "list", "--user", "ann")
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split("\t") == ["id", "name", "user", "created_at", "last_used_at"]
    assert [line.split("\t")[2] for line in lines] == ["ann"]
    with pytest.raises(CommandError, match=rf"say which: {first['id']}, {second['id']}"):
        call("token", "revoke", "x")
    call("token", "revoke", "x", "--user", "ann")
    call("token", "revoke", str(second["id"]))
    assert json.loads(call("token", "list", "--json")) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create"], "create what"),
        (["revoke"], "revoke what"),
        (["list", "x"], "list takes no name"),
        (["revoke", "lptop"], "no token has the id or the name 'lptop'; did you mean laptop?"),
        (["revoke", "9" * 400], "no token has the id or the name"),
        (["create", "x\x1b[31m"], "one line of visible characters"),
        (["create", " "], "is empty"),
        (["create", "x" * 81], "at most 80 are"),
        (["create", "x", "--user", "gone"], "there is no active user 'gone'"),
        (["create", "x", "--user", "admn"], "did you mean admin?"),
        (["mint"], "allowed: create, list, revoke"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], said: str, django_user_model: Any) -> None:
    django_user_model.objects.create_user("gone", is_active=False)
    call("token", "create", "laptop")
    with pytest.raises(CommandError) as refused:
        call("token", *words)
    assert said in str(refused.value)
    assert len(json.loads(call("token", "list", "--json"))) == 1
