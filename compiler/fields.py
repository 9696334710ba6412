"""The shapes of a message's JSON columns. What admin accepts passes; what got there otherwise is found out here."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from service.payload import payload_problems
from wire import plain
from wire.intake import EVENT_TYPE
from wire.problems import Problem
from wire.userstate import RECENT_IMPRESSIONS

MessageType = Literal["banner", "modal", "slideout", "tooltip"]
MESSAGE_TYPES = frozenset(get_args(MessageType))

_BLANKS = re.compile(r"[\x00-\x20\x7f]")
_SCRIPTS = ("javascript:", "data:", "vbscript:")
_SLOT_MAX_CHARACTERS = 256


def _no_script(url: str) -> str:
    """Browsers skip blanks and control characters inside a scheme."""
    if _BLANKS.sub("", url).lower().startswith(_SCRIPTS):
        raise ValueError("must not be a script or data URL")
    return url


def _https(url: str) -> str:
    if not url.lower().startswith("https://"):
        raise ValueError("must be an https URL")
    return url


def _event_type(text: str) -> str:
    if EVENT_TYPE.fullmatch(text) is None:
        raise ValueError("must be an event type")
    return text


Colour = Annotated[str, Field(pattern=r"^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$")]
Url = Annotated[str, AfterValidator(_no_script)]
HttpsUrl = Annotated[str, AfterValidator(_https)]
EventType = Annotated[str, AfterValidator(_event_type)]


class _Stored(BaseModel):
    """Unknown fields reach the device as they are; nothing here depends on them."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="ignore")


class _Complete(_Stored):
    """An unknown field would be a condition that nobody checks, so it is refused."""

    model_config = ConfigDict(extra="forbid")


class Content(_Stored):
    title: str | None = None
    body: str = Field(min_length=1)
    cta_text: str | None = None
    cta_url: Url | None = None
    image_url: HttpsUrl | None = None
    dismissible: bool | None = None


class Appearance(_Stored):
    position: Literal["top", "bottom", "center"]
    theme: Literal["light", "dark", "auto"] | None = None
    background_color: Colour | None = None
    text_color: Colour | None = None


class TooltipAppearance(Appearance):
    position: Literal["top", "bottom", "center"] | None = None  # type: ignore[assignment]
    anchor: str = Field(min_length=1)


class Trigger(_Complete):
    """`where`, `url` and `screen` are read by the rule language itself."""

    event_type: EventType | None = None
    where: Any = None
    url: Any = None
    screen: Any = None
    audience_id: str | None = None
    delay_seconds: float | None = Field(None, ge=0, le=300)


class Cap(_Complete):
    max_impressions: int | None = Field(None, ge=1)
    per_seconds: int | None = Field(None, ge=1)
    min_interval_seconds: int | None = Field(None, ge=0)
    stop_after: list[Literal["click", "dismiss"]] | None = None


def shape_problems(model: type[BaseModel], value: object, pointer: str) -> list[Problem]:
    """Everything in which a stored JSON value differs from `model`."""
    if not isinstance(value, dict):
        return [Problem(pointer, "wrong_type", "must be an object")]
    if flaw := plain.flaw(value):
        return [Problem(pointer, *flaw)]
    try:
        model.model_validate(value)
    except ValidationError as error:
        return _below(pointer, _problems(error, value))
    return []


def cap_problems(value: Mapping[str, Any]) -> list[Problem]:
    """What a well-formed cap asks that cannot be held."""
    most, per_s = value.get("maxImpressions"), value.get("perSeconds")
    if most is None or per_s is None or most <= RECENT_IMPRESSIONS:
        return []
    message = f"must be at most {RECENT_IMPRESSIONS} when it counts within a time"
    return [Problem("/frequencyCap/maxImpressions", "out_of_range", message)]


def slot_problems(slot: str | None) -> list[Problem]:
    if slot is None or 0 < len(slot) <= _SLOT_MAX_CHARACTERS:
        return []
    return [Problem("/slot", "wrong_length", f"must have 1 to {_SLOT_MAX_CHARACTERS} characters")]


def _problems(error: ValidationError, value: object) -> list[Problem]:
    errors = error.errors(include_url=False, include_input=False)
    return payload_problems([{**found, "loc": ("body", *found["loc"])} for found in errors], value)


def _below(pointer: str, problems: Sequence[Problem]) -> list[Problem]:
    return [Problem(pointer + problem.pointer, problem.code, problem.message) for problem in problems]
