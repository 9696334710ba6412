"""Fetches by people whose state is in memory: how many a second, and how long they take at half of that."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bench.figures.latencies import latency_row
from bench.figures.ratios import ratio_row
from bench.figures.rows import Row
from bench.load.contest import Contestant, baselines, contestant, in_turn, latency, saturations, typical_answer
from bench.load.latency import PERCENTILES, Latency
from bench.load.profiling import profile
from bench.load.saturation import Saturations
from bench.servers.progress import say
from bench.servers.stage import Stage
from bench.servers.started import Server
from bench.world.published import World
from bench.world.requests import VARIANTS, fetches

_HEADROOM: Final = 1.25


class _Round(NamedTuple):
    saturations: Saturations
    latencies: Mapping[str, Latency]


def measure(stage: Stage) -> list[Row]:
    world = stage.world(stage.scale.messages, stage.scale.customers)
    with stage.edge(world) as server:
        return [
            row for how, resolve in VARIANTS.items() for row in _rows(stage, world, server, f"fetch hot{how}", resolve)
        ]


def _rows(stage: Stage, world: World, server: Server, name: str, resolve: bool) -> list[Row]:
    requests = fetches(world, stage.scale.requests, resolve=resolve)
    edge = contestant(stage, server, requests)
    say(f"{name}: every request once")
    answer = typical_answer(stage, edge)
    with baselines(stage, answer, requests) as others:
        rounds = [_round(stage, [edge, *others], number) for number in stage.each_round(name)]
    profile(stage, name, edge)
    return [*_ratio_rows(name, rounds, len(answer)), *_latency_rows(name, rounds)]


def _round(stage: Stage, contestants: Sequence[Contestant], number: int) -> _Round:
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
