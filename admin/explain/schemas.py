from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from admin.answers import Answer, example
from admin.explain.example import EXAMPLE
from admin.fields import Sound
from admin.messages.schemas import MessageProblem
from engine.explain import CheckName
from service.payload import refusing
from wire import codec, plain
from wire.codec import DecodeError
from wire.intake import PROPERTIES_MAX_BYTES, TOO_LARGE, event_type_flaw
from wire.plain import Flaw
from wire.subjects import ID_MAX_CHARACTERS

URL_MAX_CHARACTERS = 8_192
SCREEN_MAX_CHARACTERS = 1_024
_NO_JSON = Flaw("invalid_json", "Give an event type, or JSON with 'type' and 'properties'.")


def _properties_flaw(properties: dict[str, Any]) -> Flaw | None:
    if flaw := plain.flaw(properties):
        return flaw
    return TOO_LARGE if len(codec.to_json(properties)) > PROPERTIES_MAX_BYTES else None


class GivenEvent(BaseModel):
    """As an edge's fetch takes it; unknown fields are ignored there too."""

    type: Annotated[str, refusing(event_type_flaw)]
    properties: Annotated[dict[str, Any], refusing(_properties_flaw)] = Field(default_factory=dict)


def _absent(value: Any) -> Any:
    return None if value == "" else value


def _event(value: Any) -> Any:
    if not value:
        return None
    if not isinstance(value, str) or not value.startswith("{"):
        return {"type": value}
    try:
        read = codec.from_json(value.encode("utf-8", "surrogatepass"))
    except DecodeError:
        raise PydanticCustomError(_NO_JSON.code, _NO_JSON.message) from None
    return {name: part for name, part in read.items() if part is not None}


_Empty = BeforeValidator(_absent)
Id = Annotated[Annotated[str, Field(min_length=1, max_length=ID_MAX_CHARACTERS), Sound] | None, _Empty]
Url = Annotated[Annotated[str, Field(max_length=URL_MAX_CHARACTERS), Sound] | None, _Empty]
Screen = Annotated[Annotated[str, Field(max_length=SCREEN_MAX_CHARACTERS), Sound] | None, _Empty]
Event = Annotated[
    GivenEvent | None,
    BeforeValidator(_event),
    WithJsonSchema(
        {
            "type": "string",
            "examples": ["report.exported", '{"type": "report.exported", "properties": {"pages": 12}}'],
        },
    ),
]


class ExplainQuery(BaseModel):
    """Who and where. What is left out of `url`, `screen` and `event` is left to the device, as in a fetch.

    With neither `customerId` nor `anonymousId` it answers for somebody new; with both, for both as one, as in a fetch.
    """

    model_config = ConfigDict(extra="forbid")

    customer_id: Annotated[
        Id,
        Field(
            alias="customerId",
            description="the app's id of the user; with neither this nor an anonymousId it answers for somebody new",
            examples=["ada"],
        ),
    ] = None
    anonymous_id: Annotated[
        Id,
        Field(
            alias="anonymousId",
            description="the id of a visitor; beside a customerId, both are taken as one",
            examples=["1f6c9a3e"],
        ),
    ] = None
    url: Annotated[
        Url, Field(description="where they are on the web", examples=["https://app.example.com/pricing"])
    ] = None
    screen: Annotated[Screen, Field(description="where they are in an app", examples=["Checkout"])] = None
    event: Annotated[
        Event, Field(description='what just happened: an event type, or JSON `{"type": …, "properties": {…}}`')
    ] = None


class ExplainedCondition(Answer):
    """A condition of an audience's rule, and what the customer has there now.

    `decides`: one of those that make the rule hold, or not. `mustChange`: one of a smallest set that would have to be
    otherwise. `value`: a trait's value; of events how many (`count`, `orMore`, `newestAt`); of an audience whether they
    are in it. `audience`: the one that the condition refers to, with its own conditions, one level deep.
    """

    pointer: str
    condition: dict[str, Any]
    holds: bool
    decides: bool
    must_change: bool
    value: Any
    text: str
    changes_at: str | None
    audience: "ExplainedAudience | None"


class ExplainedAudience(Answer):
    """`conditions`: left to right; `leftOut`: how many more there are, which matter less."""

    id: str
    name: str
    member: bool
    conditions: list[ExplainedCondition]
    left_out: int


class PreparingAudience(Answer):
    """`progress`: how many percent of the past events that its rule asks about are gathered."""

    id: str
    name: str
    progress: Annotated[int, Field(ge=0, le=100)]


class StatusDetails(Answer):
    """`reasons`: all that apply, the first of them is the check's."""

    reasons: list[str]
    problems: list[MessageProblem]
    preparing: list[PreparingAudience]


class WindowDetails(Answer):
    starts_at: str | None
    ends_at: str | None


class AudiencesDetails(Answer):
    """Of `audience`, `excluded_audiences` and `trigger_audience`: those that the message names there."""

    audiences: list[ExplainedAudience]


class PlaceDetails(Answer):
    """Of `url` and `screen`. `onDevice`: nothing was said about it, so that it is left to the device."""

    pattern: Any
    given: str | None
    on_device: bool


class ExplainedProperty(Answer):
    """A condition on a property of the event, and what the property is."""

    condition: dict[str, Any]
    holds: bool
    value: Any
    text: str


class EventDetails(Answer):
    """`eventType`: what the trigger waits for. `where`: of an event of that type. `onDevice`: as with a URL."""

    event_type: str | None
    given: str | None
    where: list[ExplainedProperty]
    on_device: bool


class CapLimits(Answer):
    max_impressions: int | None
    per_seconds: int | None
    min_interval_seconds: int | None
    stop_after: list[str]


class CapDetails(Answer):
    """`cap` null: nothing limits it. The rest is what the customer did with the message."""

    cap: CapLimits | None
    impressions: int
    clicks: int
    dismissals: int
    last_impression_at: str | None


class Outranking(Answer):
    id: str
    name: str
    priority: int


class SlotDetails(Answer):
    slot: str
    outranked_by: Outranking | None


Details = StatusDetails | WindowDetails | AudiencesDetails | PlaceDetails | EventDetails | CapDetails | SlotDetails
"""One kind for each check, in the order of the checks."""


class Check(Answer):
    """What one of the message's rules says. `reason`: docs/explain.md lists them; null where it passes.

    `changesAt`: when this changes by itself. `details`: of the kind that belongs to the check.
    """

    check: CheckName
    passes: bool
    reason: str | None
    text: str
    changes_at: str | None
    details: Details

    @property
    def on_device(self) -> bool:
        return isinstance(self.details, PlaceDetails | EventDetails) and self.details.on_device


class Note(Answer):
    code: Literal["customer_unknown", "identity_assumed", "on_device"]
    text: str


class Explanation(Answer):
    """`reason`: of the first check that fails. `delaySeconds`: how long the device then waits before it shows it.

    `customer` unknown: they are taken for somebody new. `changesAt`: the first of the checks'.
    """

    model_config = example(**EXAMPLE)

    shown: bool
    reason: str | None
    summary: str
    at: str
    changes_at: str | None
    delay_seconds: int
    customer: Literal["known", "unknown"]
    notes: list[Note]
    checks: list[Check]
