"""Asking for TensorBoard's event files, from every face."""

import re
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.utils.html import escape

from apps.catalogue.extras import REQUIREMENT, install_command
from apps.experiments.models import Run
from tests.api.clients import ApiClient, assert_problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]

FIELDS = {"algorithm": "ppo", "environment": "CartPole-v1", "total_timesteps": 256}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the name, whether or not the extra is there."""
    package = ModuleType("tensorboard")
    package.__spec__ = ModuleSpec("tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboard", package)


@pytest.mark.usefixtures("installed")
def test_it_is_asked_for_from_every_face(api: ApiClient, admin_client: Client) -> None:
    assert api.post("/runs", {**FIELDS, "tensorboard": True}).status_code == 201
    admin_client.post("/runs/new/", {**FIELDS, "tensorboard": "on"})
    call_command("train", "-n", "256", "--tensorboard", "--queue")
    runs = Run.objects.all()
    assert [run.spec["tensorboard"] for run in runs] == [True] * 3
    page = admin_client.get(runs[0].get_absolute_url()).content.decode()
    assert f"tensorboard --logdir {runs[0].directory.tensorboard}" in page


def test_it_is_refused_where_it_is_missing(
    api: ApiClient, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    words = f"TensorBoard is not installed here; type {install_command(REQUIREMENT)}"
    (error,) = assert_problem(api.post("/runs", {**FIELDS, "tensorboard": True}), 422)["errors"]
    assert error["field"] == "tensorboard"
    assert words in error["message"]
    page = admin_client.post("/runs/new/", {**FIELDS, "tensorboard": "on"})
    assert escape(words) in page.content.decode()
    with pytest.raises(CommandError, match=re.escape(words)):
        call_command("train", "-n", "256", "--tensorboard", "--queue")
    assert not Run.objects.exists()
    assert_problem(api.post("/runs", {**FIELDS, "tensorboard": "yes"}), 422)
