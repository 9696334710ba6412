"""Fetches as SDKs send them about the workload's customers. Always the same."""

from random import Random
from typing import Any, Final

from bench.world.audiences import WORDS
from bench.world.customers import ids, zipf
from bench.world.http import FETCH, post
from bench.world.messages import EVENT_TYPES, PATHS, SCREENS, SITE
from bench.world.published import World
from wire import codec

VARIANTS: Final = {"": False, ", resolve": True}
"""What rows call them → `resolve`. Everything that somebody may get, and only the winner of each slot where they are:
large answers and small ones."""

_SEED: Final = 20_260_315
_WITH_SCREEN: Final = 0.1
_WITH_EVENT: Final = 0.15


def fetches(world: World, count: int, *, resolve: bool) -> list[bytes]:
    """Whole requests."""
    return [post(FETCH, world.org.key, body) for body in bodies(count, world.customers, resolve=resolve)]


def bodies(count: int, customers: int, *, resolve: bool) -> list[bytes]:
    """Of fetches; the key goes into a header.

    With `resolve`, somebody is somewhere, now and then on a screen of an app, and something may just have happened.
    """
    random = Random(f"{_SEED} {resolve}")  # noqa: S311
    numbers = zipf(count, customers, random)
    if not resolve:
        found = {number: codec.to_json(ids(number)) for number in set(numbers)}
        return [found[number] for number in numbers]
    return [codec.to_json({**ids(number), **_where(random), "resolve": True}) for number in numbers]


def _where(random: Random) -> dict[str, Any]:
    where: dict[str, Any] = {"url": SITE + random.choice(PATHS)}
    if random.random() < _WITH_SCREEN:
        where["screen"] = random.choice(SCREENS)
    if random.random() < _WITH_EVENT:
        where["event"] = {"type": random.choice(EVENT_TYPES), "properties": {"kind": random.choice(WORDS)}}
    return where
