"""Reading a payload with every problem at once: pydantic's about its shape, and those that only we can see."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from service.errors import ApiError, invalid_payload
from service.payload import payload_problems
from wire.problems import Problem

M = TypeVar("M", bound=BaseModel)


def read(model: type[M], payload: object, *found: Iterable[Problem]) -> M:
    """Raises ApiError 422 with the problems of the shape and those that were `found` besides."""
    problems = [*shape_problems(model, payload), *(problem for some in found for problem in some)]
    if problems:
        raise invalid_payload(problems)
    return model.model_validate(payload)


def shape_problems(model: type[BaseModel], payload: object) -> list[Problem]:
    try:
        model.model_validate(payload)
    except ValidationError as error:
        return payload_problems(error.errors(include_url=False, include_context=False, include_input=False), payload)
    return []


def json_object(payload: object) -> Mapping[str, Any]:
    """The payload, if it is a JSON object. Raises ApiError 415 for a body that was not sent as JSON, 422 for others."""
    if isinstance(payload, bytes):
        raise ApiError(415, "unsupported_media_type", "Send the body as JSON, with Content-Type: application/json.")
    if not isinstance(payload, dict):
        raise invalid_payload([Problem("", "not_an_object", "The body must be a JSON object.")])
    return payload
