"""Fetches by people whose state is not in memory: each comes from Redis and is evaluated anew."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from bench import customers, workload
from bench.contest import baselines, contestant, saturations
from bench.fetching import VARIANTS, typical_answer
from bench.http import FETCH, post
from bench.profiling import profile
from bench.progress import say
from bench.ratios import ratio_row
from bench.rows import Row
from bench.servers import Server
from bench.stage import Stage, World
from bench.tools import find

_SEED: Final = 5


def measure(stage: Stage) -> list[Row]:
    """Nothing without nginx, with which it is compared."""
    if find("nginx") is None:
        return []
    world = stage.world(stage.scale.messages, stage.scale.customers)
    with stage.edge(world, INAPP_USER_CACHE_BYTES="0") as server:
        return [_measure(stage, world, server, hot, resolve=resolve) for hot, resolve in VARIANTS.items()]


def _measure(stage: Stage, world: World, server: Server, hot: str, *, resolve: bool) -> Row:
    name = hot.replace("hot", "cold")
    edge = contestant(stage, server, list(_requests(stage, world, resolve=resolve)))
    answer = typical_answer(stage, edge)
    rounds = []
    with baselines(stage, answer, edge.requests, ["nginx"]) as others:
        for number in range(stage.rounds):
            say(f"{name}: round {number + 1} of {stage.rounds}")
            rounds.append(saturations(stage, [edge, *others], number))
    profile(stage, name, edge)
    note = f"answers of {len(answer):,} bytes; {world.customers:,} customers, all equally often"
    return ratio_row(f"{name} × nginx", rounds, "edge", "nginx", note)


def _requests(stage: Stage, world: World, *, resolve: bool) -> Iterator[bytes]:
    """As those of the workload, but by anybody: a customer who asks often is no customer who is not in memory."""
    random = Random(_SEED)  # noqa: S311
    for body in workload.requests(world.org, stage.scale.requests, world.customers, resolve=resolve):
        fields = json.loads(body) | _who(random.randrange(world.customers))
        yield post(FETCH, world.org.key, json.dumps(fields).encode())


def _who(number: int) -> dict[str, Any]:
    """Replaces both ids of a fetch; null is nobody."""
    device = customers.device_id(number) if customers.sends_device(number) else None
    return {"userId": customers.user_id(number), "anonymousId": device}
