"""How long fetches take while the org is published ten times a second, each time with one message edited.

What they are compared with runs under the same load: the publisher publishes just as often, but into a database that
the edge does not read, so that its work and that of Redis are no part of the ratio.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import orjson

from bench.figures.latencies import latency_ratio_row, latency_row
from bench.figures.rows import Row
from bench.load.connection import Connection
from bench.load.contest import Contestant, ask_all, contestant, in_turn, latency, saturated
from bench.load.latency import Latency
from bench.servers.beside import beside
from bench.servers.stage import Stage
from bench.world.published import publish_to
from bench.world.requests import fetches

EVERY_S: Final = 0.1
_NAME: Final = "fetch while bundles are swapped"
_SOON_S: Final = 10.0


class NotSwappedError(Exception):
    """The edge does not serve what was published last: what was measured were not fetches during swaps."""


def measure(stage: Stage) -> list[Row]:
    world = stage.world(stage.scale.messages, stage.scale.customers)
    elsewhere = stage.new_database()
    asyncio.run(publish_to(world.org, elsewhere))
    with stage.edge(world) as server:
        edge = contestant(stage, server, fetches(world, stage.scale.requests, resolve=True))
        ask_all(stage, edge)
        urls = {"swapping": world.redis_url, "steady": elsewhere}
        rounds = [_round(stage, edge, str(world.org.org_id), urls, number) for number in stage.each_round(_NAME)]
    renamed = [{"edge": found["swapping"], "steady": found["steady"]} for found in rounds]
    return [
        latency_ratio_row(f"{_NAME}, p99.9 × steady", "p99.9", rounds, "swapping", "steady"),
        *(latency_row(_NAME, percentile, renamed) for percentile in ("p99", "p99.9")),
    ]


def _round(stage: Stage, edge: Contestant, org_id: str, urls: Mapping[str, str], number: int) -> dict[str, Latency]:
    rate_per_s = saturated(stage, edge).requests_per_s / 2
    found = {}
    for name, url in in_turn(list(urls.items()), number):
        with beside("bench.servers.republish", url, org_id, str(EVERY_S), core=stage.cores.generator) as counts:
            found[name] = latency(stage, edge, rate_per_s)
        if name == "swapping":
            asyncio.run(_expect_revision(edge, counts["revision"]))
    return found


async def _expect_revision(edge: Contestant, revision: int) -> None:
    """Raises NotSwappedError."""
    deadline_s = time.monotonic() + _SOON_S
    async with Connection(edge.server.url) as connection:
        while (served := orjson.loads(await connection.send(edge.requests[0]))["data"]["revision"]) < revision:
            if time.monotonic() > deadline_s:
                raise NotSwappedError(f"the edge serves revision {served}, {revision} was published")
            await asyncio.sleep(0.05)
