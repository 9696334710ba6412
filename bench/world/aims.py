"""Which audiences the workload's messages are for, so that a customer is given as many of them as is wanted."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from math import exp
from random import Random
from typing import Final

from bench.world.messages import Aim

Sizes = Mapping[str, float]
"""Audience id → the part of the customers who are in it."""

W10: Final = 10
"""So many messages have a customer given nearly all of them."""

_SHARE: Final = 0.1
_SHARE_OF_FEW: Final = 0.85
_FOR_EVERYONE: Final = 0.01
_EXCLUDING: Final = 0.15
_WAITING: Final = 0.06
_STEEPEST: Final = 1_000.0


def aims(messages: int, sizes: Sizes, random: Random) -> list[Aim]:
    """About a tenth of the messages is for any one customer; of W10 it is nearly all.

    Some exclude a small audience, some wait for a large one, each in turn: so all have some use in a large org.
    """
    share = _SHARE_OF_FEW if messages == W10 else _SHARE
    small, large = (cycle(ids) for ids in _halves(sizes))
    excluding, waiting = (_some(messages, part, random) for part in (_EXCLUDING, _WAITING))
    return [
        Aim(
            audience_id,
            tuple({next(small)} - {audience_id}) if number in excluding else (),
            next(large) if number in waiting else None,
        )
        for number, audience_id in enumerate(_targets(messages, share, sizes, random))
    ]


def for_nobody(messages: int, sizes: Sizes, random: Random) -> list[Aim]:
    """For audiences that hardly anybody is in, but not for the members of one that everybody is in."""
    rare = [audience_id for audience_id, size in sizes.items() if size == 0]
    whole = [audience_id for audience_id, size in sizes.items() if size == 1]
    any_other = cycle(audience_id for audience_id in sizes if audience_id not in (*rare, *whole))
    return [Aim(random.choice(rare), (random.choice(whole), next(any_other))) for _ in range(messages)]


def _targets(messages: int, share: float, sizes: Sizes, random: Random) -> list[str | None]:
    """The audience of each message; None: everyone."""
    for_everyone = max(1, round(messages * _FOR_EVERYONE))
    rest = messages - for_everyone
    targets = [*[None] * for_everyone, *_drawn(sizes, (share * messages - for_everyone) / rest, rest, random)]
    return random.sample(targets, messages)


def _drawn(sizes: Sizes, mean: float, count: int, random: Random) -> list[str]:
    """Any of the audiences, but small or large ones so much more often that their mean size is as asked."""
    low, high = -_STEEPEST, _STEEPEST
    while high - low > 1e-6:
        slope = (low + high) / 2
        weights = _weights(sizes, slope)
        found = sum(size * weight for size, weight in zip(sizes.values(), weights, strict=True)) / sum(weights)
        low, high = (slope, high) if found < mean else (low, slope)
    return random.choices(list(sizes), _weights(sizes, low), k=count)


def _weights(sizes: Sizes, slope: float) -> list[float]:
    steepest = max(sizes.values()) if slope > 0 else min(sizes.values())
    return [exp(slope * (size - steepest)) for size in sizes.values()]


def _halves(sizes: Sizes) -> tuple[Sequence[str], Sequence[str]]:
    """Those that less than half of the customers are in, and the others."""
    small = [audience_id for audience_id, size in sizes.items() if size < 0.5]
    return small, [audience_id for audience_id in sizes if audience_id not in small]


def _some(count: int, share: float, random: Random) -> set[int]:
    return set(random.sample(range(count), round(count * share)))
