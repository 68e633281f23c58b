"""Many runs, and their order, in the pages."""

import pytest
from django.test import Client

from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from tests.builders import make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def test_the_form_starts_seeds_and_shows_their_group(admin_client: Client) -> None:
    fields = {"algorithm": "ppo", "environment": "CartPole-v1", "total_timesteps": "256"}
    refused = admin_client.post("/runs/new/", {**fields, "seeds": "101"})
    assert refused.status_code == 422
    assert "whole number from 1 to 100" in refused.content.decode()
    more = {"seeds": "2", "milestones": "on", "early_stop": "on", "priority": "3"}
    answer = admin_client.post("/runs/new/", {**fields, **more}, follow=True)
    assert [run.priority for run in Run.objects.all()] == [3, 3]
    assert all(run.spec["milestones"] and run.spec["early_stop"] for run in Run.objects.all())
    page = answer.content.decode()
    assert "Queued: ppo-CartPole-v1-s1 to ppo-CartPole-v1-s2." in page
    assert "Configurations" in page
    assert "1 to 2" in page


def test_pages_say_why_a_run_waits_and_change_its_priority(admin_client: Client) -> None:
    first, second = make_run(status=RunStatus.QUEUED), make_run(status=RunStatus.QUEUED)
    page = admin_client.get("/runs/").content.decode()
    assert "Queued runs wait: no worker is alive" in page
    assert ">no. 1<" in page
    assert ">no. 2<" in page
    url = f"/runs/{second.pk}/"
    assert "1 run goes before it" in admin_client.get(url).content.decode()
    moved = admin_client.post(f"{url}priority/", {"priority": "7"}, follow=True)
    assert "it is next; priority 7" in moved.content.decode()
    refused = admin_client.post(f"{url}priority/", {"priority": "many"}, follow=True)
    assert "from -100 to 100" in refused.content.decode()
    done = make_run(status=RunStatus.COMPLETED)
    late = admin_client.post(f"/runs/{done.pk}/priority/", {"priority": "1"}, follow=True)
    assert "its priority counts only while" in late.content.decode()
    assert first.priority == 0


def test_the_admin_raises_and_lowers_priorities(admin_client: Client) -> None:
    waiting, done = make_run(status=RunStatus.QUEUED), make_run(status=RunStatus.COMPLETED)
    for action, priority in (("raise_priority", 10), ("lower_priority", 0)):
        data = {"action": action, "_selected_action": [waiting.pk, done.pk]}
        page = admin_client.post("/admin/experiments/run/", data, follow=True).content.decode()
        waiting.refresh_from_db()
        assert waiting.priority == priority
        assert "its priority counts only while" in page


def test_a_running_run_is_saved_by_a_button(admin_client: Client) -> None:
    run = make_run(status=RunStatus.RUNNING, owner="host:1:x", attempt=1)
    url = f"/runs/{run.pk}/"
    assert f'action="{url}save/"' in admin_client.get(url).content.decode()
    page = admin_client.post(f"{url}save/", follow=True).content.decode()
    assert "saving: a checkpoint is written at its next rollout" in page
    assert f'action="{url}save/"' not in page
    done = make_run(status=RunStatus.COMPLETED)
    late = admin_client.post(f"/runs/{done.pk}/save/", follow=True)
    assert "only a run that goes on running saves" in late.content.decode()
