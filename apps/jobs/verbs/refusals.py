"""What a verb refuses, in words."""

from apps.experiments.models import Run


class Refused(Exception):
    """A verb cannot do what was asked now; the message says why and what to do."""


def refuse_logged(run: Run, what: str) -> None:
    """Refuse what only a run that is trained here can be.

    Raises:
        Refused: An outside script logs the run.
    """
    if run.is_logged:
        raise Refused(
            f"run {run.pk} cannot be {what}: a script outside does its work and only logs it here"
        )
