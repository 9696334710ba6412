"""Rows of `in_app_message_conversions`: who reached a message's goal, and by which event.

A person converts once per message, by the earliest event that the goal describes and that follows an impression of
theirs soon enough, whichever of the two arrives first. A conversion that is counted stands: an earlier event that comes
late does not replace it, and a change of the goal does not undo it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.goals import fresh
from recorder.goals.fresh import Fresh
from recorder.goals.queries import Conversion, seen_arrays
from recorder.goals.search import first_reached
from recorder.rows import hourly_stats
from recorder.rows.customers import CustomerKey, key_arrays
from recorder.rows.hourly_stats import HourKey, hour_key
from recorder.rows.properties import Properties, read_properties
from recorder.rows.seen_counts import SeenKey

_ADD = text(
    """
    INSERT INTO in_app_message_conversions (org_id, subject, message_id, event_id, occurred_ms)
    SELECT * FROM unnest(
        CAST(:org_ids AS uuid[]), CAST(:subjects AS text[]), CAST(:message_ids AS uuid[]), CAST(:event_ids AS uuid[]),
        CAST(:occurred_ms AS bigint[])
    )
    """
)

_TAKE = text(
    """
    DELETE FROM in_app_message_conversions AS conversions
    USING unnest(CAST(:org_ids AS uuid[]), CAST(:subjects AS text[])) AS asked (org_id, subject)
    WHERE conversions.org_id = asked.org_id AND conversions.subject = asked.subject
    RETURNING conversions.*
    """
)


async def add(
    connection: AsyncConnection, learnt: Fresh, moved: Mapping[CustomerKey, CustomerKey], properties: Properties
) -> Counter[HourKey]:
    """Makes the conversions of each key of `moved` its value's, then adds those that come about by what is new.

    Everything else is stored by then. Returns how much more, or less, is to be counted in which hour.
    """
    corrections = await _unite(connection, moved)
    corrections.update(_hours(await _add_reached(connection, learnt, properties)))
    return corrections


async def start_over(connection: AsyncConnection, key: CustomerKey) -> None:
    """Works out anew how a customer converted, of whom only a part is left. What was counted is not counted again."""
    counted = {(seen.message_id, conversion.event_id) for seen, conversion in await _take(connection, [key])}
    left = await fresh.begin(connection, {key.org_id}, {key: key})
    added = await _add_reached(connection, left, read_properties)
    uncounted = {seen: found for seen, found in added.items() if (seen.message_id, found.event_id) not in counted}
    await hourly_stats.add(connection, (), _hours(uncounted))


async def _unite(connection: AsyncConnection, moved: Mapping[CustomerKey, CustomerKey]) -> Counter[HourKey]:
    """Of several conversions that are now one person's, the earliest remains."""
    taken = await _take(connection, moved)
    rivals: defaultdict[SeenKey, list[Conversion]] = defaultdict(list)
    for seen, conversion in taken:
        owner = moved[CustomerKey(seen.org_id, seen.subject)]
        rivals[SeenKey(*owner, seen.message_id)].append(conversion)
    for seen, conversion in await _take(connection, {CustomerKey(seen.org_id, seen.subject) for seen in rivals}):
        rivals[seen].append(conversion)
    await _add(connection, {seen: min(conversions) for seen, conversions in rivals.items()})
    too_many: Counter[HourKey] = Counter()
    for seen, conversions in rivals.items():
        too_many.subtract(_hour(seen, conversion) for conversion in sorted(conversions)[1:])
    return too_many


async def _add_reached(connection: AsyncConnection, learnt: Fresh, properties: Properties) -> dict[SeenKey, Conversion]:
    reached = await first_reached(connection, learnt, properties)
    await _add(connection, reached)
    return reached


async def _add(connection: AsyncConnection, added: Mapping[SeenKey, Conversion]) -> None:
    """Of customers that the transaction holds, who have none yet."""
    if not added:
        return
    columns = {
        "event_ids": [conversion.event_id for conversion in added.values()],
        "occurred_ms": [conversion.occurred_ms for conversion in added.values()],
    }
    await connection.execute(_ADD, seen_arrays(added.keys()) | columns)


async def _take(connection: AsyncConnection, keys: Iterable[CustomerKey]) -> list[tuple[SeenKey, Conversion]]:
    asked = key_arrays(keys)
    if not asked["subjects"]:
        return []
    return [
        (SeenKey(row.org_id, row.subject, row.message_id), Conversion(row.occurred_ms, row.event_id))
        for row in await connection.execute(_TAKE, asked)
    ]


def _hours(added: Mapping[SeenKey, Conversion]) -> Counter[HourKey]:
    return Counter(_hour(seen, conversion) for seen, conversion in added.items())


def _hour(seen: SeenKey, conversion: Conversion) -> HourKey:
    return hour_key(seen.org_id, seen.message_id, conversion.occurred_ms)
