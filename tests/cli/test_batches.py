"""Many runs from the command line."""

import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def test_seeds_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("train", "-n", "256", "--seeds", "2", "--seed", "5", "--queue", "--json")
    runs = json.loads(capsys.readouterr().out)
    assert [run["seed"] for run in runs] == [5, 6]
    with pytest.raises(CommandError, match="seeds: 101 is not allowed"):
        call_command("train", "--seeds", "101", "--queue")
