"""The API object that the URLs mount at `/api/v1/`."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, NoReturn, cast

import orjson
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI, Router
from ninja.errors import ValidationError, ValidationErrorContext
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from apps.accounts.authentication import reader_of
from apps.accounts.problems import PROBLEM_TYPE, problem, unauthorized
from apps.api import (
    catalogue,
    downloads,
    evaluations,
    experiments,
    lineage,
    logged,
    logs,
    preflight,
    runs,
    system,
    videos,
)
from apps.api.auth import AUTH
from apps.api.idempotency import PARAMETER, once
from apps.api.limits import WriteThrottle
from apps.api.problems import translate_errors
from apps.text import strict_json

DESCRIPTION = (
    "Queue training runs, watch them, evaluate and film their checkpoints. "
    "Every operation but `GET /health` needs a session (and writes its CSRF token), "
    "or an API token."
)


View = Callable[..., HttpResponseBase]


class StrictJson(Parser):
    """Parses JSON only: no NaN, no Infinity, no key twice."""

    def parse_body(self, request: HttpRequest) -> Any:
        return strict_json.loads(request.body)


class Json(BaseRenderer):
    """Renders JSON that every parser takes: NaN and Inf become null, times end in Z."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return orjson.dumps(data, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS, default=str)


class Api(NinjaAPI):
    """Ninja's API, with problem documents where Ninja or Django would redirect or answer text."""

    # Names of the pages that Ninja adds by itself.
    SCHEMA: ClassVar[str] = "openapi-json"
    DOCS: ClassVar[str] = "openapi-view"

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        patterns = super()._get_urls()
        for pattern in patterns:
            assert isinstance(pattern, URLPattern)
            if pattern.name == self.SCHEMA:
                pattern.callback = _for_programs(_readers_only(pattern.callback))
            elif pattern.name != self.DOCS:  # A page for people: they are sent to the login form.
                pattern.callback = _for_programs(pattern.callback)
        return patterns

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        for operations in schema["paths"].values():
            for method, operation in operations.items():
                _declare_problems(operation["responses"])
                if method == "post":
                    operation["parameters"] = [*operation.get("parameters", ()), PARAMETER]
        return schema

    def validation_error_from_error_contexts(
        self, error_contexts: list[ValidationErrorContext[Any]]
    ) -> ValidationError:
        """Keep the refused values, which Ninja drops: a refusal names them."""
        errors = []
        for context in error_contexts:
            flattened = context.model.__ninja_flatten_map_reverse__
            for error in context.pydantic_validation_error.errors(include_url=False):
                place = flattened.get(error["loc"], error["loc"])
                errors.append({**error, "loc": (context.model.__ninja_param_source__, *place)})
        return ValidationError(errors)


def _declare_problems(responses: dict[int, Any]) -> None:
    for status, response in responses.items():
        if status >= 400 and "content" in response:
            response["content"] = {PROBLEM_TYPE: response["content"].popitem()[1]}


def _for_programs(view: View) -> View:
    """Let a view answer programs: never a redirect to a login form, problems in place of text."""
    if inspect.iscoroutinefunction(view):

        @wraps(view)
        async def answer_async(
            request: HttpRequest, *args: Any, **kwargs: Any
        ) -> HttpResponseBase:
            return _as_problem(await view(request, *args, **kwargs))

        return cast(View, login_not_required(answer_async))

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return once(request, lambda: _as_problem(view(request, *args, **kwargs)))
        except Http404 as error:
            return problem(404, str(error))

    return login_not_required(answer)


def _as_problem(response: HttpResponseBase) -> HttpResponseBase:
    if response.status_code != 405:
        return response
    allow = response["Allow"]
    return problem(405, f"Allowed here: {allow}.", headers={"Allow": allow})


def _readers_only(view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if reader_of(request) is None:
            return unauthorized()
        return view(request, *args, **kwargs)

    return guarded


unmatched = Router()


@unmatched.api_operation(
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    "/{path:rest}",
    include_in_schema=False,
)
def unknown_address(request: HttpRequest, rest: str) -> NoReturn:
    """Answer whatever no operation does."""
    raise Http404(f"{request.path} is not an address of this API; /api/v1/docs lists them.")


api = Api(
    title="rlgym",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    auth=AUTH,
    throttle=WriteThrottle(),
    parser=StrictJson(),
    renderer=Json(),
)
translate_errors(api)
api.add_router("/runs", preflight.router, tags=["runs"])  # Before addresses of one run.
api.add_router("/runs", logged.router, tags=["logged runs"])  # "logged" is no run id.
api.add_router("/runs", runs.router, tags=["runs"])
api.add_router("/runs", downloads.router, tags=["runs"])
api.add_router("/runs", lineage.router, tags=["runs"])
api.add_router("/runs", evaluations.router, tags=["evaluations"])
api.add_router("/evaluations", evaluations.of_all_runs, tags=["evaluations"])
api.add_router("/runs", logs.router, tags=["logs"])
api.add_router("/videos", videos.router, tags=["videos"])
api.add_router("/experiments", experiments.router, tags=["experiments"])
api.add_router("", catalogue.router, tags=["catalogue"])
api.add_router("", system.router, tags=["system"])
api.add_router("", unmatched)  # The last: it matches everything.
