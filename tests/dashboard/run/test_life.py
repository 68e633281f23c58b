"""A run's life from its page: pause, resume, go on as another run, and see where it came from."""

from datetime import timedelta

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.dashboard.templatetags.instruments import FIDELITIES
from apps.experiments.models import Checkpoint, Run
from apps.experiments.statuses import Relation, RunStatus
from apps.rundir import events
from apps.spec.run import RunSpec
from tests.builders import give_checkpoint, make_run
from tests.dashboard.reading import page, press

BUTTONS = {"pause", "resume", "retry", "reproduce", "continue", "branch", "stop", "start"}


@pytest.fixture
def parent(reader: Client) -> Run:
    """A completed run with two checkpoints on disk; the first one is the best."""
    run = make_run(status=RunStatus.COMPLETED, step=256, name="parent", return_best=21.5)
    give_checkpoint(run, 128, is_best=True)
    give_checkpoint(run, 256)
    return run


def running(**fields: object) -> Run:
    """Make a run that trains."""
    values = {"owner": "host:1:x", "attempt": 1, "beat_at": timezone.now(), **fields}
    return make_run(status=RunStatus.RUNNING, **values)


def buttons(reader: Client, run: Run) -> set[str]:
    """Return the actions that a run's page offers."""
    html = page(reader, run, "run-actions")
    return {name for name in BUTTONS if f'"{reverse(f"run-{name}", args=[run.pk])}"' in html}


@pytest.mark.parametrize(
    ("status", "has_checkpoint", "offered"),
    [
        (RunStatus.DRAFT, False, {"start"}),
        (RunStatus.QUEUED, False, {"stop"}),
        (RunStatus.RUNNING, True, {"stop", "pause"}),
        (RunStatus.COMPLETED, True, {"retry", "reproduce", "continue", "branch"}),
        (RunStatus.FAILED, False, {"retry", "reproduce"}),
        (RunStatus.FAILED, True, {"retry", "reproduce", "continue", "branch", "resume"}),
        (RunStatus.STOPPED, True, {"retry", "reproduce", "continue", "branch", "resume"}),
        (RunStatus.PAUSED, True, {"retry", "reproduce", "continue", "branch", "resume"}),
        (RunStatus.LOST, True, {"retry", "reproduce", "continue", "branch", "resume"}),
    ],
)
def test_only_what_is_legal_is_offered(
    reader: Client, status: RunStatus, has_checkpoint: bool, offered: set[str]
) -> None:
    run = make_run(status=status, owner="host:1:x")
    if has_checkpoint:
        Checkpoint.objects.create(run=run, step=64)
    assert buttons(reader, run) == offered


def test_what_was_asked_to_end_is_not_asked_again(reader: Client) -> None:
    assert buttons(reader, running(stop_requested_at=timezone.now())) == set()


def test_a_running_run_is_paused_and_says_so(reader: Client) -> None:
    run = running()
    response = press(reader, "pause", run.pk)
    run.refresh_from_db()
    assert run.stop_requested_at is not None
    assert run.stop_as == RunStatus.PAUSED
    assert b"Asked to pause: tiny." in response.content
    assert "pausing: a checkpoint is written first" in page(reader, run, "run-header")


def test_what_does_not_run_cannot_be_paused(reader: Client, parent: Run) -> None:
    response = press(reader, "pause", parent.pk)
    assert b"A run that is completed cannot become paused" in response.content


def test_a_paused_run_is_resumed(reader: Client) -> None:
    run = make_run(status=RunStatus.PAUSED, status_reason="Paused by its user.", attempt=1)
    give_checkpoint(run, 64)
    press(reader, "resume", run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED


def test_a_run_without_a_checkpoint_is_not_resumed(reader: Client) -> None:
    run = make_run(status=RunStatus.FAILED)
    response = press(reader, "resume", run.pk)
    assert b"has no checkpoint to go on from" in response.content
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED


@pytest.mark.parametrize("relation", [Relation.RETRY, Relation.REPRODUCE])
def test_an_ended_run_is_run_again(reader: Client, parent: Run, relation: Relation) -> None:
    response = press(reader, relation, parent.pk)
    child = parent.children.get()
    assert response.redirect_chain == [(child.get_absolute_url(), 302)]  # type: ignore[attr-defined]
    assert (child.relation, child.parent_step, child.status) == (relation, None, RunStatus.QUEUED)
    assert child.spec == parent.spec


@pytest.mark.parametrize("button", ["retry", "reproduce", "continue"])
def test_an_active_run_has_no_children(reader: Client, button: str) -> None:
    run = running()
    give_checkpoint(run, 64)
    response = press(reader, button, run.pk, more_timesteps="10")
    assert b"stop or pause it first" in response.content
    assert not run.children.exists()


def test_a_run_is_continued_for_as_many_steps_as_asked(reader: Client, parent: Run) -> None:
    assert 'value="256"' in page(reader, parent, "run-actions"), "its own length"
    press(reader, "continue", parent.pk, more_timesteps="100")
    child = parent.children.get()
    assert (child.relation, child.parent_step) == (Relation.CONTINUE, 256)
    assert child.total_timesteps == 356


def test_schedules_of_a_continued_run_are_asked_for(reader: Client, parent: Run) -> None:
    hyperparameters = {**parent.spec["hyperparameters"], "learning_rate": "lin_0.001"}
    parent.spec = {**parent.spec, "hyperparameters": hyperparameters}
    parent.save(update_fields=["spec"])
    for how, length in (("keep", 256), ("stretch", 0)):
        press(reader, "continue", parent.pk, more_timesteps="100", schedules=how)
        child = parent.children.latest("created_at")
        assert child.spec["schedule_timesteps"] == length


@pytest.mark.parametrize("typed", ["0", "-5", "many", "", "9" * 30])
def test_steps_that_are_no_number_of_steps_are_refused(
    reader: Client, parent: Run, typed: str
) -> None:
    response = press(reader, "continue", parent.pk, more_timesteps=typed)
    assert b'<li class="error">Further steps: ' in response.content
    assert not parent.children.exists()


def test_a_checkpoint_whose_files_are_gone_is_told(reader: Client, parent: Run) -> None:
    Checkpoint.objects.create(run=parent, step=300)
    response = press(reader, "continue", parent.pk, more_timesteps="100")
    assert b"It goes on from step 256, since later ones are damaged: checkpoint 300" in (
        response.content
    )
    assert parent.children.get().parent_step == 256
    Run.objects.filter(pk=parent.pk).update(status=RunStatus.LOST)
    response = press(reader, "resume", parent.pk)
    assert b"It goes on from step 256" in response.content
    for step in (128, 256):
        (parent.directory.checkpoints / str(step) / "state.pkl").write_bytes(b"exchanged")
    response = press(reader, "continue", parent.pk, more_timesteps="100")
    assert b"stop or pause it first" in response.content
    Run.objects.filter(pk=parent.pk).update(status=RunStatus.LOST)
    response = press(reader, "resume", parent.pk)
    assert b"no checkpoint of run" in response.content.lower()


@pytest.mark.parametrize("button", ["pause", "resume", "retry", "reproduce", "continue"])
def test_verbs_do_not_answer_links(reader: Client, parent: Run, button: str) -> None:
    assert reader.get(reverse(f"run-{button}", args=[parent.pk])).status_code == 405


@pytest.mark.parametrize("button", ["pause", "resume", "retry", "reproduce", "continue", "branch"])
def test_verbs_of_an_unknown_run_are_not_found(reader: Client, button: str) -> None:
    assert press(reader, button, "nosuchrun").status_code == 404


def branch_form(reader: Client, run: Run, **query: str) -> HttpResponse:
    """Open the form of a branch."""
    return reader.get(reverse("run-branch", args=[run.pk]), query)  # type: ignore[return-value]


def branch(reader: Client, run: Run, **fields: str) -> HttpResponse:
    """Send the form of a branch."""
    filled = {"at": "last", "total_timesteps": "512", **fields}
    return reader.post(reverse("run-branch", args=[run.pk]), filled)  # type: ignore[return-value]


def test_blank_fields_of_a_branch_show_what_the_parent_has(reader: Client, parent: Run) -> None:
    html = branch_form(reader, parent).content.decode()
    assert 'placeholder="64 (parent)"' in html
    assert 'placeholder="CartPole-v1 (parent)"' in html
    assert ">true (parent)</option>" in html
    assert "hyperparameters.net_arch" not in html, "a checkpoint's networks keep their shape"


@pytest.mark.parametrize(("at", "total"), [("128", "256"), ("256", "512"), ("last", "512")])
def test_a_branch_starts_where_its_link_says(
    reader: Client, parent: Run, at: str, total: str
) -> None:
    html = branch_form(reader, parent, at=at).content.decode()
    assert f'<option value="{at}" selected>' in html
    assert f'name="total_timesteps" value="{total}"' in html


def test_every_checkpoint_links_to_its_branch(reader: Client, parent: Run) -> None:
    html = page(reader, parent, "run-checkpoints")
    for step in (128, 256):
        assert f"{reverse('run-branch', args=[parent.pk])}?at={step}" in html
    Run.objects.filter(pk=parent.pk).update(status=RunStatus.QUEUED)
    assert "/branch/" not in page(reader, parent, "run-checkpoints")


def test_a_filled_form_queues_a_branch(reader: Client, parent: Run) -> None:
    fields = {"at": "best", "seed": "9", "hyperparameters.learning_rate": "0.001", "name": "mine"}
    response = branch(reader, parent, **fields)
    child = parent.children.get()
    assert response["Location"] == child.get_absolute_url()
    assert (child.name, child.seed, child.total_timesteps) == ("mine", 9, 512)
    assert (child.relation, child.parent_step) == (Relation.BRANCH, 128)
    given = {**parent.spec["hyperparameters"], "learning_rate": 0.001}
    assert child.spec["hyperparameters"] == given, "blank keeps the parent's"
    assert child.experiment == parent.experiment


def test_a_branch_normalises_what_is_chosen_and_keeps_the_rest(
    reader: Client, parent: Run
) -> None:
    normalize = RunSpec.from_dict({"normalize": {"clip_obs": 5}}).normalize
    assert normalize is not None
    Run.objects.filter(pk=parent.pk).update(spec={**parent.spec, "normalize": normalize})
    parent.refresh_from_db()
    assert "both (parent)" in branch_form(reader, parent).content.decode()
    branch(reader, parent, normalize="observations")
    child = parent.children.get()
    assert child.spec["normalize"] == {**normalize, "norm_reward": False}
    html = page(reader, child)
    assert "<dt>Normalised</dt>" in html
    assert "observations and rewards" in html, "the parent's, among the differences"


def test_the_arguments_of_another_environment_stay_behind(reader: Client, parent: Run) -> None:
    spec = {**parent.spec, "environment_kwargs": {"sutton_barto_reward": True}}
    Run.objects.filter(pk=parent.pk).update(spec=spec)
    branch(reader, parent, environment="Acrobot-v1")
    assert parent.children.get().spec["environment_kwargs"] == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", "999"),
        ("total_timesteps", "256"),
        ("total_timesteps", "many"),
        ("seed", "-1"),
        ("environment", "No Such!"),
        ("name", "n" * 121),
        ("hyperparameters.gamma", "1.5"),
        ("hyperparameters.normalize_advantage", "perhaps"),
    ],
)
def test_a_refused_branch_says_why_beside_the_field(
    reader: Client, parent: Run, field: str, value: str
) -> None:
    response = branch(reader, parent, **{field: value, "experiment": "kept"})
    assert response.status_code == 422
    assert [*response.context["form"].errors] == [field]  # type: ignore[attr-defined]
    assert b'value="kept"' in response.content
    assert not parent.children.exists()


def test_a_checkpoint_that_is_not_there_is_told(reader: Client, parent: Run) -> None:
    assert b"It has no checkpoint 99" in branch_form(reader, parent, at="99").content


def test_there_is_nothing_to_branch_from_a_run_without_a_checkpoint(reader: Client) -> None:
    response = reader.get(reverse("run-branch", args=[make_run().pk]), follow=True)
    assert b"no checkpoint to branch from" in response.content


def test_an_active_run_is_not_branched(reader: Client) -> None:
    run = running()
    give_checkpoint(run, 64)
    response = reader.get(reverse("run-branch", args=[run.pk]), follow=True)
    assert b"stop or pause it first" in response.content
    refused = branch(reader, run)
    assert refused.status_code == 409
    assert b"stop or pause it first" in refused.content


def test_parent_and_child_show_each_other_and_what_changed(reader: Client, parent: Run) -> None:
    branch(reader, parent, at="128", **{"hyperparameters.learning_rate": "0.001"})
    child = parent.children.get()
    html = page(reader, child)
    assert f'Branch of <a href="{parent.get_absolute_url()}">parent</a> at step 128' in html
    changed = [one.label for one in reader.get(child.get_absolute_url()).context["differences"]]
    assert changed == ["total_timesteps", "learning_rate"]
    html = page(reader, parent, "run-lineage")
    assert child.get_absolute_url() in html
    assert "Branch from step 128" in html
    assert "<code>learning_rate</code> 0.0003 → 0.001" in html
    assert "slow-tick" in html, "an active child is watched"


def test_a_run_with_no_relatives_says_so(reader: Client, finished: Run) -> None:
    assert "It came from no other run" in page(reader, finished, "run-lineage")


def test_a_child_outlives_its_parent(reader: Client, parent: Run) -> None:
    press(reader, "retry", parent.pk)
    child = parent.children.get()
    parent.delete()
    assert "Retry of a run that was deleted" in page(reader, child)


def test_a_first_attempt_has_no_fidelity(reader: Client, finished: Run) -> None:
    assert "fidelity" not in page(reader, finished, "run-header")


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_the_header_tells_how_exactly_a_run_went_on(reader: Client, fidelity: str) -> None:
    run = running(fidelity=fidelity, fidelity_notes={"replay buffer": "it is <gone>"})
    html = page(reader, run, "run-header")
    assert f"badge-{fidelity}" in html
    assert FIDELITIES[fidelity] in html
    assert "<dt>replay buffer</dt><dd>it is &lt;gone&gt;</dd>" in html


def test_the_timeline_tells_of_attempts_and_of_what_was_lost(reader: Client) -> None:
    run = running()
    run.directory.append(
        events.attempt(20480, 2, "exact"),
        events.attempt(30000, 3, "warm", {"environment state": "it has none"}),
    )
    html = page(reader, run, "run-timeline")
    assert "Attempt 2 from step 20,480:" in html
    assert "badge-exact" in html
    assert "Attempt 3 from step 30,000:" in html
    assert "environment state: it has none" in html


def test_a_run_that_goes_on_by_itself_says_why_it_waits(reader: Client) -> None:
    reason = "Its worker vanished. It goes on by itself (1 of 3)."
    run = make_run(status=RunStatus.QUEUED, attempt=1, status_reason=reason)
    html = page(reader, run)
    assert reason in html


def test_the_list_marks_children_and_filters_what_is_paused(reader: Client, parent: Run) -> None:
    make_run(status=RunStatus.PAUSED, name="waiting", finished_at=timezone.now() - timedelta(1))
    branch(reader, parent, at="128")
    html = reader.get("/runs/").content.decode()
    assert html.count('class="relation"') == 1
    assert 'title="branch of parent at step 128"' in html
    html = reader.get("/runs/", {"status": "paused"}).content.decode()
    assert "waiting" in html
    assert "parent" not in html


def test_relatives_are_compared_at_the_same_step(reader: Client, parent: Run) -> None:
    def log(run: Run, returns: dict[int, float]) -> None:
        key = "rollout/ep_rew_mean"
        run.directory.append(*(events.metrics(s, {key: value}) for s, value in returns.items()))

    log(parent, {100: 10.0, 200: 20.0, 256: 90.0})
    child = make_run(
        name="child",
        parent=parent,
        parent_step=100,
        relation="branch",
        step=210,
        return_last=33.0,
        return_best=44.0,
    )
    log(child, {150: 25.0, 200: 33.0})
    assert "return at step 210: 33, the parent&#x27;s there 20" in page(reader, child).replace(
        "'", "&#x27;"
    )
    told = page(reader, parent, "run-lineage").replace("'", "&#x27;")
    assert "return 33 at step 210, this run&#x27;s there 20" in told
    Run.objects.filter(pk=child.pk).update(step=1000)
    assert "return at step 256, where the parent ended: 33," in page(reader, child)
    assert "33 at step 1,000, beyond this run" in page(reader, parent, "run-lineage")
    later = make_run(name="later", parent=parent, parent_step=256, relation="continue", step=300)
    log(later, {300: 5.0})  # Nothing of its own is told where the parent ended.
    assert "the parent's there" not in page(reader, later)
