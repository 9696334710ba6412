"""Fetches by people whose state is in memory: how many a second, and how long they take at half of that."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bench import workload
from bench.contest import (
    Contestant,
    ask_all,
    baselines,
    contestant,
    in_turn,
    latency,
    saturations,
)
from bench.http import FETCH, Connection, post
from bench.latency import PERCENTILES, Latency, latency_row
from bench.profiling import profile
from bench.progress import say
from bench.ratios import Saturations, ratio_row
from bench.rows import Row
from bench.servers import Server
from bench.stage import Stage, World
from inapp.embedded.ports import HOST

VARIANTS: Final = {"fetch hot": False, "fetch hot, resolve": True}
"""Everything that somebody may get, and only the winner of each slot where they are: large answers and small ones."""

_SAMPLE: Final = 200
_HEADROOM: Final = 1.25


class _Round(NamedTuple):
    saturations: Saturations
    latencies: Mapping[str, Latency]


def measure(stage: Stage) -> list[Row]:
    world = stage.world(stage.scale.messages, stage.scale.customers)
    with stage.edge(world) as server:
        return [row for name, resolve in VARIANTS.items() for row in _measure(stage, world, server, name, resolve)]


def fetches(stage: Stage, world: World, *, resolve: bool) -> list[bytes]:
    """Whole requests."""
    bodies = workload.requests(world.org, stage.scale.requests, world.customers, resolve=resolve)
    return [post(FETCH, world.org.key, body) for body in bodies]


def _measure(stage: Stage, world: World, server: Server, name: str, resolve: bool) -> list[Row]:
    requests = fetches(stage, world, resolve=resolve)
    edge = contestant(stage, server, requests)
    say(f"{name}: every request once")
    answer = typical_answer(stage, edge)
    with baselines(stage, answer, requests) as others:
        rounds = [_round(stage, name, [edge, *others], number) for number in range(stage.rounds)]
    profile(stage, name, edge)
    return [*_ratio_rows(name, rounds, len(answer)), *_latency_rows(name, rounds)]


def typical_answer(stage: Stage, each: Contestant) -> bytes:
    """A real answer, made as long as the mean one, after every request has been sent once."""
    mean = round(ask_all(stage, each))
    answers = asyncio.run(_answers(each))
    shorter = [answer for answer in answers if len(answer) <= mean] or [min(answers, key=len)]
    return max(shorter, key=len).ljust(mean)


async def _answers(each: Contestant) -> list[bytes]:
    """To the first requests."""
    async with Connection(HOST, each.server.port) as connection:
        return [await connection.send(request) for request in each.requests[:_SAMPLE]]


def _round(stage: Stage, name: str, contestants: Sequence[Contestant], number: int) -> _Round:
    say(f"{name}: round {number + 1} of {stage.rounds}")
    found = saturations(stage, contestants, number)
    rate_per_s = found["edge"].requests_per_s / 2
    able = [each for each in contestants if found[each.name].requests_per_s > _HEADROOM * rate_per_s]
    return _Round(found, {each.name: latency(stage, each, rate_per_s) for each in in_turn(able, number)})


def _ratio_rows(name: str, rounds: Sequence[_Round], answer_bytes: int) -> list[Row]:
    found = [each.saturations for each in rounds]
    note = f"answers of {answer_bytes:,} bytes"
    return [ratio_row(f"{name} × {to}", found, "edge", to, note) for to in found[0] if to != "edge"]


def _latency_rows(name: str, rounds: Sequence[_Round]) -> list[Row]:
    latencies = [each.latencies for each in rounds]
    return [latency_row(f"{name} at half of saturation", percentile, latencies) for percentile in PERCENTILES]
