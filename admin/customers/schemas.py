from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field, WithJsonSchema

from admin.fields import Answer, Payload, Sound
from admin.paging import PageQuery
from admin.subjects import CustomerRef

MAX_IMPORT = 1_000

_TRAITS = WithJsonSchema(
    {"type": "object", "description": "up to 200; a value is any JSON, best a scalar; null takes the trait away"}
)
_ITEM = WithJsonSchema(
    {
        "type": "object",
        "required": ["userId"],
        "properties": {"userId": {"type": "string"}, "traits": {"type": "object"}},
        "additionalProperties": False,
    }
)


class CustomerTraits(Payload):
    """Merged into what is known already, trait by trait."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"traits": {"plan": "free", "exports": 14}}]})

    traits: Annotated[dict[str, Any], _TRAITS] = Field(default_factory=dict)


class Import(Payload):
    customers: Annotated[list[Annotated[Any, _ITEM]], Field(max_length=MAX_IMPORT)]


class CustomerQuery(PageQuery):
    """`q`: how the id begins."""

    q: Annotated[str, Field(max_length=256), Sound] | None = None


class Customer(CustomerRef):
    traits: dict[str, Any]
    created_at: str
    last_seen_at: str


class MessageSeen(Answer):
    message_id: UUID
    name: str
    impressions: int
    clicks: int
    dismissals: int
    last_impression_at: str | None


class CustomerDetails(Customer):
    """`aliases`: the anonymous ids that the user was known by before; `messages`: the 200 newest."""

    aliases: list[str]
    messages: list[MessageSeen]


class Accepted(Answer):
    """Taken in; it is applied as soon as possible."""

    accepted: bool = True


class Erased(Answer):
    user_id: str
