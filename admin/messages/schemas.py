"""What a message is to its author. Rules that need more than one field are in `checks`."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from admin.answers import Answer, example
from admin.fields import Id, Moment, Name, NotBlank, Sound, Unique
from admin.paging import PageQuery
from admin.payloads import Payload
from service.payload import refusing
from wire.intake import event_type_flaw
from wire.message import (
    DEFAULT_GOAL_S,
    MAX_CAP_S,
    MAX_DELAY_S,
    MAX_GOAL_S,
    MAX_IMPRESSIONS,
    MessageType,
    Position,
    Stop,
    Theme,
    color_flaw,
    slot_flaw,
)

Status = Literal["draft", "preparing", "scheduled", "live", "paused", "ended", "archived"]

Title = Annotated[str, Field(min_length=1, max_length=200), Sound]
Body = Annotated[str, Field(min_length=1, max_length=4_000), Sound, NotBlank]
CtaText = Annotated[str, Field(min_length=1, max_length=80), Sound, NotBlank]
Url = Annotated[str, Field(min_length=1, max_length=2_048), Sound]
Anchor = Annotated[str, Field(min_length=1, max_length=256), Sound, NotBlank]
Color = Annotated[str, refusing(color_flaw), Field(description="#rgb or #rrggbb")]
Slot = Annotated[str, refusing(slot_flaw), Field(description="1 to 64 letters, digits and . _ : -")]
EventType = Annotated[str, refusing(event_type_flaw)]

_PATTERN = WithJsonSchema(
    {
        "type": ["object", "null"],
        "required": ["op", "value"],
        "properties": {
            "op": {"enum": ["eq", "contains", "starts_with", "ends_with", "glob"]},
            "value": {"type": "string"},
        },
        "additionalProperties": False,
    }
)
_WHERE = WithJsonSchema(
    {"type": "array", "items": {"type": "object", "required": ["property", "op"]}, "description": "see docs/rules.md"}
)


_EXAMPLE: dict[str, Any] = {
    "name": "Upgrade nudge",
    "type": "modal",
    "content": {
        "title": "Go Pro",
        "body": "Reports without a limit, and scheduled for you.",
        "ctaText": "Upgrade",
        "ctaUrl": "https://app.example.com/pricing",
        "imageUrl": None,
        "dismissible": True,
    },
    "trigger": {
        "eventType": "report.exported",
        "where": [{"property": "pages", "op": "gte", "value": 3}],
        "url": {"op": "glob", "value": "https://app.example.com/pricing*"},
        "screen": {"op": "glob", "value": "Checkout*"},
        "audienceId": None,
        "delaySeconds": 5,
    },
    "audienceId": None,
    "excludeAudienceIds": [],
    "appearance": {
        "position": "center",
        "theme": "auto",
        "backgroundColor": "#112233",
        "textColor": "#ffffff",
        "anchor": None,
    },
    "startsAt": "2026-12-01T00:00:00Z",
    "endsAt": None,
    "active": True,
    "priority": 50,
    "slot": None,
    "frequencyCap": {
        "maxImpressions": 3,
        "perSeconds": 86400,
        "minIntervalSeconds": 600,
        "stopAfter": ["click"],
    },
    "goal": {"eventType": "plan.upgraded", "where": [], "withinSeconds": 604800},
}


class Content(Payload):
    """`ctaText` alone closes the message; `ctaUrl` alone gets the label "Learn more"."""

    title: Title | None = None
    body: Body
    cta_text: CtaText | None = None
    cta_url: Url | None = None
    image_url: Url | None = None
    dismissible: bool = True


class Trigger(Payload):
    """All that is given must hold; nothing given means at once. `where`, `url`, `screen`: see `checks`."""

    event_type: EventType | None = None
    where: Annotated[Any, _WHERE] = Field(default_factory=list)
    url: Annotated[Any, _PATTERN] = None
    screen: Annotated[Any, _PATTERN] = None
    audience_id: Id | None = None
    delay_seconds: Annotated[int, Field(ge=0, le=MAX_DELAY_S)] = 0


class Appearance(Payload):
    """`position`: by default top for a banner, center for a modal, bottom for the others. `anchor`: of a tooltip."""

    position: Position | None = None
    theme: Theme = "auto"
    background_color: Color | None = None
    text_color: Color | None = None
    anchor: Anchor | None = None


class FrequencyCap(Payload):
    """At most `maxImpressions` within `perSeconds` (null: ever), `minIntervalSeconds` apart, none after a stop."""

    max_impressions: Annotated[int, Field(ge=1, le=MAX_IMPRESSIONS)] | None = None
    per_seconds: Annotated[int, Field(ge=1, le=MAX_CAP_S)] | None = None
    min_interval_seconds: Annotated[int, Field(ge=0, le=MAX_CAP_S)] | None = None
    stop_after: Annotated[list[Stop], Unique] = Field(default_factory=list)


class Goal(Payload):
    """What the message is to bring about: such an event of a person, up to `withinSeconds` after they saw it."""

    event_type: EventType
    where: Annotated[Any, _WHERE] = Field(default_factory=list)
    within_seconds: Annotated[int, Field(ge=1, le=MAX_GOAL_S)] = DEFAULT_GOAL_S


class MessageSpec(Payload):
    """A message as its author writes it. `name`: by default the title, or else the type."""

    name: Name | None = None
    type: MessageType
    content: Content
    trigger: Trigger | None = None
    audience_id: Id | None = None
    exclude_audience_ids: Annotated[list[Id], Field(max_length=20), Unique] = Field(default_factory=list)
    appearance: Appearance = Appearance()
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    active: bool = True
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    slot: Slot | None = None
    frequency_cap: FrequencyCap | None = None
    goal: Goal | None = None


class NewMessage(MessageSpec):
    """Published at once unless it is a `draft`."""

    draft: bool = False

    model_config = example(**_EXAMPLE, draft=False)


class MessagePatch(BaseModel):
    """Any fields of a message, as a JSON merge patch (RFC 7396); the merged whole must be valid."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"active": False}, {"content": {"ctaText": None}}]})


class MessageQuery(PageQuery):
    """`q`: part of the name, the title or the body."""

    status: Status | None = None
    type: MessageType | None = None
    audience_id: Annotated[Id | None, Field(alias="audienceId")] = None
    q: Annotated[str, Field(max_length=200), Sound] | None = None


class MessageProblem(BaseModel):
    pointer: str
    code: str
    message: str


class Message(Answer):
    """A message with what became of it.

    `status` preparing: past events that one of its audiences asks about are still being gathered. `renderSlot`: the
    place it competes for. `problems`: why the compiler left it out, or what of it cannot be read; such a part is null.
    Of an unpublished message `version` is the one that publishing will give it.
    """

    model_config = example(
        **_EXAMPLE,
        id="019b7f5e-0000-7000-8000-000000000001",
        status="live",
        version=3,
        renderSlot="modal:center",
        problems=[],
        createdAt="2026-11-30T08:00:00.000Z",
        updatedAt="2026-12-01T09:00:00.000Z",
        publishedAt="2026-11-30T08:00:00.000Z",
        archivedAt=None,
    )

    id: UUID
    name: str
    type: MessageType | None
    status: Status
    version: int
    content: dict[str, Any] | None
    trigger: dict[str, Any] | None
    audience_id: str | None
    exclude_audience_ids: list[str]
    appearance: dict[str, Any] | None
    starts_at: str | None
    ends_at: str | None
    active: bool
    priority: int
    slot: str | None
    render_slot: str | None
    frequency_cap: dict[str, Any] | None
    goal: dict[str, Any] | None
    problems: list[MessageProblem]
    created_at: str
    updated_at: str
    published_at: str | None
    archived_at: str | None
