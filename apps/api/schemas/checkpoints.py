"""Checkpoints, and what of them can be downloaded."""

from datetime import datetime

from ninja import Field, Schema


class CheckpointOut(Schema):
    step: int
    size_bytes: int
    is_best: bool
    created_at: datetime


class Checkpoints(Schema):
    checkpoints: list[CheckpointOut]


class DownloadFile(Schema):
    name: str
    size_bytes: int
    sha256: str
    url: str = Field(description="Where it is served; honours Range.")


class DownloadOut(Schema):
    run: str
    step: int
    files: list[DownloadFile]
    script: str = Field(description="`load.py`: it plays what lies beside it.")
