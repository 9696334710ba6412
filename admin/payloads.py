"""What clients send: strict, camelCase, nothing unknown; read with every problem at once."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticUseDefault, core_schema
from pydantic_core.core_schema import ValidationInfo

from service.errors import ApiError, invalid_payload
from service.payload import payload_problems
from wire.problems import NO_OBJECT, Problem

M = TypeVar("M", bound=BaseModel)


class Payload(BaseModel):
    """A null means the same as leaving the field out."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel, frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_default(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[str(info.field_name)]
        if value is None and not field.is_required() and field.get_default(call_default_factory=True) is not None:
            raise PydanticUseDefault
        return value


class Unread:
    """`Annotated[Any, Unread(Model)]`: documented as the model, handed to the route as it came."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema()

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self.model.__pydantic_core_schema__)


def read(model: type[M], payload: object, *found: Iterable[Problem]) -> M:
    """Raises ApiError 422 with the problems of the shape, which pydantic sees, and those that were `found` besides."""
    problems = [*shape_problems(model, payload), *(problem for some in found for problem in some)]
    if problems:
        raise invalid_payload(problems)
    return model.model_validate(payload)


def shape_problems(model: type[BaseModel], payload: object) -> list[Problem]:
    try:
        model.model_validate(payload)
    except ValidationError as error:
        return payload_problems(error.errors(include_url=False, include_input=False), payload)
    return []


def json_object(payload: object) -> Mapping[str, Any]:
    """The payload, if it is a JSON object. Raises ApiError 415 for a body that was not sent as JSON, 422 for others."""
    if isinstance(payload, bytes):
        raise ApiError(415, "unsupported_media_type", "Send the body as JSON, with Content-Type: application/json.")
    if not isinstance(payload, dict):
        raise invalid_payload([Problem("", *NO_OBJECT)])
    return payload
