"""A run's life: its statuses, and from which to which it may go."""

from django.db import models


class RunStatus(models.TextChoices):
    """Where a run is in its life."""

    DRAFT = "draft"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    PAUSED = "paused"
    LOST = "lost"


class RunKind(models.TextChoices):
    """Who does a run's work."""

    TRAINED = "trained"  # A trainer of ours, from a spec.
    LOGGED = "logged"  # A script outside, which tells what it does.


class JobStatus(models.TextChoices):
    """Where an evaluation or a film is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


PENDING = (JobStatus.QUEUED, JobStatus.RUNNING)


# From each status, where a run may go. `draft -> running` is a run trained in a terminal.
LEGAL_MOVES: dict[str, tuple[str, ...]] = {
    RunStatus.DRAFT: (RunStatus.QUEUED, RunStatus.RUNNING),
    RunStatus.QUEUED: (RunStatus.RUNNING, RunStatus.STOPPED),
    RunStatus.RUNNING: (
        RunStatus.COMPLETED,
        RunStatus.FAILED,
        RunStatus.STOPPED,
        RunStatus.PAUSED,
        RunStatus.LOST,
        RunStatus.QUEUED,  # Its worker ended or vanished; it goes on by itself.
    ),
    RunStatus.COMPLETED: (),
    RunStatus.FAILED: (RunStatus.QUEUED,),
    RunStatus.STOPPED: (RunStatus.QUEUED,),
    RunStatus.PAUSED: (RunStatus.QUEUED,),
    RunStatus.LOST: (RunStatus.QUEUED,),
}
# A logged run never waits: it runs until its script says how it ended or is silent for too long,
# and one that was given up runs again with the script's next word.
LOGGED_MOVES: dict[str, tuple[str, ...]] = {
    RunStatus.RUNNING: (
        RunStatus.COMPLETED,
        RunStatus.FAILED,
        RunStatus.STOPPED,
        RunStatus.LOST,
    ),
    RunStatus.COMPLETED: (),
    RunStatus.FAILED: (),
    RunStatus.STOPPED: (),
    RunStatus.LOST: (
        RunStatus.RUNNING,
        RunStatus.COMPLETED,
        RunStatus.FAILED,
        RunStatus.STOPPED,
    ),
}
RESUMABLE_STATUSES = (RunStatus.FAILED, RunStatus.STOPPED, RunStatus.PAUSED, RunStatus.LOST)
ACTIVE_STATUSES = (RunStatus.QUEUED, RunStatus.RUNNING)


class Relation(models.TextChoices):
    """What a run is to the one it came from."""

    CONTINUE = "continue"
    BRANCH = "branch"
    RETRY = "retry"
    REPRODUCE = "reproduce"
    SEED = "seed"
    IMPORT = "import"


class IllegalMove(Exception):
    """A status change that the run's life does not allow; `legal` lists the statuses that are.

    A move that is open to a worker and not to whoever asked is not listed to him. One that came
    too late, since somebody else moved the run first, may well be legal now.
    """

    def __init__(
        self, status: str, wanted: str, legal: list[str], is_too_late: bool = False
    ) -> None:
        self.status = status
        self.wanted = wanted
        self.legal = legal if is_too_late else [move for move in legal if move != wanted]
        final = "none this way" if legal else "none: this is final"
        allowed = ", ".join(self.legal) or final
        is_open = wanted in self.legal
        words = "was moved by somebody else" if is_open else f"cannot become {wanted}"
        super().__init__(f"a run that is {status} {words}; legal moves: {allowed}")
