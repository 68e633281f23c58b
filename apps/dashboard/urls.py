"""Addresses of the pages; those under `parts/` are pieces of a page that it fetches again."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path

from apps.dashboard.branch import views as branch
from apps.dashboard.checkpoint import views as checkpoint
from apps.dashboard.environments import views as environments
from apps.dashboard.evaluations import views as evaluations
from apps.dashboard.experiments import views as experiments
from apps.dashboard.login import views as login
from apps.dashboard.new_run import views as new_run
from apps.dashboard.overview import views as overview
from apps.dashboard.run import actions
from apps.dashboard.run import views as run
from apps.dashboard.runs import views as runs
from apps.dashboard.videos import views as videos

urlpatterns = [
    path("", overview.dashboard, name="dashboard"),
    path("parts/active/", overview.active, name="dashboard-active"),
    path("parts/recent/", overview.recent, name="dashboard-recent"),
    path("parts/machine/", overview.machine, name="dashboard-machine"),
    path("parts/video/", videos.latest, name="dashboard-video"),
    path("experiments/", experiments.experiment_list, name="experiment-list"),
    path("environments/", environments.environment_list, name="environment-list"),
    path("environments/<path:environment_id>/", environments.environment, name="environment"),
    path("videos/", videos.video_list, name="video-list"),
    path("login/", login.LoginPage.as_view(), name="login"),
    path("evaluations/", evaluations.evaluation_list, name="evaluation-list"),
    path("evaluations/parts/queue/", evaluations.queue, name="evaluation-queue"),
    path("evaluations/<int:evaluation_id>/cancel/", evaluations.cancel, name="evaluation-cancel"),
    path("login/<str:secret>/", login.login_link, name="login-link"),
    path("logout/", login_not_required(LogoutView.as_view(next_page="login")), name="logout"),
    path("runs/", runs.run_list, name="run-list"),
    path("runs/new/", new_run.new_run, name="run-new"),
    path("runs/<str:run_id>/", run.run, name="run"),
    path("runs/<str:run_id>/parts/header/", run.header, name="run-header"),
    path("runs/<str:run_id>/parts/actions/", run.actions, name="run-actions"),
    path("runs/<str:run_id>/parts/evaluations/", run.evaluations, name="run-evaluations"),
    path("runs/<str:run_id>/parts/video/", run.video, name="run-video"),
    path("runs/<str:run_id>/parts/checkpoints/", run.checkpoints, name="run-checkpoints"),
    path("runs/<str:run_id>/parts/timeline/", run.timeline, name="run-timeline"),
    path("runs/<str:run_id>/parts/lineage/", run.lineage, name="run-lineage"),
    path("runs/<str:run_id>/parts/log/", run.log, name="run-log"),
    path("runs/<str:run_id>/checkpoints/<str:at>/", checkpoint.checkpoint, name="run-checkpoint"),
    path("runs/<str:run_id>/start/", actions.start, name="run-start"),
    path("runs/<str:run_id>/stop/", actions.stop, name="run-stop"),
    path("runs/<str:run_id>/priority/", actions.prioritise, name="run-priority"),
    path("runs/<str:run_id>/save/", actions.save, name="run-save"),
    path("runs/<str:run_id>/pause/", actions.pause, name="run-pause"),
    path("runs/<str:run_id>/resume/", actions.resume, name="run-resume"),
    path("runs/<str:run_id>/retry/", actions.retry, name="run-retry"),
    path("runs/<str:run_id>/reproduce/", actions.reproduce, name="run-reproduce"),
    path("runs/<str:run_id>/continue/", actions.continue_run, name="run-continue"),
    path("runs/<str:run_id>/branch/", branch.branch, name="run-branch"),
    path("runs/<str:run_id>/evaluate/", actions.evaluate, name="run-evaluate"),
    path("runs/<str:run_id>/delete/", actions.delete, name="run-delete"),
    path("runs/<str:run_id>/restore/", actions.restore, name="run-restore"),
]
