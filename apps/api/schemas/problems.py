"""Why a request was refused."""

from ninja import Field, Schema

from apps.api.schemas.logged import Receipt


class FieldProblem(Schema):
    field: str
    message: str
    row: int | None = Field(None, description="Which row of a batch, the first being 0.")


class Problem(Schema):
    """Why a request was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] | None = Field(None, description="Every refused field (422).")
    receipt: Receipt | None = Field(None, description="What became of a batch's other rows.")
    legal_moves: list[str] | None = Field(None, description="Where the run may go (409).")
