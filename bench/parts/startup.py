"""How long an edge takes from its start until it is ready, with the workload's bundles on its disk and in Redis."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from bench.figures.rows import Row
from bench.servers.cores import cpu_s
from bench.servers.stage import Stage
from bench.servers.started import edge_process
from bench.world.published import publish_to
from bench.world.workload import Workload, workload
from inapp.embedded.processes import wait_until

_ASK_EVERY_S: Final = 0.005
_GIVE_UP_S: Final = 60.0


class _Start(NamedTuple):
    """`cpu_s` is None where nobody tells."""

    wall_s: float
    cpu_s: float | None


def measure(stage: Stage) -> list[Row]:
    """Half a minute at `full`."""
    messages, rounds = (1_000, 7) if stage.size == "full" else (40, 1)
    org, folder, redis_url = workload(messages), stage.new_folder(), stage.new_database()
    folder.mkdir()
    asyncio.run(publish_to(org, redis_url))
    _start(folder, redis_url, org)  # brings the bundles to disk
    found = [_start(folder, redis_url, org) for _ in range(rounds)]
    note = f"from exec to /readyz; {messages:,} messages on disk and in Redis"
    cpu = tuple(each.cpu_s for each in found if each.cpu_s is not None)
    return [
        Row("start of an edge", tuple(each.wall_s for each in found), "s", note),
        *([Row("start of an edge, processor time", cpu, "s of CPU", note)] if cpu else []),
    ]


def _start(folder: Path, redis_url: str, org: Workload) -> _Start:
    """Raises TimeoutError for an edge that does not become ready, or does not bring the org to its disk."""
    child = edge_process(folder, redis_url, {})
    began_s = time.monotonic()
    child.start()
    try:
        _wait(child.is_ready)
        took_s = time.monotonic() - began_s
        took = _Start(took_s, cpu_s(child.process.pid) if child.process else None)
        _wait((folder / "data" / "bundles" / str(org.org_id) / "manifest").exists)
        return took
    finally:
        child.stop()


def _wait(check: Callable[[], bool]) -> None:
    if not wait_until(check, _GIVE_UP_S, _ASK_EVERY_S):
        raise TimeoutError(f"still waiting after {_GIVE_UP_S:.0f} seconds")
