"""Customers of the workload: what a recorder would have projected of each, made from a number; how often each asks."""

from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Any, Final, NamedTuple

from bench.world.audiences import PAST_MS, Kind
from wire.userstate import Seen, UserState

ZIPF: Final = 1.1
"""How often a customer asks: as the power of its number, counted from one, is small."""

_WITH_TRAIT = 26 / 40
_WITH_FEATURE = 1 / 2
_MOST_SEEN = 5


class Population(NamedTuple):
    """What customers are made of. `rings`: id of a feature, moments kept; `message_ids`: of what some have seen."""

    now_ms: int
    kinds: Sequence[Kind]
    rings: Sequence[tuple[str, int]]
    message_ids: Sequence[str] = ()


def user_id(number: int) -> str:
    return f"user-{number}"


def device_id(number: int) -> str:
    """The anonymous id of a customer's device."""
    return f"device-{number}"


def sends_device(number: int) -> bool:
    """A third of the customers used the app before they signed in."""
    return number % 3 == 0


def ids(number: int) -> dict[str, str]:
    """Of somebody, as fields of what an SDK sends."""
    device = {"anonymousId": device_id(number)} if sends_device(number) else {}
    return {"userId": user_id(number), **device}


def made(population: Population, number: int) -> UserState:
    """The same for the same number. Has two traits of three, and has done half of what rules ask about."""
    random = Random(number)  # noqa: S311
    traits = {kind.name: kind.value(random) for kind in population.kinds if random.random() < _WITH_TRAIT}
    return UserState(
        rev=number + 1,
        traits=traits,
        stamps={name: (_past_ms(population, random), random.randbytes(16)) for name in traits},
        rings={
            feature_id: _moments(population, random, 1 + int(random.random() * kept))
            for feature_id, kept in population.rings
            if random.random() < _WITH_FEATURE
        },
        seen=_seen(population, random),
        aliases=frozenset([device_id(number)]) if sends_device(number) else frozenset(),
    )


def zipf(count: int, of: int, random: Random) -> list[int]:
    """`count` numbers below `of`: 0 most often, number n in proportion to 1 / (n + 1) ** ZIPF."""
    weights = accumulate((place + 1) ** -ZIPF for place in range(of))
    return random.choices(range(of), cum_weights=list(weights), k=count)


def _seen(population: Population, random: Random) -> dict[str, Seen]:
    ids: Sequence[Any] = population.message_ids
    named = random.sample(ids, random.randint(0, min(_MOST_SEEN, len(ids))))
    return {message_id: _looked_at(population, random) for message_id in named}


def _looked_at(population: Population, random: Random) -> Seen:
    recent_ms = _moments(population, random, random.randint(1, 4))
    return Seen(len(recent_ms), random.randint(0, 1), random.randint(0, 1), recent_ms)


def _moments(population: Population, random: Random, count: int) -> tuple[int, ...]:
    """Newest first."""
    return tuple(sorted((_past_ms(population, random) for _ in range(count)), reverse=True))


def _past_ms(population: Population, random: Random) -> int:
    return population.now_ms - int(random.random() * PAST_MS)
