"""Fetches by people whose state is not in memory: each comes from Redis and is evaluated anew."""

import json
from collections.abc import Iterator
from random import Random
from typing import Final

from bench.figures.ratios import ratio_row
from bench.figures.rows import Row
from bench.load.contest import baselines, contestant, saturations, typical_answer
from bench.load.profiling import profile
from bench.servers.stage import Stage
from bench.servers.started import Server
from bench.servers.tools import find
from bench.world.customers import ids
from bench.world.http import FETCH, post
from bench.world.published import World
from bench.world.requests import VARIANTS, bodies

_SEED: Final = 5


def measure(stage: Stage) -> list[Row]:
    """Nothing without nginx, with which it is compared."""
    if find("nginx") is None:
        return []
    world = stage.world(stage.scale.messages, stage.scale.customers)
    with stage.edge(world, INAPP_USER_CACHE_BYTES="0") as server:
        return [_row(stage, world, server, f"fetch cold{how}", resolve) for how, resolve in VARIANTS.items()]


def _row(stage: Stage, world: World, server: Server, name: str, resolve: bool) -> Row:
    edge = contestant(stage, server, list(_fetches_by_anybody(world, stage.scale.requests, resolve=resolve)))
    answer = typical_answer(stage, edge)
    with baselines(stage, answer, edge.requests, ["nginx"]) as others:
        rounds = [saturations(stage, [edge, *others], number) for number in stage.each_round(name)]
    profile(stage, name, edge)
    note = f"answers of {len(answer):,} bytes; {world.customers:,} customers, all equally often"
    return ratio_row(f"{name} × nginx", rounds, "edge", "nginx", note)


def _fetches_by_anybody(world: World, count: int, *, resolve: bool) -> Iterator[bytes]:
    """As those of the workload, but not by its customers: one who asks often is none who is not in memory."""
    random = Random(_SEED)  # noqa: S311
    nobody = {"userId": None, "anonymousId": None}
    for body in bodies(count, world.customers, resolve=resolve):
        fields = json.loads(body) | nobody | ids(random.randrange(world.customers))
        yield post(FETCH, world.org.key, json.dumps(fields).encode())
