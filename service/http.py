"""The JSON envelope, and what `install_http` gives a FastAPI app: limits, request ids, access log, error answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.bodies import BodyLimit, StrictJson
from service.errors import ApiError, invalid_payload
from service.middleware import AccessLog, Failsafe, RequestId
from service.openapi import use_envelope_schema
from service.payload import payload_problems
from wire.problems import Problem

HTTP_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


INTERNAL_ERROR = ApiError(
    500, "internal_error", "Something went wrong on our side; quote the request id when reporting it."
)


def success(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`{"success":true,"data":…}`; pydantic models inside `data` are written by alias."""
    body = orjson.dumps({"success": True, "data": data}, default=_plain)
    return _json(body, status, headers)


def failure(
    status: int,
    code: str,
    message: str,
    *,
    details: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The failure envelope, with the request id bound to the running request."""
    return _json(failure_body(code, message, current_request_id(), details), status, headers)


def failure_body(code: str, message: str, request_id: str, details: Sequence[Problem] = ()) -> bytes:
    """`{"success":false,"error":{code,message,requestId,details:[{pointer,code,message}]}}` as JSON."""
    problems = [{"pointer": p.pointer, "code": p.code, "message": p.message} for p in details]
    error = {"code": code, "message": message, "requestId": request_id, "details": problems}
    return orjson.dumps({"success": False, "error": error})


def current_request_id() -> str:
    """The id of the request being answered; empty outside one."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


def install_http(
    app: FastAPI,
    *,
    max_body_bytes: int,
    body_limits: Mapping[str, int] | None = None,
    strict_json: bool = True,
    quiet: bool = False,
) -> None:
    """Adds everything shared to `app`. Call it before adding other middleware (CORS), which then
    stands outside. `body_limits`: path suffix → bytes, first match wins over `max_body_bytes`.
    `strict_json` false: the app reads its bodies itself. `quiet`: answers below 500 are logged at debug."""
    if strict_json:
        app.add_middleware(StrictJson, refuse=_invalid_json)
    app.add_middleware(BodyLimit, max_body_bytes=max_body_bytes, body_limits=body_limits or {}, refuse=_too_large)
    app.add_middleware(Failsafe, answer=_internal_error)
    app.add_middleware(AccessLog, quiet=quiet)
    app.add_middleware(RequestId)
    app.exception_handlers.update(_HANDLERS)
    use_envelope_schema(app)


def _json(body: bytes, status: int, headers: Mapping[str, str] | None) -> Response:
    return Response(body, status, headers=headers, media_type="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _too_large(limit_bytes: int) -> Response:
    return failure(413, "payload_too_large", f"The body is larger than {limit_bytes} bytes.")


def _internal_error() -> Response:
    return _respond(INTERNAL_ERROR)


def _respond(error: ApiError) -> Response:
    return failure(error.status, error.code, error.message, details=error.details, headers=error.headers)


async def _on_api_error(_request: Request, error: ApiError) -> Response:
    return _respond(error)


async def _on_http_exception(_request: Request, error: HTTPException) -> Response:
    if error.status_code == 400 and isinstance(error.__cause__, RecursionError):
        return _invalid_json()
    code = HTTP_CODES.get(error.status_code, "http_error")
    return failure(error.status_code, code, str(error.detail), headers=error.headers)


async def _on_invalid_request(_request: Request, error: RequestValidationError) -> Response:
    if isinstance(error.body, bytes):
        return failure(415, "unsupported_media_type", "Send the body as JSON, with Content-Type: application/json.")
    return _respond(invalid_payload(payload_problems(error.errors(), error.body)))


def _invalid_json() -> Response:
    return failure(400, "invalid_json", "The body is not valid JSON.")


_HANDLERS: dict[Any, Any] = {
    ApiError: _on_api_error,
    HTTPException: _on_http_exception,
    RequestValidationError: _on_invalid_request,
}
