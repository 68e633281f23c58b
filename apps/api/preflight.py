"""The check before a run: can a spec be trained here, and how long would it take?"""

from typing import Any

from django.http import HttpRequest
from ninja import Router

from apps.api.problems import responses
from apps.api.schemas.preflight import PreflightOut
from apps.api.schemas.runs import RunIn
from apps.jobs.verbs import weights
from apps.jobs.verbs.preflight import preflight

router = Router()


@router.post("/preflight", response=responses({200: PreflightOut}, is_write=True))
def check_run(request: HttpRequest, data: RunIn) -> Any:
    """Check a spec without making a run: takes the body of `POST /runs`, and some seconds.

    What is wrong with the environment is among the findings of a 200; 422 refuses the spec itself.
    """
    return preflight(data.spec(), weights.given(data.init)).as_dict()
