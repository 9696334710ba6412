"""The shapes of a message's JSON columns. What admin accepts passes; what got there otherwise is found out here."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from service.payload import payload_problems, refusing
from wire import message, plain, problems
from wire.intake import event_type_flaw
from wire.message import MAX_DELAY_S, MAX_IMPRESSIONS, MessageType, Position, Stop, Theme
from wire.plain import Flaw
from wire.problems import Problem

_MESSAGE_TYPES = get_args(MessageType)
_BLANKS = re.compile(r"[\x00-\x20\x7f]")
_SCRIPTS = ("javascript:", "data:", "vbscript:")


def _script_flaw(url: str) -> Flaw | None:
    """Browsers skip blanks and control characters inside a scheme."""
    is_script = _BLANKS.sub("", url).lower().startswith(_SCRIPTS)
    return Flaw("url_scheme_not_allowed", "A script or data URL cannot be opened.") if is_script else None


def _https_flaw(url: str) -> Flaw | None:
    return None if url.lower().startswith("https://") else Flaw("url_scheme_not_allowed", "Use https here.")


Color = Annotated[str, refusing(message.color_flaw)]
Url = Annotated[str, refusing(_script_flaw)]
HttpsUrl = Annotated[str, refusing(_https_flaw)]
EventType = Annotated[str, refusing(event_type_flaw)]


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
    position: Position
    theme: Theme | None = None
    background_color: Color | None = None
    text_color: Color | None = None


class TooltipAppearance(Appearance):
    position: Position | None = None  # type: ignore[assignment]
    anchor: str = Field(min_length=1)


class Trigger(_Complete):
    """`where`, `url` and `screen` are read by the rule language itself."""

    event_type: EventType | None = None
    where: Any = None
    url: Any = None
    screen: Any = None
    audience_id: str | None = None
    delay_seconds: int | None = Field(None, ge=0, le=MAX_DELAY_S)


class Cap(_Complete):
    max_impressions: int | None = Field(None, ge=1)
    per_seconds: int | None = Field(None, ge=1)
    min_interval_seconds: int | None = Field(None, ge=0)
    stop_after: list[Stop] | None = None


def shape_problems(model: type[BaseModel], value: object, pointer: str) -> list[Problem]:
    """Everything in which a stored JSON value differs from `model`."""
    if not isinstance(value, dict):
        return [Problem(pointer, *problems.NO_OBJECT)]
    if flaw := plain.flaw(value):
        return [Problem(pointer, *flaw)]
    try:
        model.model_validate(value)
    except ValidationError as error:
        return _below(pointer, _problems(error, value))
    return []


def type_problems(type_: str) -> list[Problem]:
    if type_ in _MESSAGE_TYPES:
        return []
    return [Problem("/type", "unknown_value", f"Must be one of {', '.join(_MESSAGE_TYPES)}.")]


def cap_problems(value: Mapping[str, Any]) -> list[Problem]:
    """What a well-formed cap asks that cannot be held."""
    most, per_s = value.get("maxImpressions"), value.get("perSeconds")
    if most is None or per_s is None or most <= MAX_IMPRESSIONS:
        return []
    text = f"Must be at most {MAX_IMPRESSIONS} when it counts within a time."
    return [Problem("/frequencyCap/maxImpressions", "out_of_range", text)]


def slot_problems(slot: str | None) -> list[Problem]:
    flaw = None if slot is None else message.slot_flaw(slot)
    return [Problem("/slot", *flaw)] if flaw else []


def _problems(error: ValidationError, value: object) -> list[Problem]:
    errors = error.errors(include_url=False, include_input=False)
    return payload_problems([{**found, "loc": ("body", *found["loc"])} for found in errors], value)


def _below(pointer: str, found: Sequence[Problem]) -> list[Problem]:
    return [Problem(pointer + problem.pointer, problem.code, problem.message) for problem in found]
