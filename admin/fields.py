"""Field types of the API's payloads."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.payload import refusing
from wire import plain, problems, times
from wire.literals import moment_ms
from wire.plain import Flaw

T = TypeVar("T")

_NO_MOMENT = Flaw(
    "invalid_timestamp", "Give a date and time with its offset, like 2026-12-01T09:00:00Z, in the years 1970 to 9999."
)
_BLANK = Flaw("blank", "Give something other than spaces.")
_DUPLICATE = Flaw("duplicate", "Name each thing only once.")


def _blank_flaw(text: str) -> Flaw | None:
    return None if text.strip() else _BLANK


def _moment(value: Any) -> int:
    found = moment_ms(value) if isinstance(value, str) and "T" in value else None
    if found is None or not 0 <= found <= times.LATEST_MS:
        raise PydanticCustomError(_NO_MOMENT.code, _NO_MOMENT.message)
    return found


def read_id(value: object) -> UUID | None:
    """The id in its usual form of 36 characters, None for anything else."""
    try:
        found = UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if str(found) == str(value).lower() else None


def _id(value: Any) -> UUID:
    found = read_id(value)
    if found is None:
        raise PydanticCustomError(problems.NO_UUID.code, problems.NO_UUID.message)
    return found


def _duplicate_flaw(values: Sequence[T]) -> Flaw | None:
    return _DUPLICATE if len(set(values)) < len(values) else None


Sound = refusing(plain.text_flaw)
"""Text that Postgres and every reader can hold."""
NotBlank = refusing(_blank_flaw)
Unique = refusing(_duplicate_flaw)
Name = Annotated[str, Field(min_length=1, max_length=200), Sound, NotBlank]
Moment = Annotated[int, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
"""ISO 8601 with offset outside, ms since the epoch inside."""
Id = Annotated[UUID, BeforeValidator(_id), WithJsonSchema({"type": "string", "format": "uuid"})]
