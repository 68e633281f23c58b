"""`Idempotency-Key`: what is sent twice is done once and answered alike."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import Answer, ApiToken
from apps.api import idempotency
from apps.experiments.models import Evaluation, Run
from apps.experiments.statuses import RunStatus
from apps.jobs.verbs import checking
from tests.api.clients import ROOT, assert_problem
from tests.builders import TINY_PPO, make_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


class Sender:
    """A program that gives each request a key."""

    def __init__(self, token: str) -> None:
        self._client = Client(headers={"Authorization": f"Bearer {token}"})

    def post(self, path: str, data: Any, key: str) -> Any:
        return self._client.post(
            ROOT + path, data, content_type="application/json", headers={"Idempotency-Key": key}
        )

    def upload(self, path: str, fields: dict[str, Any], key: str) -> Any:
        return self._client.post(ROOT + path, fields, headers={"Idempotency-Key": key})


@pytest.fixture
def sender(token: str) -> Sender:
    return Sender(token)


def test_a_run_that_is_asked_for_twice_is_made_once_and_answered_alike(sender: Sender) -> None:
    first = sender.post("/runs", TINY_PPO, "one")
    again = sender.post("/runs", dict(reversed(TINY_PPO.items())), "one")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again["Location"] == first["Location"]
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert Run.objects.count() == 1
    assert sender.post("/runs", TINY_PPO, "two").json()["id"] != first.json()["id"]


def test_seeds_are_made_once(sender: Sender) -> None:
    answers = [sender.post("/runs", {**TINY_PPO, "seeds": 3}, "one").json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert Run.objects.count() == 3


def test_verbs_that_make_something_of_a_run_do_so_once(sender: Sender) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    run.checkpoints.create(step=64)
    for verb in ("retry", "reproduce"):
        ids = {sender.post(f"/runs/{run.pk}/{verb}", {}, verb).json()["id"] for _ in range(2)}
        assert len(ids) == 1
    asked = [sender.post(f"/runs/{run.pk}/evaluations", {}, "play") for _ in range(2)]
    assert [answer.status_code for answer in asked] == [202, 202]
    assert asked[0].json()["id"] == asked[1].json()["id"]
    assert Evaluation.objects.count() == 1
    assert Run.objects.count() == 3


def test_a_key_stands_for_one_request(sender: Sender) -> None:
    sender.post("/runs", TINY_PPO, "one")
    run = Run.objects.get()
    for path, body in (("/runs", {**TINY_PPO, "seed": 7}), (f"/runs/{run.pk}/retry", TINY_PPO)):
        refused = assert_problem(sender.post(path, body, "one"), 422)
        assert refused["errors"][0]["field"] == "Idempotency-Key"
        assert "'one' was used for another request" in refused["detail"]
    assert Run.objects.count() == 1


def test_a_key_is_its_user_s_own(sender: Sender) -> None:
    other = Sender(ApiToken.objects.issue(User.objects.create_user("bob"), "tests"))
    mine = sender.post("/runs", TINY_PPO, "one").json()["id"]
    assert other.post("/runs", TINY_PPO, "one").json()["id"] != mine


def test_what_is_refused_may_be_sent_again_mended_or_not(sender: Sender) -> None:
    for _ in range(2):
        assert_problem(sender.post("/runs", {**TINY_PPO, "seed": -1}, "one"), 422)
    assert sender.post("/runs", TINY_PPO, "one").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 201, "ü", "a\x1bb"])
def test_a_key_that_is_none_is_refused(sender: Sender, key: str) -> None:
    assert_problem(sender.post("/runs", TINY_PPO, key), 422)
    assert not Run.objects.exists()


def test_without_a_login_a_key_tells_nobody_anything(sender: Sender) -> None:
    sender.post("/runs", TINY_PPO, "one")
    assert_problem(Sender("rlgym_nobody").post("/runs", TINY_PPO, "one"), 401)


def test_after_a_day_a_key_is_free(sender: Sender) -> None:
    first = sender.post("/runs", TINY_PPO, "one").json()["id"]
    Answer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert sender.post("/runs", TINY_PPO, "one").json()["id"] != first
    assert Answer.objects.count() == 1


def test_what_was_never_answered_is_not_done_again(
    sender: Sender, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "PATIENCE_S", 0.2)
    sender.post("/runs", TINY_PPO, "one")
    Answer.objects.update(status=None)  # As a server leaves it that is killed meanwhile.
    refused = assert_problem(sender.post("/runs", TINY_PPO, "one"), 409)
    assert "look whether there is" in refused["detail"]
    assert Run.objects.count() == 1


def test_equal_requests_at_once_make_one_run(token: str) -> None:
    checking.check_spec(TINY_PPO)
    answers: list[Any] = []

    def ask() -> None:
        answers.append(Sender(token).post("/runs", TINY_PPO, "one"))
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Run.objects.count() == 1


def test_an_upload_is_told_by_its_fields_and_its_content(sender: Sender) -> None:
    def fields(content: bytes) -> dict[str, Any]:
        return {"spec": "{}", "file": SimpleUploadedFile("model.zip", content)}

    # Refused files are not remembered, so both are judged by the view.
    assert_problem(sender.upload("/runs/import", fields(b"no zip"), "one"), 422)
    assert not Answer.objects.exists()
    Answer.objects.reserve(User.objects.get(), "two", "of another request")
    refused = assert_problem(sender.upload("/runs/import", fields(b"no zip"), "two"), 422)
    assert "was used for another request" in refused["detail"]


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-9, 9) | st.text()))
def test_the_order_of_fields_is_no_difference(body: dict[str, Any]) -> None:
    import_order = idempotency.orjson.dumps(body)
    reversed_order = idempotency.orjson.dumps(dict(reversed(body.items())), option=2)
    assert idempotency._canonical(import_order) == idempotency._canonical(reversed_order)


@given(st.binary(max_size=50))
def test_any_body_has_a_fingerprint(body: bytes) -> None:
    assert isinstance(idempotency._canonical(body), bytes)


def test_the_schema_offers_the_key_where_something_is_posted(sender: Sender, home: Path) -> None:
    schema = sender._client.get(f"{ROOT}/openapi.json").json()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            names = [one["name"] for one in operation.get("parameters", [])]
            assert ("Idempotency-Key" in names) == (method == "post"), path
