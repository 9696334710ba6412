"""How long an edge takes from its start until it is ready, with the workload's bundles on its disk and in Redis."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from redis.asyncio import Redis

from bench.cores import cpu_s
from bench.rows import Row, Size
from bench.workload import Workload, publish, workload
from inapp.children import Child
from inapp.embedded import EmbeddedRedis
from inapp.embedded.ports import HOST, free_port
from inapp.embedded.processes import wait_until

_ASK_EVERY_S: Final = 0.005
_GIVE_UP_S: Final = 60.0


class _Start(NamedTuple):
    """`cpu_s` is None where nobody tells."""

    wall_s: float
    cpu_s: float | None


def measure(size: Size) -> list[Row]:
    """Half a minute at `full`."""
    messages, rounds = (1_000, 7) if size == "full" else (40, 1)
    org = workload(messages)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inapp-bench-")))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis", durable=False))
        asyncio.run(_publish(org, redis.url))
        _start(folder, redis.url, org)  # brings the bundles to disk
        found = [_start(folder, redis.url, org) for _ in range(rounds)]
    note = f"from exec to /readyz; {messages:,} messages on disk and in Redis"
    cpu = tuple(each.cpu_s for each in found if each.cpu_s is not None)
    return [
        Row("start of an edge", tuple(each.wall_s for each in found), "s", note),
        *([Row("start of an edge, processor time", cpu, "s of CPU", note)] if cpu else []),
    ]


async def _publish(org: Workload, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        await publish(org, redis)


def _start(folder: Path, redis_url: str, org: Workload) -> _Start:
    """Raises TimeoutError for an edge that does not become ready, or does not bring the org to its disk."""
    port = free_port()
    env = {"REDIS_URL": redis_url, "INAPP_PORT": str(port), "INAPP_EDGE_DIR": str(folder / "edge")}
    child = Child("edge", f"http://{HOST}:{port}", env, folder)
    began_s = time.monotonic()
    child.start()
    try:
        _wait(child.is_ready)
        took_s = time.monotonic() - began_s
        took = _Start(took_s, cpu_s(child.process.pid) if child.process else None)
        _wait((folder / "edge" / "bundles" / str(org.org_id) / "manifest").exists)
        return took
    finally:
        child.stop()


def _wait(check: Callable[[], bool]) -> None:
    if not wait_until(check, _GIVE_UP_S, _ASK_EVERY_S):
        raise TimeoutError(f"still waiting after {_GIVE_UP_S:.0f} seconds")
