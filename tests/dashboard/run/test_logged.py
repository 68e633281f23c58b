"""Pages of a run that a script outside logs: what it told, and no button that does nothing."""

import re

import orjson
import pytest
from django.test import Client
from django.urls import reverse

from apps.experiments.models import Run
from apps.jobs import rows
from apps.jobs.verbs import logged
from apps.jobs.verbs.naming import Naming
from apps.rundir import events
from apps.spec.logged import LoggedSpec

CONFIG = {"lr": 2.5e-4, "seed": 3, "optimizer": {"name": "adam"}}


@pytest.fixture
def outside(reader: Client) -> Run:
    spec = LoggedSpec.from_dict({"algorithm": "PPO <mine>", "config": CONFIG})
    process = logged.Process(provenance={"command": "python ppo.py"})
    run, _ = logged.begin(spec, Naming("outside", "Scripts"), process)
    rows = [
        {"step": 5, "values": {"losses/value": 1.0}},
        {"type": "evaluation", "step": 6, "returns": [1.5, 2.5]},
    ]
    logged.take(run, {"rows": rows, "writer": "w", "seq": 1})
    return run


def buttons(html: str) -> set[str]:
    """Return the addresses that the page's forms send to."""
    return {
        address.rstrip("/").rpartition("/")[2]
        for address in re.findall(r'action="/runs/([^"]+)"', html)
    }


def test_its_page_shows_what_its_script_told(reader: Client, outside: Run) -> None:
    html = reader.get(outside.get_absolute_url()).content.decode()
    assert "logged by a script · \n  PPO &lt;mine&gt;" in html
    assert "seed 3" in html
    assert '<code>optimizer</code></th><td class="num">name adam</td>' in html
    assert "python ppo.py" in html
    assert "2 episodes · return 1.5 to 2.5" in html
    assert "data-any" in html
    assert 'id="known-charts"' in html
    for missing in ("Checkpoints", "Lineage", "seed None", "/ —", "It printed nothing"):
        assert missing not in html


def test_its_charts_explain_the_names_of_other_libraries(reader: Client, outside: Run) -> None:
    html = reader.get(outside.get_absolute_url()).content.decode()
    told = re.search(r'<script id="known-charts"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert told
    charts = {chart["line"]: chart for chart in orjson.loads(told[1])}
    entropy, canonical = charts["losses/entropy"], charts["train/entropy_loss"]
    assert entropy["title"] == canonical["title"] == "Entropy loss"
    assert entropy["meaning"] == f"{canonical['meaning']} Here: the entropy itself."
    assert entropy["about"][:2] == [
        ["logged as", "losses/entropy (CleanRL)"],
        ["metric", "train/entropy_loss"],
    ]
    assert charts["charts/episodic_return"]["is_higher_better"]


def test_it_can_be_stopped_while_it_runs_and_deleted_when_it_has_ended(
    reader: Client, outside: Run
) -> None:
    address = outside.get_absolute_url()
    assert buttons(reader.get(address).content.decode()) == {"stop"}
    answer = reader.post(reverse("run-stop", args=[outside.pk]), follow=True).content.decode()
    assert "asked to stop: its script is told with its next batch" in answer
    assert buttons(answer) == set()
    logged.finish(outside, "failed", "ValueError: nan", "Traceback: <boom>")
    html = reader.get(address).content.decode()
    assert buttons(html) == {"delete"}
    assert "Traceback: &lt;boom&gt;" in html
    assert reader.post(reverse("run-delete", args=[outside.pk]), follow=True).status_code == 200
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "verb",
    ["pause", "save", "resume", "retry", "reproduce", "continue", "branch", "evaluate"],
)
def test_what_only_a_trainer_can_do_is_refused_in_words(
    reader: Client, outside: Run, verb: str
) -> None:
    html = reader.post(reverse(f"run-{verb}", args=[outside.pk]), follow=True).content.decode()
    assert "a script outside does its work" in html
    assert Run.objects.get().status == "running"


def test_every_part_of_its_page_can_be_fetched(reader: Client, outside: Run) -> None:
    for part in ("header", "actions", "evaluations", "video", "timeline"):
        status = reader.get(reverse(f"run-{part}", args=[outside.pk])).status_code
        assert status == (204 if part == "video" else 200)


def test_lists_mark_it_and_filter_by_kind(reader: Client, outside: Run) -> None:
    for query, is_there in (("", True), ("?kind=logged", True), ("?kind=trained", False)):
        html = reader.get(reverse("run-list") + query).content.decode()
        assert ("logged by a script</span>" in html) is is_there
    grouped = reader.get(f"{reverse('run-list')}?experiment={outside.experiment_id}")
    assert "PPO &lt;mine&gt;" in grouped.content.decode()
    assert reader.get(reverse("dashboard")).status_code == 200
    assert reader.get("/admin/experiments/run/").status_code == 200


def test_an_experiment_tells_the_configurations_of_scripts_apart(
    reader: Client, outside: Run
) -> None:
    other = LoggedSpec.from_dict(
        {"algorithm": "PPO <mine>", "config": {**CONFIG, "lr": 1e-3, "seed": 4}}
    )
    logged.begin(other, Naming("other", "Scripts"))
    html = reader.get(f"{reverse('run-list')}?experiment={outside.experiment_id}").content.decode()
    assert "<code>lr</code> 0.00025 → 0.001" in html
    assert "<code>seed</code>" not in html


def test_its_film_is_on_its_page(reader: Client, outside: Run) -> None:
    film = events.film(
        6,
        "films/x.mp4",
        poster_path="films/x.webp",
        duration_s=2.0,
        width=64,
        height=48,
        size_bytes=9,
    )
    video = rows.record_told_film(outside, film)
    html = reader.get(outside.get_absolute_url()).content.decode()
    assert f'src="/api/v1/videos/{video.pk}/file"' in html
