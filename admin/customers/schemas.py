from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, WithJsonSchema

from admin.answers import Answer, example
from admin.fields import Sound
from admin.paging import PageQuery
from admin.payloads import Payload
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


_CUSTOMER: dict[str, Any] = {
    "userId": "ada",
    "traits": {"plan": "free", "exports": 14},
    "createdAt": "2026-11-03T10:20:30.000Z",
    "lastSeenAt": "2026-12-01T09:00:00.000Z",
}


class CustomerTraits(Payload):
    """Merged into what is known already, trait by trait."""

    model_config = example(traits={"plan": "free", "exports": 14})

    traits: Annotated[dict[str, Any], _TRAITS] = Field(default_factory=dict)


class Import(Payload):
    model_config = example(
        customers=[
            {"userId": "ada", "traits": {"plan": "free", "exports": 14}},
            {"userId": "grace", "traits": {"plan": "pro"}},
        ]
    )

    customers: Annotated[list[Annotated[Any, _ITEM]], Field(max_length=MAX_IMPORT)]


class CustomerQuery(PageQuery):
    """`q`: how the id begins."""

    q: Annotated[str, Field(max_length=256), Sound] | None = None


class Customer(CustomerRef):
    """`lastSeenAt`: null for those who are known only because somebody entered them."""

    model_config = example(**_CUSTOMER)

    traits: dict[str, Any]
    created_at: str
    last_seen_at: str | None


class MessageSeen(Answer):
    message_id: UUID
    name: str
    impressions: int
    clicks: int
    dismissals: int
    last_impression_at: str | None
    converted_at: str | None


class AudienceRef(Answer):
    id: UUID
    name: str


class RecentEvent(Answer):
    type: str
    occurred_at: str
    received_at: str
    properties: dict[str, Any]


class CustomerDetails(Customer):
    """`aliases`: the anonymous ids that the user was known by before; `messages`: the 200 newest; `recentEvents`: 50.

    `audiences`: those that the customer is in at this moment; of those in `preparing` nobody can tell yet.
    """

    model_config = example(
        **_CUSTOMER,
        aliases=["1f6c9a3e"],
        audiences=[{"id": "019b7f5e-0000-7000-8000-00000000000a", "name": "Free plan, exports a lot"}],
        preparing=[],
        recentEvents=[
            {
                "type": "report.exported",
                "occurredAt": "2026-12-01T09:00:00.000Z",
                "receivedAt": "2026-12-01T09:00:00.120Z",
                "properties": {"pages": 12},
            }
        ],
        messages=[
            {
                "messageId": "019b7f5e-0000-7000-8000-000000000001",
                "name": "Upgrade nudge",
                "impressions": 2,
                "clicks": 1,
                "dismissals": 0,
                "lastImpressionAt": "2026-12-01T09:00:00.000Z",
                "convertedAt": None,
            }
        ],
    )

    aliases: list[str]
    audiences: list[AudienceRef]
    preparing: list[AudienceRef]
    recent_events: list[RecentEvent]
    messages: list[MessageSeen]


class Accepted(Answer):
    """Taken in; it is applied as soon as possible."""

    accepted: bool = True


class Erased(Answer):
    model_config = example(userId="ada")

    user_id: str
