"""Requests with events: what they are answered, and that a long one holds up nobody."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import pytest

from edge.track import BATCH_MAX_EVENTS, Track
from service.errors import ApiError
from wire import apikeys
from wire.bundle import Settings
from wire.events import Event

pytestmark = pytest.mark.anyio

ORG = UUID(int=7)
KEY = apikeys.mint("pk", "prod", ORG)
NOW_MS = 1_800_000_000_000


class Spool:
    """Keeps events in memory, each append by itself."""

    def __init__(self) -> None:
        self.appended: list[list[Event]] = []

    async def append(self, events: Sequence[Event]) -> None:
        self.appended.append(list(events))


def tracking() -> tuple[Track, list[list[Event]]]:
    table = SimpleNamespace(keys=frozenset({apikeys.digest(KEY)}), settings=Settings())
    bundles: Any = SimpleNamespace(org=lambda org_id: SimpleNamespace(id=org_id, table=table))
    spool: Any = Spool()
    return Track(bundles, spool, lambda: NOW_MS), spool.appended


def batch(*events: Any) -> bytes:
    return orjson.dumps({"events": events})


async def test_a_long_batch_leaves_turns_to_others_and_keeps_its_order() -> None:
    track, appended = tracking()
    properties = {f"property{n}": [None, {"text": "x" * 20}] for n in range(20)}
    raws: list[Any] = [{"eventType": f"e{n}", "userId": "ada", "properties": properties} for n in range(1_000)]
    raws[500] = "no event"
    answering = asyncio.create_task(track.batch(KEY, batch(*raws)))
    turns = 0
    while not answering.done():
        await asyncio.sleep(0)
        turns += 1
    data = orjson.loads(answering.result().body)["data"]
    assert data["accepted"] == 999
    assert [(each["index"], each["code"]) for each in data["rejected"]] == [(500, "invalid_event")]
    assert [event.type for event in appended[0]] == [f"e{n}" for n in range(1_000) if n != 500]
    assert turns > 5


async def test_twins_of_one_request_are_two_events_however_long_it_is() -> None:
    track, appended = tracking()
    twin = {"eventType": "a", "userId": "ada", "timestamp": NOW_MS - 5}
    for _ in range(2):
        await track.batch(KEY, batch(*[twin] * 200))
    first, again = ([event.id for event in events] for events in appended)
    assert len(set(first)) == 200
    assert first == again


async def test_more_events_than_a_batch_may_have_are_refused_as_a_whole() -> None:
    track, appended = tracking()
    with pytest.raises(ApiError):
        await track.batch(KEY, batch(*[{"eventType": "a", "userId": "ada"}] * (BATCH_MAX_EVENTS + 1)))
    assert appended == []
