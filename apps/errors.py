"""The errors that the engine raises; each says what was wrong, what is allowed, what to do."""

from dataclasses import dataclass


class EngineError(Exception):
    """Anything that the engine refuses or fails at, in words meant for a user."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field of a spec.

    Attributes:
        field: Name of the field, dotted for hyperparameters (`hyperparameters.learning_rate`).
        message: What is wrong with the value and what is allowed.
    """

    field: str
    message: str


class InvalidSpec(EngineError):
    """A spec with one or more refused fields; `errors` lists all of them."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__(
            "; ".join(
                f"{error.field}: {error.message}" if error.field else error.message
                for error in errors
            )
        )


class UnknownEnvironment(EngineError):
    """No such environment, or the package that holds it is not installed."""


class RunDirectoryError(EngineError):
    """The run directory is missing, damaged, or not in the state the caller needs."""


class RunDirectoryBusy(RunDirectoryError):
    """Another process holds the run directory's lock."""


class DiskFull(EngineError):
    """A write was cut short; what had been written before is intact."""


class DamagedCheckpoint(EngineError):
    """A checkpoint's files do not match its manifest."""


class RefusedFile(EngineError):
    """A file that somebody else wrote is not what it should be, or not safe to read."""


class FilmFailed(EngineError):
    """An evaluation is fine but its film could not be made."""


class Diverged(EngineError):
    """The policy's outputs are not numbers any more: training on would be in vain."""


class NotFinite(Diverged):
    """A reward, an observation or a weight is NaN or infinite; the message names it."""
