"""Bases and field types of the API's payloads and answers: strict, camelCase, nothing unknown."""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, PydanticUseDefault, core_schema
from pydantic_core.core_schema import ValidationInfo

from wire import plain
from wire.literals import moment_ms

T = TypeVar("T")

_LATEST_MS = 253_402_300_799_999
"""The end of the year 9999."""


class Payload(BaseModel):
    """What a client sends. A null means the same as leaving the field out."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel, frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_default(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[str(info.field_name)]
        if value is None and not field.is_required() and field.get_default(call_default_factory=True) is not None:
            raise PydanticUseDefault
        return value


class Answer(BaseModel):
    """What the API gives back."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Envelope(BaseModel, Generic[T]):
    """Every success of this API."""

    success: Literal[True] = True
    data: T


class Page(Answer, Generic[T]):
    """`nextCursor` null: this was the last page."""

    items: list[T]
    next_cursor: str | None


class Deleted(Answer):
    id: UUID


class Unread:
    """`Annotated[Any, Unread(Model)]`: documented as the model, handed to the route as it came."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema()

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self.model.__pydantic_core_schema__)


def _sound_text(text: str) -> str:
    if found := plain.text_flaw(text):
        raise PydanticCustomError(found.code, found.message)
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must have something other than spaces")
    return text


def _moment(value: Any) -> int:
    found = moment_ms(value) if isinstance(value, str) and "T" in value else None
    if found is None or not 0 <= found <= _LATEST_MS:
        raise PydanticCustomError(
            "invalid_time", "must be a time with its offset, like 2026-12-01T09:00:00Z, from 1970 to 9999"
        )
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
        raise PydanticCustomError("invalid_id", "must be an id, a UUID")
    return found


def _unique(values: Sequence[T]) -> Sequence[T]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("duplicate", "must not name the same thing twice")
    return values


Sound = AfterValidator(_sound_text)
"""Text that Postgres and every reader can hold."""
NotBlank = AfterValidator(_not_blank)
Unique = AfterValidator(_unique)
Name = Annotated[str, Field(min_length=1, max_length=200), Sound, NotBlank]
Moment = Annotated[int, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
"""ISO 8601 with offset outside, ms since the epoch inside."""
Id = Annotated[UUID, BeforeValidator(_id), WithJsonSchema({"type": "string", "format": "uuid"})]
