"""What the SDK-facing functions take and give: bytes in, (status, body, headers) out."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from service.errors import ApiError

JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str] = JSON


def read_json(body: bytes) -> Any:
    """Lone surrogates are let through, so that they spoil only the event in which they are. Raises ApiError (400)."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_leniently(body)


def _read_leniently(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ApiError(400, "invalid_json", "The body is not valid JSON.") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
