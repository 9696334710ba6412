"""Events as SDKs send them, each time with ids that were never used before."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final

from bench.world.audiences import WORDS
from bench.world.customers import ids, zipf
from bench.world.http import TRACK, TRACK_BATCH, post
from bench.world.messages import EVENT_TYPES
from bench.world.published import World
from service.clock import wall_now_ms
from wire import codec, times

BATCH: Final = 20
OWN_NUMBER: Final = "@@@@@@@@"
"""In a request: a number that no other request has, of as many characters. Whoever sends the request puts it there."""

_SEED: Final = 7
_DRAWN: Final = 10_000


def batches(world: World) -> Iterator[bytes]:
    """Whole requests without end, each with 20 events of one customer. Ids contain OWN_NUMBER."""
    random = Random(_SEED)  # noqa: S311
    for number in _numbers(world, random):
        events = [_event(number, place, random) for place in range(BATCH)]
        yield post(TRACK_BATCH, world.org.key, codec.to_json({"events": events}))


def single_events(world: World) -> Iterator[bytes]:
    """The same with one event."""
    random = Random(_SEED)  # noqa: S311
    for number in _numbers(world, random):
        yield post(TRACK, world.org.key, codec.to_json(_event(number, 0, random)))


def _numbers(world: World, random: Random) -> Iterator[int]:
    """Who asks often also does much."""
    while True:
        yield from zipf(_DRAWN, world.customers, random)


def _event(number: int, place: int, random: Random) -> dict[str, Any]:
    """Of a type that rules may count."""
    return {
        "id": f"{OWN_NUMBER}-{place:02d}",
        "eventType": random.choice(EVENT_TYPES),
        "timestamp": times.to_iso(wall_now_ms()),
        "properties": {"kind": random.choice(WORDS), "pages": random.randrange(50)},
        **ids(number),
        "sessionId": f"session-{number}",
        "context": {"platform": "web", "locale": "en-GB", "screen": "1440x900"},
    }
