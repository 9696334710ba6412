"""Answers that several resources give."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.responses import Response

from service.errors import ApiError, invalid_payload
from service.http import failure
from service.logs import one_line
from wire.problems import Problem

log = structlog.get_logger("admin")

_DEADLOCK = "40P01"


def not_found() -> ApiError:
    """The same for what does not exist and for what belongs to another org."""
    return ApiError(404, "not_found", "There is nothing here, or this key has no access to it.")


def refused(pointer: str, code: str, message: str) -> ApiError:
    """422 with one problem."""
    return invalid_payload([Problem(pointer, code, message)])


def conflict(code: str, message: str, details: Sequence[Problem] = ()) -> ApiError:
    return ApiError(409, code, message, details=details)


async def on_database_error(_request: Request, error: Exception) -> Response:
    """A database that is away, full or contended is a matter of time; anything else is a defect of ours."""
    if not _passes(error):
        raise error
    log.warning("database_unavailable", reason=one_line(error))
    return failure(
        503, "unavailable", "The database does not answer just now; try again.", headers={"Retry-After": "1"}
    )


def _passes(error: Exception) -> bool:
    if not isinstance(error, DBAPIError):
        return True
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return error.connection_invalidated or state == _DEADLOCK or state[:2] in ("08", "53", "57")


DATABASE_ERRORS: dict[Any, Any] = {
    DBAPIError: on_database_error,
    PoolTimeoutError: on_database_error,
    OSError: on_database_error,
}
