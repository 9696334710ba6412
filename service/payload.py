"""Request bodies: strict JSON in, pydantic's findings out as problems that never repeat the input."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import orjson
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from wire.problems import Problem, child_pointer

MAX_PROBLEMS = 1000
"""More than a person can use; bounds the answer to a hostile body."""

_OWN_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "union_tag_invalid": "is not one of the known kinds",
    "uuid_parsing": "must be a UUID",
}
"""Shorter than pydantic's, or instead of those of pydantic's that quote the input."""


class _StrictRequest(Request):
    async def json(self) -> Any:
        """RFC 8259 only: UTF-8, no NaN, no lone surrogates, at most 1,024 levels. Raises json.JSONDecodeError."""
        return orjson.loads(await self.body())


class StrictJsonRoute(APIRoute):
    """`APIRouter(route_class=StrictJsonRoute)`: bodies are read by orjson."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


def payload_problems(errors: Sequence[Any], body: Any) -> list[Problem]:
    """pydantic's errors as problems, without duplicates. Pointers start at the body's root; a parameter's is
    `/query/limit`, `/path/id` or `/header/x-name`."""
    problems = dict.fromkeys(_problem(error, body) for error in errors[:MAX_PROBLEMS])
    return list(problems)


def _problem(error: Mapping[str, Any], body: Any) -> Problem:
    kind, loc = str(error["type"]), tuple(error["loc"])
    steps = _in_body(loc[1:], body, kind) if loc[:1] == ("body",) else loc
    message = _OWN_MESSAGES.get(kind) or str(error["msg"]).removeprefix("Value error, ")
    return Problem(child_pointer("", *steps), kind, message)


def _in_body(loc: tuple[Any, ...], body: Any, kind: str) -> list[Any]:
    """pydantic's location without the names of union members, which the body does not contain."""
    steps: list[Any] = []
    for step in loc:
        if (isinstance(body, Mapping) and step in body) or (isinstance(body, list) and isinstance(step, int) and step < len(body)):
            body = body[step]
        elif not (kind == "missing" and step is loc[-1]):
            continue
        steps.append(step)
    return steps
