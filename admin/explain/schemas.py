from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from admin.answers import Answer, example
from admin.fields import Sound
from engine.explain import RuleName
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
        {"type": "string", "description": 'an event type, or JSON: `{"type": …, "properties": {…}}`'},
    ),
]


class ExplainQuery(BaseModel):
    """Who and where. What is left out of `url`, `screen` and `event` is left to the device, as in a fetch.

    `customerId`: the app's id of the user; with an `anonymousId` beside it, both as one, as in a fetch.
    """

    model_config = ConfigDict(extra="forbid")

    customer_id: Annotated[Id, Field(alias="customerId")] = None
    anonymous_id: Annotated[Id, Field(alias="anonymousId")] = None
    url: Url = None
    screen: Screen = None
    event: Event = None


class Condition(Answer):
    """A condition of an audience's rule, and what the customer has there now.

    `decides`: one of those that make the rule hold, or not. `mustChange`: one of a smallest set that would have to be
    otherwise. `audience`: the one that the condition refers to, with its own conditions, one level deep.
    """

    pointer: str
    condition: dict[str, Any]
    holds: bool
    decides: bool
    must_change: bool
    value: Any
    text: str
    changes_at: str | None
    audience: "Audience | None"


class Audience(Answer):
    """`conditions`: left to right; `leftOut`: how many more there are, which matter less."""

    id: str
    name: str
    member: bool
    conditions: list[Condition]
    left_out: int


class Check(Answer):
    """One rule. `reason`: docs/explain.md lists them; null where it passes. `changesAt`: when this changes itself."""

    rule: RuleName
    passes: bool
    reason: str | None
    text: str
    changes_at: str | None
    details: dict[str, Any]


class Note(Answer):
    code: Literal["customer_unknown", "identity_assumed", "on_device"]
    text: str


class Explanation(Answer):
    """`reason`: of the first check that fails. `delaySeconds`: how long the device then waits before it shows it."""

    model_config = example(
        shown=False,
        reason="not_in_audience",
        summary="It is not shown: the customer is not in “Free”. plan is “pro”; it would have to be “free”.",
        at="2026-12-01T09:00:00.000Z",
        changesAt=None,
        delaySeconds=5,
        customer="known",
        notes=[{"code": "on_device", "text": "Nothing was said about the URL: that is left to the device."}],
        checks=[
            {
                "rule": "audience",
                "passes": False,
                "reason": "not_in_audience",
                "text": "The customer is not in “Free”. plan is “pro”; it would have to be “free”.",
                "changesAt": None,
                "details": {
                    "audiences": [
                        {
                            "id": "019b7f5e-0000-7000-8000-000000000002",
                            "name": "Free",
                            "member": False,
                            "conditions": [
                                {
                                    "pointer": "",
                                    "condition": {"trait": "plan", "op": "eq", "value": "free"},
                                    "holds": False,
                                    "decides": True,
                                    "mustChange": True,
                                    "value": "pro",
                                    "text": "plan is “pro”; it would have to be “free”.",
                                    "changesAt": None,
                                    "audience": None,
                                }
                            ],
                            "leftOut": 0,
                        }
                    ]
                },
            }
        ],
    )

    shown: bool
    reason: str | None
    summary: str
    at: str
    changes_at: str | None
    delay_seconds: int
    customer: Literal["known", "unknown"]
    notes: list[Note]
    checks: list[Check]
