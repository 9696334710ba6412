"""What an edge takes in memory: with the workload's bundles alone, and once it has answered every customer."""

import asyncio
import re
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench.figures.rows import Row
from bench.load.connection import Connection
from bench.servers.stage import Stage
from bench.servers.started import Server
from bench.world.customers import user_id
from bench.world.http import FETCH
from bench.world.published import World

_CONNECTIONS: Final = 16
_GIVE_UP_S: Final = 30.0
_MB: Final = 1_000_000


def measure(stage: Stage) -> list[Row]:
    """Two minutes at `full`. Nothing where the system does not say what a process takes."""
    messages, customers = stage.scale.messages, stage.scale.customers
    world = stage.new_world(messages, customers)
    with stage.edge(world) as server:
        asyncio.run(_fetch(world, server, [customers]))  # has the org loaded
        empty_mb = _resident_mb(server.pid)
        asyncio.run(_fetch_all(world, server))
        full_mb, cached = _resident_mb(server.pid), _metric(server, "inapp_edge_user_cache_entries")
    if empty_mb is None or full_mb is None:
        return []
    if cached < customers:
        raise RuntimeError(f"{cached:,.0f} of {customers:,} customers are in memory: give them more room")
    note = f"{messages:,} messages; the settings that an edge begins with"
    detail = {"cached": cached, "bytes a customer": (full_mb - empty_mb) * _MB / customers}
    return [
        Row("edge memory, nobody cached", (empty_mb,), "MB", note),
        Row("edge memory, customers cached", (full_mb,), "MB", f"{note}; {customers:,} of them, each once", detail),
    ]


async def _fetch_all(world: World, server: Server) -> None:
    async with asyncio.TaskGroup() as tasks:
        for first in range(_CONNECTIONS):
            tasks.create_task(_fetch(world, server, range(first, world.customers, _CONNECTIONS)))


async def _fetch(world: World, server: Server, numbers: Iterable[int]) -> None:
    async with Connection(server.url) as connection:
        for number in numbers:
            async with asyncio.timeout(_GIVE_UP_S):
                await connection.post(FETCH, world.org.key, {"userId": user_id(number)})


def _resident_mb(pid: int) -> float | None:
    """None where nobody tells."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return None if found is None else int(found[1]) * 1024 / _MB


def _metric(server: Server, name: str) -> float:
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:  # noqa: S310 - our own
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0
