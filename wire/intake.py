"""Events as clients send them → checked Events, or what is wrong with each.

The accepted shape is the one that Sendora's shipped native SDKs send: `{projectId?, module?, eventType, timestamp?,
properties?, context?, sessionId?, consent?, userId|anonymousId, identityToken?, id?}`; unknown fields are ignored.
An unidentified native client sends only its `sessionId`, which then serves as the anonymous id.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from wire import codec, events, plain, subjects, times
from wire.events import Event
from wire.ids import made_id_bytes
from wire.plain import Flaw

EVENT_TYPE_MAX_CHARACTERS = 128
_EVENT_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9._:\-]*")
INVALID_EVENT_TYPE = Flaw(
    "invalid_event_type", "An event type is 1 to 128 letters, digits and . _ : - and begins with a letter."
)
CLIENT_ID_MAX_CHARACTERS = 64
PROPERTIES_MAX_BYTES = 32 * 1024
TOO_LARGE = Flaw("too_large", f"Use at most {PROPERTIES_MAX_BYTES:,} bytes of JSON in each object.")
FUTURE_TOLERANCE_MS = 24 * 3600 * 1000
"""A client's clock may run ahead by this much (the moment is then clamped); beyond it the event is refused."""
_NO_CONTENT = frozenset({"identityToken", "apiKey"})
"""Fields of which no event's id is made: they may be others when it is sent again."""

Verify = Callable[[str, object], str | None]
"""(user id, identity token as sent) → None when the user may be acted for, else an error code."""


class EventError(ValueError):
    """Why one event is refused: a stable `code` and a message that says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Rejected:
    """`index` is the event's place in the request."""

    index: int
    code: str
    message: str


class Source(NamedTuple):
    """Where events come from. `random_id` gives 16 random bytes for events that nothing can identify."""

    org_id: UUID
    received_ms: int
    random_id: Callable[[], bytes]
    verify: Verify = lambda user_id, token: None


def read_events(raws: Iterable[object], source: Source) -> tuple[list[Event], list[Rejected]]:
    """Checks each event by itself, so that a bad one does not hold up the others."""
    intake = Intake(source)
    for raw in raws:
        intake.take(raw)
    return intake.accepted, intake.rejected


class _Sender(NamedTuple):
    """Whose event it is, in whose name it may be sent. `scope`: what comes before everything of which ids are made."""

    user_id: str | None
    anonymous_id: str | None
    scope: bytes


class Intake:
    """The events of one request, taken one after the other."""

    def __init__(self, source: Source) -> None:
        self.accepted: list[Event] = []
        self.rejected: list[Rejected] = []
        self._source = source
        self._ordinals: dict[bytes, int] = {}
        self._index = 0
        self._named: object = None
        self._sender = _Sender(None, None, b"")

    def take(self, raw: object) -> None:
        try:
            self.accepted.append(self._read(raw))
        except EventError as error:
            self.rejected.append(Rejected(self._index, error.code, error.message))
        self._index += 1

    def _read(self, raw: object) -> Event:
        if not isinstance(raw, dict):
            raise EventError("invalid_event", "An event is a JSON object.")
        canonical = plain.sound_json(raw)
        if canonical is None and (found := plain.flaw(raw)) is not None:
            raise EventError(*found)
        type_ = _event_type(raw)
        user_id, anonymous_id, scope = self._sender_of(raw)
        received_ms = self._source.received_ms
        properties = _object(raw, "properties")
        if type_ in events.MESSAGE_EVENTS:
            _message_id(properties)
        encoded = _encode(properties)
        return Event(
            self._id(raw, canonical, scope),
            self._source.org_id,
            type_,
            user_id,
            anonymous_id,
            _occurred_ms(raw, received_ms),
            received_ms,
            encoded,
            _encode(_object(raw, "context")),
            _text(raw, "sessionId") or None,
        )

    def _sender_of(self, raw: Mapping[str, Any]) -> _Sender:
        """The events of a request are mostly of one customer, whose ids and token are looked at once."""
        named = (raw.get("userId"), raw.get("anonymousId"), raw.get("identityToken"), raw.get("sessionId"))
        if named != self._named:
            self._sender, self._named = _sender(raw, self._source), named
        return self._sender

    def _id(self, raw: Mapping[str, Any], canonical: bytes | None, scope: bytes) -> bytes:
        """The client's id within its org and subject; else one made of the content, so that a blind re-send counts
        once. `canonical`: the event's canonical JSON where that is known already."""
        client_id = _text(raw, "id")
        if client_id is not None:
            if not 1 <= len(client_id) <= CLIENT_ID_MAX_CHARACTERS:
                raise EventError("invalid_id", f"id is 1 to {CLIENT_ID_MAX_CHARACTERS} characters.")
            return made_id_bytes(scope + b"client\0" + client_id.encode())
        if raw.get("timestamp") is None:
            return made_id_bytes(self._source.random_id())
        if canonical is None or not _NO_CONTENT.isdisjoint(raw):
            canonical = codec.canonical_json({name: raw[name] for name in raw if name not in _NO_CONTENT})
        key = scope + b"content\0" + canonical
        ordinal = self._ordinals.get(key, 0)
        self._ordinals[key] = ordinal + 1
        return made_id_bytes(key + b"\0%d" % ordinal)


def _sender(raw: Mapping[str, Any], source: Source) -> _Sender:
    user_id, anonymous_id = _subject_ids(raw)
    if user_id is not None:
        _verify(source.verify(user_id, raw.get("identityToken")))
    subject = subjects.user(user_id) if user_id is not None else subjects.anonymous(anonymous_id or "")
    return _Sender(user_id, anonymous_id, f"{source.org_id}\0{subject}\0".encode())


def event_type_flaw(text: str) -> Flaw | None:
    is_type = len(text) <= EVENT_TYPE_MAX_CHARACTERS and _is_event_type(text)
    return None if is_type else INVALID_EVENT_TYPE


@lru_cache(maxsize=4_096)
def _is_event_type(text: str) -> bool:
    """An app's events are of few types."""
    return _EVENT_TYPE.fullmatch(text) is not None


def _event_type(raw: Mapping[str, Any]) -> str:
    value = raw.get("eventType")
    if value is None:
        raise EventError("event_type_missing", "Name the event in eventType.")
    if not isinstance(value, str) or event_type_flaw(value):
        raise EventError(*INVALID_EVENT_TYPE)
    if value == events.UPDATED:
        made_by = f"{events.UPDATED} is made by upserts and imports"
        raise EventError("event_type_reserved", f"{made_by}; to set traits from an app send {events.IDENTIFIED}.")
    return value


def _subject_ids(raw: Mapping[str, Any]) -> tuple[str | None, str | None]:
    user_id = _id(raw, "userId")
    anonymous_id = _id(raw, "anonymousId")
    if user_id is None and anonymous_id is None:
        anonymous_id = _id(raw, "sessionId")
    if user_id is None and anonymous_id is None:
        raise EventError("subject_missing", "An event needs a userId or an anonymousId.")
    return user_id, anonymous_id


def _id(raw: Mapping[str, Any], name: str) -> str | None:
    value = _text(raw, name)
    if value is not None and len(value) > subjects.ID_MAX_CHARACTERS:
        raise EventError("id_too_long", f"{name} may have {subjects.ID_MAX_CHARACTERS} characters at most.")
    return value or None


def _text(raw: Mapping[str, Any], name: str) -> str | None:
    value = raw.get(name)
    if value is not None and not isinstance(value, str):
        raise EventError("invalid_field", f"{name} must be text.")
    return value


def _object(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise EventError("invalid_field", f"{name} must be an object.")
    return value


def _encode(value: dict[str, Any]) -> bytes:
    encoded = codec.to_json(value)
    if len(encoded) > PROPERTIES_MAX_BYTES:
        raise EventError(*TOO_LARGE)
    return encoded


def _message_id(properties: Mapping[str, Any]) -> None:
    value = properties.get("messageId")
    try:
        if not isinstance(value, str) or str(UUID(value)) != value:
            raise ValueError
    except ValueError:
        raise EventError("message_id_missing", "properties.messageId must name the message by its id.") from None


def _occurred_ms(raw: Mapping[str, Any], received_ms: int) -> int:
    value = raw.get("timestamp")
    if value is None:
        return received_ms
    timestamp_ms = _timestamp_ms(value)
    if timestamp_ms > received_ms + FUTURE_TOLERANCE_MS:
        raise EventError("timestamp_in_future", "timestamp lies more than a day ahead; check the device's clock.")
    return min(timestamp_ms, received_ms)


def _timestamp_ms(value: object) -> int:
    try:
        if isinstance(value, str):
            timestamp_ms = times.from_iso(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            timestamp_ms = value
        else:
            raise ValueError
    except (ValueError, OverflowError):
        raise EventError(
            "invalid_timestamp", "timestamp is ISO 8601 with an offset, or whole milliseconds since 1970."
        ) from None
    if timestamp_ms < 0:
        raise EventError("invalid_timestamp", "timestamp lies before 1970.")
    return timestamp_ms


def _verify(code: str | None) -> None:
    if code is not None:
        raise EventError(code, "This org asks for a valid identityToken with every userId.")
