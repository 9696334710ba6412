"""pydantic's findings as problems that never repeat the input."""

from collections.abc import Mapping, Sequence
from typing import Any

from wire.problems import Problem, child_pointer

MAX_PROBLEMS = 1000
MAX_POINTER_STEP_CHARS = 128
"""Both bound the answer to a hostile body, far beyond what a person can use."""

_OWN_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "model_type": "must be an object",
    "union_tag_invalid": "is not one of the known kinds",
    "uuid_parsing": "must be a UUID",
}
"""Shorter than pydantic's, or instead of those of pydantic's that quote the input."""


def payload_problems(errors: Sequence[Any], body: Any) -> list[Problem]:
    """pydantic's errors as problems, without duplicates. Pointers start at the body's root; a parameter's is
    `/query/limit`, `/path/id` or `/header/x-name`."""
    problems = dict.fromkeys(_problem(error, body) for error in errors[:MAX_PROBLEMS])
    return list(problems)


def _problem(error: Mapping[str, Any], body: Any) -> Problem:
    kind, loc = str(error["type"]), tuple(error["loc"])
    steps = _in_body(loc[1:], body, kind) if loc[:1] == ("body",) else loc
    message = _OWN_MESSAGES.get(kind) or str(error["msg"]).removeprefix("Value error, ")
    return Problem(child_pointer("", *(str(step)[:MAX_POINTER_STEP_CHARS] for step in steps)), kind, message)


def _in_body(loc: tuple[Any, ...], body: Any, kind: str) -> list[Any]:
    """pydantic's location without the names of union members, which the body does not contain."""
    steps: list[Any] = []
    for step in loc:
        if _contains(body, step):
            body = body[step]
            steps.append(step)
        elif kind == "missing" and step is loc[-1]:
            steps.append(step)
    return steps


def _contains(value: Any, step: Any) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, Mapping) and step in value
