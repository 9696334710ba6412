"""Batches of events as edges ship them: what the workload's customers do, those most who ask most."""

from collections.abc import Iterator
from random import Random
from typing import Final
from uuid import UUID

from bench.world.audiences import WORDS
from bench.world.customers import user_id, zipf
from bench.world.messages import EVENT_TYPES, SITE
from bench.world.workload import Workload
from service.clock import wall_now_ms
from wire import codec, events
from wire.events import Event, EventBatch

EVENTS_A_BATCH: Final = 100

_EDGES: Final = 2
_MIX: Final = (
    *EVENT_TYPES * 3,
    *["page.viewed"] * 20,
    *[events.IMPRESSION] * 14,
    events.CLICKED,
    events.DISMISSED,
    *[events.IDENTIFIED] * 4,
)
"""Of 100 events: 60 of types that rules ask about, 16 about messages, 4 that set a trait."""


def batches(org: Workload, count: int, customers: int, seed: int) -> Iterator[EventBatch]:
    """In turn from two edges. Other ones for another seed."""
    random = Random(f"backlog {seed}")  # noqa: S311
    now_ms, numbers = wall_now_ms(), zipf(count, customers, random)
    spools = [UUID(int=random.getrandbits(120) << 8 | edge, version=4) for edge in range(_EDGES)]
    for place, first in enumerate(range(0, count, EVENTS_A_BATCH)):
        members = numbers[first : first + EVENTS_A_BATCH]
        made = tuple(_event(org, number, now_ms + place, random) for number in members)
        yield EventBatch(spools[place % _EDGES], place // _EDGES + 1, made)


def _event(org: Workload, customer: int, now_ms: int, random: Random) -> Event:
    type_ = random.choice(_MIX)
    properties = codec.to_json(_properties(org, type_, random))
    id_ = UUID(int=random.getrandbits(128), version=4).bytes
    context = codec.to_json({"locale": "en-GB", "platform": "web", "url": SITE})
    return Event(id_, org.org_id, type_, user_id(customer), None, now_ms, now_ms, properties, context, f"s{customer}")


def _properties(org: Workload, type_: str, random: Random) -> dict[str, object]:
    if type_ in events.MESSAGE_EVENTS:
        return {"messageId": str(random.choice(org.snapshot.messages).id)}
    if type_ == events.IDENTIFIED:
        kind = random.choice(org.population.kinds)
        return {kind.name: kind.value(random)}
    return {"kind": random.choice(WORDS), "amount": random.randrange(100)}
