"""What an edge takes in memory: with the workload's bundles alone, and once it has answered every customer."""

import asyncio
import re
import tempfile
import urllib.request
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from redis.asyncio import Redis

from bench.customers import user_id
from bench.http import FETCH, Connection, post
from bench.rows import Row, Size
from bench.servers import Server, edge
from bench.workload import CUSTOMERS, Workload, project, publish, workload
from inapp.embedded import EmbeddedRedis
from inapp.embedded.ports import HOST
from wire import codec

_CONNECTIONS: Final = 16
_GIVE_UP_S: Final = 30.0
_MB: Final = 1_000_000


def measure(size: Size) -> list[Row]:
    """Two minutes at `full`. Nothing where the system does not say what a process takes."""
    messages, customers = (1_000, CUSTOMERS) if size == "full" else (40, 60)
    org = workload(messages)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inapp-bench-")))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis", durable=False))
        asyncio.run(_prepare(org, redis.url, customers))
        server = stack.enter_context(edge(folder / "edge", redis.url, None))
        asyncio.run(_fetch(org, server, [customers]))  # has the org loaded
        empty_mb = _resident_mb(server.pid)
        asyncio.run(_fetch_all(org, server, customers))
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


async def _prepare(org: Workload, redis_url: str, customers: int) -> None:
    async with Redis.from_url(redis_url) as redis:
        await publish(org, redis)
        await project(org, redis, customers)


async def _fetch_all(org: Workload, server: Server, customers: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        for first in range(_CONNECTIONS):
            tasks.create_task(_fetch(org, server, range(first, customers, _CONNECTIONS)))


async def _fetch(org: Workload, server: Server, numbers: Iterable[int]) -> None:
    async with Connection(HOST, server.port) as connection:
        for number in numbers:
            async with asyncio.timeout(_GIVE_UP_S):
                await connection.send(post(FETCH, org.key, codec.to_json({"userId": user_id(number)})))


def _resident_mb(pid: int) -> float | None:
    """None where nobody tells."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return None if found is None else int(found[1]) * 1024 / _MB


def _metric(server: Server, name: str) -> float:
    with urllib.request.urlopen(f"http://{HOST}:{server.port}/metrics") as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0
