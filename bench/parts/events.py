"""Events: how many a second one core takes in, alone and among fetches, and what fetches notice of them.

What the edge ships is committed by `bench.servers.commit`, on the generator's core: a recorder has cores of its own.
"""

from collections.abc import Sequence
from itertools import islice
from statistics import median
from typing import Final

from bench.figures.latencies import latency_ratio_row
from bench.figures.ratios import ratio_row
from bench.figures.rows import Row
from bench.load.contest import (
    Between,
    ask_all,
    baselines,
    contestant,
    in_turn,
    latency,
    saturated,
    saturations,
    typical_answer,
)
from bench.load.latency import Latency
from bench.load.profiling import profile
from bench.load.saturation import Saturation
from bench.servers.beside import beside
from bench.servers.stage import Stage
from bench.servers.started import Server
from bench.servers.tools import find
from bench.world.published import World
from bench.world.requests import fetches
from bench.world.sent_events import BATCH, OWN_NUMBER, batches, single_events

SHIPPED_PER_S: Final = 1_000
_BATCHES: Final = f"events/batch of {BATCH}"
_MIX: Final = "mix of 90 % fetches and 10 % events"
_SHIPPING: Final = "fetch p99 with events shipping × without"


def measure(stage: Stage) -> list[Row]:
    world = stage.world(stage.scale.messages, stage.scale.customers)
    with stage.edge(world) as server, beside("bench.servers.commit", world.redis_url, core=stage.cores.generator):
        found = [_shipping_row(stage, world, server), _batch_row(stage, world, server)]
        return [*found, _mix_row(stage, world, server)] if find("nginx") else found


def _shipping_row(stage: Stage, world: World, server: Server) -> Row:
    """At half of saturation, which leaves the edge time for both."""
    edge = contestant(stage, server, fetches(world, stage.scale.requests, resolve=True))
    ask_all(stage, edge)
    mark = OWN_NUMBER.encode()
    unique = (request.replace(mark, b"%08d" % number) for number, request in enumerate(batches(world)))
    events = Between(unique, SHIPPED_PER_S / BATCH)
    rounds: list[dict[str, Latency]] = []
    for number in stage.each_round("fetch with events shipping"):
        rate_per_s = saturated(stage, edge).requests_per_s / 2
        conditions = in_turn((("with events", events), ("without", None)), number)
        rounds.append({name: latency(stage, edge, rate_per_s, between) for name, between in conditions})
    return latency_ratio_row(_SHIPPING, "p99", rounds, "with events", "without")


def _batch_row(stage: Stage, world: World, server: Server) -> Row:
    edge = contestant(stage, server, list(islice(batches(world), stage.scale.requests // BATCH)), numbered=True)
    rounds = [saturated(stage, edge) for _ in stage.each_round(_BATCHES)]
    profile(stage, _BATCHES, edge)
    return Row(_BATCHES, tuple(BATCH * each.requests_per_s for each in rounds), "events/s", *_cost(rounds))


def _cost(rounds: Sequence[Saturation]) -> tuple[str, dict[str, float]]:
    """(a note, the same as detail)"""
    limits = "limited by: " + ", ".join(sorted({each.limit for each in rounds}))
    spent_us = [each.cpu_us / BATCH for each in rounds if each.cpu_us is not None]
    if not spent_us:
        return limits, {}
    return f"{median(spent_us):.1f} µs of CPU an event; {limits}", {"µs of CPU an event": median(spent_us)}


def _mix_row(stage: Stage, world: World, server: Server) -> Row:
    asked = fetches(world, stage.scale.requests, resolve=True)
    answer = typical_answer(stage, contestant(stage, server, asked))
    events = single_events(world)
    mixed = [next(events) if place % 10 == 0 else request for place, request in enumerate(asked)]
    edge = contestant(stage, server, mixed, numbered=True)
    with baselines(stage, answer, asked, ["nginx"]) as others:
        rounds = [saturations(stage, [edge, *others], number) for number in stage.each_round(_MIX)]
    profile(stage, _MIX, edge)
    return ratio_row(f"{_MIX} × nginx", rounds, "edge", "nginx", f"fetches of {len(answer):,} bytes, single events")
