"""Bases of what the API gives back: camelCase, in one envelope."""

from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

T = TypeVar("T")


class Answer(BaseModel):
    """What the API gives back."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


def example(**fields: Any) -> ConfigDict:
    """The `model_config` of a model whose JSON looks like this."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Envelope(BaseModel, Generic[T]):
    """Every success of this API."""

    success: Literal[True] = True
    data: T


class Page(Answer, Generic[T]):
    """`nextCursor` null: this was the last page."""

    items: list[T]
    next_cursor: str | None


class Deleted(Answer):
    model_config = example(id="019b7f5e-0000-7000-8000-000000000001")

    id: UUID
