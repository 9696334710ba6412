"""How soon an edit counts: a message is changed through the admin API while somebody who is given it asks an edge.

The four processes on real servers. The time runs from the admin's answer to the end of the first fetch that has the new
text, asked again every few milliseconds.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audit.service import Actor
from admin.keys.service import create_key
from bench.figures.rows import Row
from bench.load.connection import Connection
from bench.load.latency import distribution
from bench.servers.stage import Size, Stage
from bench.world.http import FETCH
from bench.world.stored import store_org
from bench.world.workload import Workload, workload
from inapp.admin_client import AdminClient
from inapp.database import in_transaction
from inapp.local import Local

_ASK_EVERY_S: Final = 0.004
_GIVE_UP_S: Final = 30.0
_WHO: Final = {"userId": "somebody"}


class Scale(NamedTuple):
    messages: int
    rounds: int
    edits: int


class _Edit(NamedTuple):
    """Nanoseconds until the edit was visible: from the admin's answer, and from the moment at which it was asked."""

    answered: int
    asked: int


SCALES: Final[dict[Size, Scale]] = {"tiny": Scale(40, 1, 6), "full": Scale(1_000, 5, 200)}


def measure(stage: Stage) -> list[Row]:
    """Some minutes at `full`."""
    scale = SCALES[stage.size]
    org, folder = workload(scale.messages), stage.new_folder()
    with Local(folder, 0, 0) as local:
        admin = _stored_org(folder, org, local.addresses.admin)
        rounds = asyncio.run(_edit_all(org, admin, local.addresses.edge, scale))
    note = f"{scale.edits} edits a round, one after the other, of an org with {scale.messages:,} messages"
    return [
        *_rows("publish → visible at an edge", [[each.answered for each in edits] for edits in rounds], note),
        *_rows("save → visible at an edge", [[each.asked for each in edits] for edits in rounds], note),
    ]


def _rows(name: str, rounds_ns: Sequence[Sequence[int]], note: str) -> list[Row]:
    found = [distribution(found_ns) for found_ns in rounds_ns]
    longest = {"longest": max(each.longest for each in found)}
    return [
        Row(f"{name}, p50", tuple(each.p50 for each in found), "ms", note),
        Row(f"{name}, p99", tuple(each.p99 for each in found), "ms", note, longest),
    ]


def _stored_org(folder: Path, org: Workload, admin_url: str) -> AdminClient:
    async def store(connection: AsyncConnection) -> str:
        await store_org(connection, org)
        payload = {"kind": "sk", "role": "admin", "name": "Bench"}
        return (await create_key(connection, Actor.cli(org.org_id), payload, org.now_ms)).key

    return AdminClient(f"{admin_url}/api/v1/orgs/{org.org_id}", in_transaction(folder, store))


async def _edit_all(org: Workload, admin: AdminClient, edge_url: str, scale: Scale) -> list[list[_Edit]]:
    """Of the messages that somebody is given, in turn, so that now this bundle changes and now that one."""
    async with Connection(edge_url) as edge:
        given = await _given(edge, org.key)
        rounds = [range(first, first + scale.edits) for first in range(0, scale.rounds * scale.edits, scale.edits)]
        return [
            [await _edit(admin, edge, org.key, given[number % len(given)], f"Edit {number}.") for number in numbers]
            for numbers in rounds
        ]


async def _given(edge: Connection, key: str) -> list[str]:
    """Ids of messages, once the edge has them and knows that somebody is nobody who is known."""
    async with asyncio.timeout(_GIVE_UP_S):
        while True:
            try:
                data = json.loads(await edge.post(FETCH, key, _WHO))["data"]
            except RuntimeError:  # not published yet
                data = {"degraded": True}
            if not data.get("degraded"):
                return [message["id"] for message in data["messages"]]
            await asyncio.sleep(_ASK_EVERY_S)


async def _edit(admin: AdminClient, edge: Connection, key: str, message_id: str, text: str) -> _Edit:
    """Raises TimeoutError after seconds without the new text."""
    asked_ns = time.monotonic_ns()
    await asyncio.to_thread(admin.call, "PATCH", f"/in-app-messages/{message_id}", {"content": {"body": text}})
    answered_ns = time.monotonic_ns()
    async with asyncio.timeout(_GIVE_UP_S):
        while text.encode() not in await edge.post(FETCH, key, _WHO):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_ASK_EVERY_S)
    seen_ns = time.monotonic_ns()
    return _Edit(seen_ns - answered_ns, seen_ns - asked_ns)
