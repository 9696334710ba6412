"""Events between edge (or admin) and recorder: Event, EventBatch. Reading them from JSON is `wire.intake`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from wire import codec, subjects
from wire.codec import DecodeError

FORMAT = 1
_ID_BYTES = 16

IMPRESSION = "in_app.impression"
CLICKED = "in_app.clicked"
DISMISSED = "in_app.dismissed"
IDENTIFIED = "user.identified"
UPDATED = "customer.updated"
"""Somebody else set traits: an upsert or an import. It is kept from clients, and no act of the customer's own."""

SETS_TRAITS = frozenset({IDENTIFIED, UPDATED})
"""Events whose properties are traits."""

MESSAGE_PREFIX = "in_app."
MESSAGE_EVENTS = frozenset({IMPRESSION, CLICKED, DISMISSED})
"""Events that name a message in `properties.messageId`."""


def is_own(type_: str) -> bool:
    """Whether a customer did it, rather than we to them: what `*` counts in the rule language."""
    return type_ != UPDATED and not type_.startswith(MESSAGE_PREFIX)


class Event(NamedTuple):
    """One checked event. `id_bytes`, the 16 of a UUID, are unique in its org; `properties` and `context` are JSON
    objects, encoded.

    `occurred_ms` is never later than `received_ms`. At least one of `user_id` and `anonymous_id` is set.
    """

    id_bytes: bytes
    org_id: UUID
    type: str
    user_id: str | None
    anonymous_id: str | None
    occurred_ms: int
    received_ms: int
    properties: bytes = b"{}"
    context: bytes = b"{}"
    session_id: str | None = None

    @property
    def id(self) -> UUID:
        """Made anew each time, which takes a microsecond: most that is done with events needs only the bytes."""
        return UUID(bytes=self.id_bytes)

    @property
    def subject(self) -> str:
        """Whom it is about: the user where there is one, else the anonymous visitor."""
        if self.user_id is not None:
            return subjects.user(self.user_id)
        if self.anonymous_id is None:
            raise ValueError("an event without a subject")
        return subjects.anonymous(self.anonymous_id)

    @property
    def claims(self) -> str | None:
        """The anonymous id that this event claims for its user."""
        return self.anonymous_id if self.type == IDENTIFIED and self.user_id is not None else None


NO_SPOOL = UUID(int=0)
"""In place of a spool, for batches that did not come from an edge."""


@dataclass(frozen=True, slots=True)
class EventBatch:
    """What one group commit of a spool took in. `number` counts up within a spool; (spool, number) names a batch."""

    spool: UUID
    number: int
    events: tuple[Event, ...]

    def encode(self) -> bytes:
        return batch_body(self.spool, self.number, len(self.events), [packed(self.events)])

    @classmethod
    def decode(cls, data: bytes) -> "EventBatch":
        """Raises DecodeError."""
        try:
            form, spool, number, events = codec.unpack(data)
            codec.expect_format(form, FORMAT)
            return cls(UUID(bytes=spool), number, tuple(_event(fields) for fields in events))
        except DecodeError:
            raise
        except (TypeError, ValueError) as error:
            raise DecodeError(f"not an event batch: {type(error).__name__}") from error


def packed(events: Iterable[Event]) -> bytes:
    """Events as they stand in a batch's body, one after the other."""
    return codec.pack_all(map(_fields, events))


def batch_body(spool: UUID, number: int, count: int, parts: Iterable[bytes]) -> bytes:
    """What `EventBatch.encode` gives, out of `packed` parts with `count` events together."""
    return b"".join([codec.list_head(4), codec.pack_all([FORMAT, spool.bytes, number]), codec.list_head(count), *parts])


def entry(spool: UUID, number: int, count: int, body: bytes) -> dict[str, bytes | int]:
    """The fields of a batch's entry in its `events:{shard}` stream. `count`, of events, outlives an unreadable body."""
    return {"spool": spool.bytes, "number": number, "count": count, "body": body}


def _fields(event: Event) -> list[Any]:
    return [event.id_bytes, event.org_id.bytes, *event[2:]]


def _event(fields: list[Any]) -> Event:
    id_, org_id, type_, user_id, anonymous_id, occurred_ms, received_ms, properties, context, session_id = fields
    return Event(
        _id_bytes(id_),
        UUID(bytes=org_id),
        type_,
        user_id,
        anonymous_id,
        occurred_ms,
        received_ms,
        properties,
        context,
        session_id,
    )


def _id_bytes(value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) != _ID_BYTES:
        raise ValueError("an id is 16 bytes")
    return value
