"""How soon what happens at one edge counts at another: the four processes and a second edge, on real servers.

Each probe is a person of its own whom the second edge knows already. The time runs from the first edge's
acknowledgement to the end of the first fetch at the second that has the message, asked again every few milliseconds.
Meanwhile other people's events come in at a fixed rate.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from admin.orgs.service import create_org
from bench.figures.rows import Row
from bench.load.connection import Connection
from bench.load.latency import distribution
from bench.servers.stage import Size, Stage
from bench.servers.started import edge
from bench.world.http import FETCH, TRACK, TRACK_BATCH
from inapp.admin_client import AdminClient
from inapp.database import in_transaction
from inapp.embedded.processes import wait_until
from inapp.local import Local
from service.clock import wall_now_ms

_ASK_EVERY_S: Final = 0.004
_GIVE_UP_S: Final = 10.0
_NOTHING: Final = b'"messages":[]'
_EVENTS_AT_ONCE: Final = 25
_PROBERS: Final = 4
_READY_TIMEOUT_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.05


class Load(NamedTuple):
    seconds: float
    probes: int
    events_per_s: int


LOADS: Final[dict[Size, Load]] = {"tiny": Load(2.0, 20, 100), "full": Load(60.0, 1_200, 500)}

Kind = Callable[[str], dict[str, Any]]


def _tracked(user_id: str) -> dict[str, Any]:
    return {"eventType": "order.paid", "userId": user_id, "properties": {"amount": 49}}


def _identified(user_id: str) -> dict[str, Any]:
    return {"eventType": "user.identified", "userId": user_id, "properties": {"plan": "vip"}}


KINDS: Final[dict[str, Kind]] = {"track": _tracked, "identify": _identified}


def measure(stage: Stage) -> list[Row]:
    """A minute at `full`."""
    load, folder = LOADS[stage.size], stage.new_folder()
    with Local(folder, 0, 0) as local, edge(stage.new_folder(), local.addresses.redis_url, None) as second:
        key = _prepared_org(folder, local.addresses.admin)
        return asyncio.run(_run(load, key, local.addresses.edge, second.url))


def _prepared_org(folder: Path, admin_url: str) -> str:
    """The public key of an org with a live message for those who paid or are VIPs."""
    org = in_transaction(folder, lambda connection: create_org(connection, "Bench", "pro", wall_now_ms()))
    client = AdminClient(f"{admin_url}/api/v1/orgs/{org.org_id}", org.secret_key)
    rule = {"any": [{"event": "order.paid", "within": "1d"}, {"trait": "plan", "op": "eq", "value": "vip"}]}
    audience = client.call("POST", "/audiences", {"name": "Paid or VIP", "rule": rule})
    content = {"title": "Thank you", "body": "For your order."}
    fields = {"type": "banner", "content": content, "audienceId": audience["id"]}
    message = client.call("POST", "/in-app-messages", fields)
    _wait_until_live(client, message["id"])
    return org.public_key


def _wait_until_live(client: AdminClient, message_id: str) -> None:
    """Raises TimeoutError: its audience is over events, which have to be gathered first."""
    if not wait_until(lambda: _status(client, message_id) == "live", _READY_TIMEOUT_S, _LOOK_EVERY_S):
        raise TimeoutError(f"the message is {_status(client, message_id)} after {_READY_TIMEOUT_S:.0f} seconds")


def _status(client: AdminClient, message_id: str) -> str:
    return str(client.call("GET", f"/in-app-messages/{message_id}")["status"])


async def _run(load: Load, key: str, first_url: str, second_url: str) -> list[Row]:
    probers = [_probe_all(load, place, key, first_url, second_url) for place in range(_PROBERS)]
    async with asyncio.TaskGroup() as tasks:
        background = tasks.create_task(_send_events(load, key, first_url))
        found = await asyncio.gather(*probers)
        background.cancel()
    probes = [probe for part in found for probe in part]
    return [row for kind in KINDS for row in _rows(kind, [ns for name, ns in probes if name == kind], load)]


async def _send_events(load: Load, key: str, url: str) -> None:
    """Other people's events, at the rate whatever the answers take, until cancelled."""
    pause_s, due_s, sent = _EVENTS_AT_ONCE / load.events_per_s, time.monotonic(), 0
    async with Connection(url) as first:
        while True:
            batch = [_tracked(f"other-{(sent + place) % 5_000}") for place in range(_EVENTS_AT_ONCE)]
            await first.post(TRACK_BATCH, key, {"events": batch})
            sent += _EVENTS_AT_ONCE
            due_s += pause_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))


async def _probe_all(load: Load, place: int, key: str, first_url: str, second_url: str) -> Sequence[tuple[str, int]]:
    """Probes spread evenly over the time; (kind, nanoseconds) of each."""
    found = []
    pause_s, due_s = load.seconds * _PROBERS / load.probes, time.monotonic()
    async with Connection(first_url) as first, Connection(second_url) as second:
        for number in range(load.probes // _PROBERS):
            kind = list(KINDS)[number % len(KINDS)]
            found.append((kind, await _probe(key, first, second, f"probe-{place}-{number}", kind)))
            due_s += pause_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    return found


async def _probe(key: str, first: Connection, second: Connection, user_id: str, kind: str) -> int:
    """Nanoseconds. Raises TimeoutError after seconds without the message."""
    who = {"userId": user_id}
    if _NOTHING not in await second.post(FETCH, key, who):
        raise RuntimeError(f"{user_id} has the message before anything happened")
    await first.post(TRACK, key, KINDS[kind](user_id))
    acknowledged_ns = time.monotonic_ns()
    async with asyncio.timeout(_GIVE_UP_S):
        while _NOTHING in await second.post(FETCH, key, who):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_ASK_EVERY_S)
    return time.monotonic_ns() - acknowledged_ns


def _rows(kind: str, found_ns: Sequence[int], load: Load) -> list[Row]:
    took = distribution(found_ns)
    note = f"{len(found_ns):,} probes in {load.seconds:.0f} s of {load.events_per_s} events/s"
    return [
        Row(f"{kind} at one edge → fetch at another, p50", (took.p50,), "ms", note),
        Row(f"{kind} at one edge → fetch at another, p99", (took.p99,), "ms", note),
        Row(f"{kind} at one edge → fetch at another, longest", (took.longest,), "ms", note),
    ]
