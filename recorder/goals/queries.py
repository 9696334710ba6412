"""What goals ask of the ledger. Properties are compared there: an event may have 32 KB of them, and none come back."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Integer, Select, Text, Uuid, column, func, literal, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.goals.fresh import Done
from recorder.goals.stored import Deed
from recorder.rows.customers import CustomerKey, key_arrays
from recorder.rows.seen_counts import SeenKey
from store.compare_sql import compare_condition
from store.tables import events

MOST_SEARCHED = 1_000
"""Events that one look reads."""

LOOKS_AT_ONCE = 100
"""Looks of one query: it returns at most MOST_SEARCHED moments for each."""

ASKED_AT_ONCE = 500
"""People and messages, or events, of one query about them."""

_T = TypeVar("_T")


class Conversion(NamedTuple):
    """The earlier is the lesser."""

    occurred_ms: int
    event_id: UUID


class Span(NamedTuple):
    """Both ends count."""

    since_ms: int
    until_ms: int


class Look(NamedTuple):
    """For what somebody did within a time."""

    owner: CustomerKey
    span: Span


class Asked(NamedTuple):
    """For an impression within one of these times, which are in order and apart from each other."""

    seen: SeenKey
    spans: Sequence[Span]


# OFFSET 0, or Postgres may read everybody who has seen the messages.
_OPEN = text(
    """
    SELECT asked.org_id, asked.subject, seen.message_id
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    CROSS JOIN LATERAL (
        SELECT state.message_id
        FROM message_user_state AS state
        WHERE state.org_id = asked.org_id AND state.subject = asked.subject AND state.impressions > 0 AND NOT EXISTS (
            SELECT FROM in_app_message_conversions AS conversions
            WHERE conversions.org_id = state.org_id AND conversions.message_id = state.message_id
                AND conversions.subject = state.subject
        )
        OFFSET 0
    ) AS seen
    WHERE seen.message_id = ANY(CAST(:message_ids AS uuid[]))
    """
)

_FIRST_SHOWN = text(
    """
    SELECT asked.org_id, asked.subject, asked.message_id, shown.occurred_ms
    FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:message_ids AS uuid[]),
        CAST(CAST(:spans AS text[]) AS int8multirange[])
    ) AS asked (org_id, subject, message_id, spans)
    CROSS JOIN LATERAL (
        SELECT impressions.occurred_ms
        FROM in_app_message_impressions AS impressions
        WHERE impressions.org_id = asked.org_id AND impressions.subject = asked.subject
            AND impressions.message_id = asked.message_id
            AND impressions.occurred_ms BETWEEN lower(asked.spans) AND upper(asked.spans) - 1
            AND asked.spans @> impressions.occurred_ms
        ORDER BY impressions.occurred_ms
        LIMIT 1
    ) AS shown
    """
)


async def open_messages(
    connection: AsyncConnection, owners: Iterable[CustomerKey], message_ids: Collection[UUID]
) -> list[SeenKey]:
    """Those of the messages that the customers have seen and not converted for."""
    asked = key_arrays(owners) | {"message_ids": list(message_ids)}
    return [SeenKey(*row) for row in await connection.execute(_OPEN, asked)]


async def first_shown(connection: AsyncConnection, asked: Sequence[Asked]) -> list[tuple[SeenKey, int]]:
    """When who was first shown which message within the times that are asked for; who was not is left out."""
    found: list[tuple[SeenKey, int]] = []
    for some in slices(asked, ASKED_AT_ONCE):
        columns = {"spans": [_multirange(spans) for _, spans in some]}
        rows = await connection.execute(_FIRST_SHOWN, seen_arrays([seen for seen, _ in some]) | columns)
        found += [(SeenKey(*row[:3]), row.occurred_ms) for row in rows]
    return found


async def those_of_deed(connection: AsyncConnection, deed: Deed, done: Sequence[Done]) -> list[Done]:
    """Those of the stored events, which are of its type, that have the properties that the deed asks for."""
    if not deed.where:
        return list(done)
    found: list[Done] = []
    for some in slices(done, ASKED_AT_ONCE):
        rows = await connection.execute(_with_properties(deed, some))
        ids = {(org_id, id_) for org_id, id_ in rows}
        found += [each for each in some if (each.owner.org_id, each.event_id) in ids]
    return found


async def done_within(connection: AsyncConnection, deed: Deed, looks: Sequence[Look]) -> list[list[Conversion]]:
    """For each of at most LOOKS_AT_ONCE looks: when the deed was done, in order."""
    found: list[list[Conversion]] = [[] for _ in looks]
    for number, occurred_ms, event_id in await connection.execute(_within(deed, looks)):
        found[number].append(Conversion(occurred_ms, event_id))
    return [sorted(conversions) for conversions in found]


def slices(whole: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


def seen_arrays(seen: Collection[SeenKey]) -> dict[str, Any]:
    """Parameters `org_ids`, `subjects` and `message_ids` for `unnest`."""
    owners = (CustomerKey(key.org_id, key.subject) for key in seen)
    return key_arrays(owners) | {"message_ids": [key.message_id for key in seen]}


def _multirange(spans: Iterable[Span]) -> str:
    return "{" + ",".join(f"[{since_ms},{until_ms}]" for since_ms, until_ms in spans) + "}"


def _within(deed: Deed, looks: Sequence[Look]) -> Select[Any]:
    asked = (
        func.unnest(
            literal(list(range(len(looks))), ARRAY(Integer)),
            literal([look.owner.org_id for look in looks], ARRAY(Uuid)),
            literal([look.owner.subject for look in looks], ARRAY(Text)),
            literal([look.span.since_ms for look in looks], ARRAY(BigInteger)),
            literal([look.span.until_ms for look in looks], ARRAY(BigInteger)),
        )
        .table_valued(
            column("number", Integer),
            column("org_id", Uuid),
            column("subject", Text),
            column("since_ms", BigInteger),
            column("until_ms", BigInteger),
        )
        .render_derived("asked")
    )
    searched = (
        select(events.c.id, events.c.occurred_ms, events.c.properties)
        .where(events.c.org_id == asked.c.org_id, events.c.subject == asked.c.subject)
        .where(events.c.type == deed.event_type)
        .where(events.c.occurred_ms.between(asked.c.since_ms, asked.c.until_ms))
        .order_by(events.c.occurred_ms)
        .limit(MOST_SEARCHED)
        .lateral("searched")
    )
    is_done = (compare_condition(searched.c.properties, compare, now_ms=0) for compare in deed.where)
    found = select(asked.c.number, searched.c.occurred_ms, searched.c.id).select_from(asked.join(searched, true()))
    return found.where(*is_done)


def _with_properties(deed: Deed, done: Sequence[Done]) -> Select[Any]:
    asked = (
        func.unnest(
            literal([each.owner.org_id for each in done], ARRAY(Uuid)),
            literal([each.event_id for each in done], ARRAY(Uuid)),
        )
        .table_valued(column("org_id", Uuid), column("id", Uuid))
        .render_derived("asked")
    )
    stored = (
        select(events.c.properties)
        .where(events.c.org_id == asked.c.org_id, events.c.id == asked.c.id)
        .limit(1)
        .lateral("stored")
    )
    is_done = (compare_condition(stored.c.properties, compare, now_ms=0) for compare in deed.where)
    return select(asked.c.org_id, asked.c.id).select_from(asked.join(stored, true())).where(*is_done)
