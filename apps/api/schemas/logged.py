"""Runs that a script outside tells of."""

from typing import Any

from ninja import Field, Schema
from pydantic import BaseModel, ConfigDict

from apps.api.schemas.fields import documented, name_field
from apps.spec.logged import LOGGED_BOUNDS, MAX_BYTES


class LoggedRunIn(BaseModel):
    """What an outside script says of its run. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field("", description="Of the script's own making: told again, no second run.")
    name: Any = name_field("run", "Empty: made from the rest.")
    experiment: Any = name_field("experiment", "Made when it is new.")
    algorithm: Any = documented("string", "In the script's words.", maxLength=40)
    environment: Any = documented("string", "In the script's words.", maxLength=200)
    seed: Any = documented("integer", "Default: the config's seed.", LOGGED_BOUNDS["seed"])
    total_timesteps: Any = documented(
        "integer", "Steps that it means to do.", LOGGED_BOUNDS["total_timesteps"]
    )
    config: Any = documented("object", f"Whatever it was called with, {MAX_BYTES} bytes at most.")
    host: str = Field("", description="Where it runs: its death on this machine shows at once.")
    pid: int = Field(0, ge=0, lt=2**31, strict=True, description="Its process there.")
    provenance: dict[str, Any] = Field(
        default_factory=dict, description="Command, versions, commit; as config."
    )

    def spec(self) -> dict[str, Any]:
        """Return the given fields of the spec."""
        names = {"algorithm", "environment", "seed", "total_timesteps", "config"}
        return self.model_dump(exclude_unset=True, include=names)


class FinishIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: str = Field(
        "completed", json_schema_extra={"enum": ["completed", "failed", "stopped"]}
    )
    reason: str = Field("", description="Why, in one line of at most 500 characters.")
    error: str = Field("", description="The traceback of what ended it, 20,000 characters.")


class Receipt(Schema):
    """What became of a batch of rows."""

    taken: int = Field(description="Rows that were new; they are in the log.")
    repeated: int = Field(description="Rows that had been received before.")
    refused: int
    backward: int = Field(description="Rows taken whose step is less than one before them.")
    stop: str | None = Field(description="Why the script is asked to end; null: it is not.")
