"""The machine, and whether the server is up."""

from typing import Literal

from ninja import Field, Schema


class System(Schema):
    workers: int
    slots: int = Field(description="Runs that the workers train at once, together.")
    queued: int
    running: int
    cpu_fraction: float | None
    memory_fraction: float | None
    disk_free_bytes: int
    disk_fraction: float
    is_worker_missing: bool = Field(description="Something waits and no worker is there to do it.")


class Health(Schema):
    status: Literal["ok"]
    version: str
    instance: str = Field(description="Name of the `up` that started it; empty without one.")
