"""Many runs, and their order, in the pages."""

import pytest
from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def test_the_form_starts_seeds_and_shows_their_group(admin_client: Client) -> None:
    fields = {"algorithm": "ppo", "environment": "CartPole-v1", "total_timesteps": "256"}
    refused = admin_client.post("/runs/new/", {**fields, "seeds": "101"})
    assert refused.status_code == 422
    assert "whole number from 1 to 100" in refused.content.decode()
    answer = admin_client.post("/runs/new/", {**fields, "seeds": "2"}, follow=True)
    page = answer.content.decode()
    assert "Queued: ppo-CartPole-v1-s1 to ppo-CartPole-v1-s2." in page
    assert "Configurations" in page
    assert "1 to 2" in page
