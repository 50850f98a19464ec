"""Every answer that is an error has OpenAI's form, so that its clients understand it; none shows a traceback."""

from __future__ import annotations

import difflib
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from danlu.core.errors import UserError

log = logging.getLogger("danlu.serve")

_KINDS = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}


class ApiError(Exception):
    """An error that the client is told about. `code` is for programs, `parameter` is what it is about."""

    def __init__(
        self, status: int, code: str, message: str, parameter: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        # It may quote what came, and that may be what UTF-8 cannot spell.
        self.message = message.encode("utf-8", "backslashreplace").decode("utf-8")
        self.parameter = parameter and parameter.encode("utf-8", "backslashreplace").decode("utf-8")
        self.headers = headers

    def body(self) -> dict[str, Any]:
        """The JSON the client gets."""
        kind = _KINDS.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.parameter, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, headers=self.headers)


class Overloaded(ApiError):
    """Too much is waiting; `seconds` is when it is worth trying again."""

    def __init__(self, what: str, seconds: int) -> None:
        message = f"The server is busy: {what}. Try again in {seconds} s."
        super().__init__(429, "overloaded", message, headers={"Retry-After": str(seconds)})


def from_exception(error: BaseException) -> ApiError:
    """What the client is told about `error`; a bug is logged here and said to be one, no more."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UserError):
        return ApiError(400, "invalid_request", str(error))
    log.error("A request failed.", exc_info=error)
    return ApiError(500, "internal_error", "The server failed on this request; its log says why.")


def install(app: FastAPI) -> None:
    """Make every error of `app` answer in this form."""

    async def on_error(_request: Request, error: Exception) -> JSONResponse:
        return from_exception(error).response()

    async def on_http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return from_http(error).response()

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return from_validation(request, error).response()

    app.add_exception_handler(ApiError, on_error)
    app.add_exception_handler(UserError, on_error)
    app.add_exception_handler(Exception, on_error)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)


def from_http(error: HTTPException) -> ApiError:
    """The framework's own errors: an unknown path, a wrong method, a body that is not UTF-8."""
    known = {
        400: ("invalid_json", "The body is not JSON in UTF-8."),
        404: ("not_found", "There is no such address; /docs lists all."),
        405: ("method_not_allowed", "This address does not take this method; /docs lists what does."),
    }
    code, message = known.get(error.status_code, ("http_error", str(error.detail)))
    return ApiError(error.status_code, code, message, headers=dict(error.headers) if error.headers else None)


def from_validation(request: Request, error: RequestValidationError) -> ApiError:
    """The first thing that is wrong with a body, in one sentence."""
    kind = request.headers.get("content-type", "")
    if "json" not in kind.lower():
        return ApiError(415, "not_json", f"Expected Content-Type: application/json, got {kind or 'none'!r}.")
    problem = error.errors()[0]
    # Of a value that may be of several types, pydantic's place goes on with the type: str, list[...].
    parts = [str(part) for part in problem["loc"][1:] if part != "str" and "[" not in str(part)]
    where = ".".join(parts) or None
    if problem["type"] == "json_invalid":
        return ApiError(400, "invalid_json", f"The body is not JSON: {problem['ctx']['error']} at {where}.")
    if problem["type"] == "extra_forbidden":
        return ApiError(400, "unknown_parameter", f"There is no parameter {where!r}.{_nearest(request, where)}", where)
    said = problem["msg"].removeprefix("Value error, ")
    return ApiError(400, "invalid_request", f"{where}: {said}." if where else f"{said}.", where)


def _nearest(request: Request, where: str | None) -> str:
    route = request.scope.get("route")
    field = getattr(route, "body_field", None)
    model = getattr(getattr(field, "field_info", None), "annotation", None)
    known = list(getattr(model, "model_fields", {}))
    near = difflib.get_close_matches(where or "", known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}." if known else ""
