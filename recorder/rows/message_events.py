"""Events about messages: which they are, and of which message."""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.rows.customers import CustomerKey
from recorder.rows.event_rows import Owned
from wire import codec, events
from wire.codec import DecodeError
from wire.events import Event


class MessageEvent(NamedTuple):
    """An event about a message that the org has."""

    owner: CustomerKey
    message_id: UUID
    event: Event


_KNOWN = text(
    """
    SELECT messages.org_id, messages.id
    FROM in_app_messages AS messages
    JOIN unnest(CAST(:org_ids AS uuid[]), CAST(:ids AS uuid[])) AS asked (org_id, id)
    ON messages.org_id = asked.org_id AND messages.id = asked.id
    """
)


def message_id(event: Event) -> UUID | None:
    """The message that an event is about; None when it is about none, or does not say."""
    if event.type not in events.MESSAGE_EVENTS:
        return None
    try:
        return UUID(codec.from_json(event.properties)["messageId"])
    except (DecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None


async def among(connection: AsyncConnection, owned: Iterable[Owned]) -> list[MessageEvent]:
    """Those of the events that are about a message that their org has."""
    named = [
        MessageEvent(owner, named_id, event) for owner, event in owned if (named_id := message_id(event)) is not None
    ]
    if not named:
        return []
    asked = list({(item.owner.org_id, item.message_id) for item in named})
    arrays = {"org_ids": [org_id for org_id, _ in asked], "ids": [id_ for _, id_ in asked]}
    known = {(org_id, id_) for org_id, id_ in await connection.execute(_KNOWN, arrays)}
    return [item for item in named if (item.owner.org_id, item.message_id) in known]
