"""Looking for events that reach goals.

What is new looks for what is stored: events for impressions before them, impressions for events after them. Each event
is held against each deed once, however many messages have it for their goal. Nobody's history costs more than
MOST_SEARCHED events a look: of somebody who did what a goal counts more often than that since an impression, each time
with other properties than the goal asks for, an event that was stored before is not found.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from recorder.goals import queries as goal_queries
from recorder.goals import stored as goals
from recorder.goals.fresh import Done, Fresh, Shown
from recorder.goals.queries import LOOKS_AT_ONCE, Asked, Conversion, Look, Span
from recorder.goals.stored import Deed, Goal, MessageKey
from recorder.rows.customers import CustomerKey
from recorder.rows.properties import Properties
from recorder.rows.seen_counts import SeenKey

Aims = Mapping[SeenKey, Goal]
"""Goals of messages that somebody has seen, and that they have not reached yet."""

Doer = tuple[CustomerKey, Deed]
Found = tuple[SeenKey, Conversion]


@dataclass(slots=True)
class Search:
    """A look that answers for several messages: for each, what was done within a part of its span."""

    look: Look
    parts: list[tuple[Span, SeenKey]]


async def first_reached(connection: AsyncConnection, fresh: Fresh, properties: Properties) -> dict[SeenKey, Conversion]:
    """Who reaches which goal by what is new, and first by which event. Who has converted already is left out."""
    aims = await _aims(connection, fresh)
    if not aims:
        return {}
    first: dict[SeenKey, Conversion] = {}
    for seen, conversion in [
        *await _by_new_events(connection, fresh, aims, properties),
        *await _by_new_impressions(connection, fresh.shown, aims),
    ]:
        first[seen] = min(conversion, first.get(seen, conversion))
    return first


async def _aims(connection: AsyncConnection, fresh: Fresh) -> Aims:
    if not fresh.done and not fresh.carried and not fresh.shown:
        return {}
    message_ids = {shown.seen.message_id for shown in fresh.shown}
    known = await goals.concerned(connection, fresh.org_ids, fresh.types(), message_ids)
    owners = fresh.doers({goal.deed.event_type for goal in known.values()})
    owners |= {_owner(shown.seen) for shown in fresh.shown if _message(shown.seen) in known}
    if not owners:
        return {}
    seen = await goal_queries.open_messages(connection, owners, [key.message_id for key in known])
    return {key: known[_message(key)] for key in seen}


async def _by_new_events(connection: AsyncConnection, fresh: Fresh, aims: Aims, properties: Properties) -> list[Found]:
    done = await _done(connection, fresh, aims, properties)
    spans_of: dict[tuple[Doer, int], Sequence[Span]] = {}
    asked: list[Asked] = []
    for seen, goal in aims.items():
        doer = (_owner(seen), goal.deed)
        if conversions := done.get(doer):
            key = (doer, goal.within_ms)
            if key not in spans_of:
                spans_of[key] = spans((each.occurred_ms - goal.within_ms for each in conversions), goal.within_ms)
            asked.append(Asked(seen, spans_of[key]))
    return [
        # An impression within a span is followed soon enough by the first event from then on.
        (seen, _first_since(done[_owner(seen), aims[seen].deed], shown_ms))
        for seen, shown_ms in await goal_queries.first_shown(connection, asked)
    ]


async def _done(
    connection: AsyncConnection, fresh: Fresh, aims: Aims, properties: Properties
) -> Mapping[Doer, Sequence[Conversion]]:
    """The new events that are deeds which somebody's aims ask for, in order."""
    deeds: defaultdict[tuple[CustomerKey, str], set[Deed]] = defaultdict(set)
    for seen, goal in aims.items():
        deeds[_owner(seen), goal.deed.event_type].add(goal.deed)
    done: defaultdict[Doer, list[Conversion]] = defaultdict(list)
    for owner, event in fresh.done:
        for deed in deeds.get((owner, event.type), ()):
            if deed.is_done_with(properties(event)):
                done[owner, deed].append(Conversion(event.occurred_ms, event.id))
    carried: defaultdict[Deed, list[Done]] = defaultdict(list)
    for each in fresh.carried:
        for deed in deeds.get((each.owner, each.type), ()):
            carried[deed].append(each)
    for deed, candidates in carried.items():
        for each in await goal_queries.those_of_deed(connection, deed, candidates):
            done[each.owner, deed].append(Conversion(each.occurred_ms, each.event_id))
    return {doer: sorted(conversions) for doer, conversions in done.items()}


async def _by_new_impressions(connection: AsyncConnection, shown: Iterable[Shown], aims: Aims) -> list[Found]:
    found: list[Found] = []
    for deed, searches in _searches(shown, aims).items():
        for some in goal_queries.slices(searches, LOOKS_AT_ONCE):
            done = await goal_queries.done_within(connection, deed, [search.look for search in some])
            for search, conversions in zip(some, done, strict=True):
                found += _first_of_parts(search, conversions)
    return found


def _searches(shown: Iterable[Shown], aims: Aims) -> Mapping[Deed, list[Search]]:
    moments_ms: defaultdict[SeenKey, list[int]] = defaultdict(list)
    for seen, occurred_ms in shown:
        if seen in aims:
            moments_ms[seen].append(occurred_ms)
    parts: defaultdict[Doer, list[tuple[Span, SeenKey]]] = defaultdict(list)
    for seen, starts_ms in moments_ms.items():
        goal = aims[seen]
        parts[_owner(seen), goal.deed] += [(span, seen) for span in spans(starts_ms, goal.within_ms)]
    searches: defaultdict[Deed, list[Search]] = defaultdict(list)
    for (owner, deed), theirs in parts.items():
        searches[deed] += _joined(owner, theirs)
    return searches


def _joined(owner: CustomerKey, parts: Iterable[tuple[Span, SeenKey]]) -> list[Search]:
    """Nothing that somebody did is looked at twice."""
    joined: list[Search] = []
    for span, seen in sorted(parts):
        if joined and span.since_ms <= (last := joined[-1].look.span).until_ms:
            wider = Span(last.since_ms, max(last.until_ms, span.until_ms))
            joined[-1].look = Look(owner, wider)
            joined[-1].parts.append((span, seen))
        else:
            joined.append(Search(Look(owner, span), [(span, seen)]))
    return joined


def _first_of_parts(search: Search, conversions: Sequence[Conversion]) -> list[Found]:
    found: list[Found] = []
    for span, seen in search.parts:
        place = bisect_left(conversions, span.since_ms, key=_moment)
        if place < len(conversions) and conversions[place].occurred_ms <= span.until_ms:
            found.append((seen, conversions[place]))
    return found


def _first_since(conversions: Sequence[Conversion], since_ms: int) -> Conversion:
    return conversions[bisect_left(conversions, since_ms, key=_moment)]


def _moment(conversion: Conversion) -> int:
    return conversion.occurred_ms


def spans(starts_ms: Iterable[int], length_ms: int) -> list[Span]:
    """The times at most `length_ms` after one of the moments, in order and apart from each other."""
    joined: list[Span] = []
    for start_ms in sorted(starts_ms):
        if joined and start_ms <= joined[-1].until_ms:
            joined[-1] = Span(joined[-1].since_ms, start_ms + length_ms)
        else:
            joined.append(Span(start_ms, start_ms + length_ms))
    return joined


def _owner(seen: SeenKey) -> CustomerKey:
    return CustomerKey(seen.org_id, seen.subject)


def _message(seen: SeenKey) -> MessageKey:
    return MessageKey(seen.org_id, seen.message_id)
