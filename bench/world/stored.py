"""The workload in Postgres, as the admin API and the recorder would have written it by and by."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.world.workload import JSON_COLUMNS, Workload, customer, subject
from engine.features import features_of
from store import outbox, tables
from wire import apikeys
from wire.features import Feature
from wire.rule_tree import to_json
from wire.userstate import UserState

_AT_ONCE: Final = 1_000

Record = tuple[Any, ...]


async def store_org(connection: AsyncConnection, org: Workload) -> None:
    """Its public key, audiences and messages; what the audiences ask about events is ready."""
    mine = {"org_id": org.org_id, "created_ms": org.now_ms}
    await connection.execute(insert(tables.orgs).values(id=org.org_id, name="Bench", plan="pro", created_ms=org.now_ms))
    key = {"id": org.org_id, "kind": "pk", "env": "prod", "name": "Bench", "hint": org.key[-4:]}
    await connection.execute(insert(tables.api_keys).values(**mine, **key, digest=apikeys.digest(org.key)))
    audiences = [{"id": UUID(id_), "name": id_, "rule": to_json(rule)} for id_, rule in org.rules.items()]
    touched = {**mine, "updated_ms": org.now_ms}
    await connection.execute(insert(tables.audiences), [{**touched, **each} for each in audiences])
    messages = [{**touched, **each, "published_ms": org.now_ms} for each in _messages(org)]
    await connection.execute(insert(tables.in_app_messages), messages)
    features = features_of(org.rules.values()).values()
    await connection.execute(insert(tables.event_features), [{**mine, **_feature(each)} for each in features])
    await outbox.announce(connection, org.org_id, org.now_ms)


def _messages(org: Workload) -> Iterator[dict[str, Any]]:
    for row in org.snapshot.messages:
        columns = row._asdict()
        parsed = {name: None if columns[name] is None else json.loads(columns[name]) for name in JSON_COLUMNS}
        yield {"name": str(row.id), **columns, **parsed}


def _feature(feature: Feature) -> dict[str, Any]:
    event, where, kept = feature.fields()
    return {"id": feature.id, "event": event, "where": where, "kept": kept, "ready": kept, "pass_id": 1}


async def store_customers(connection: AsyncConnection, org: Workload, count: int) -> None:
    """The first `count` of them, with traits and rings. What they have seen, and who they were before, is left out."""
    for first in range(0, count, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, count))
        states = [(subject(number), customer(org, number)) for number in numbers]
        await _copy(connection, "customers", _CUSTOMER, [_customer(org, *each) for each in states])
        await _copy(connection, "event_rings", _RING, [ring for each in states for ring in _rings(org, *each)])
    await connection.execute(text("SELECT setval('customer_rev', :rev)"), {"rev": count + 1})


_CUSTOMER: Final = ("org_id", "subject", "traits", "stamps", "rev", "created_ms", "last_seen_ms")
_RING: Final = ("org_id", "subject", "feature_id", "recent_ms")


def _customer(org: Workload, subject: str, state: UserState) -> Record:
    stamps = {name: [received_ms, event_id.hex()] for name, (received_ms, event_id) in state.stamps.items()}
    traits = json.dumps(state.traits)
    return (org.org_id, subject, traits, json.dumps(stamps), state.rev, org.now_ms, org.now_ms)


def _rings(org: Workload, subject: str, state: UserState) -> Iterator[Record]:
    for feature_id, recent_ms in state.rings.items():
        yield (org.org_id, subject, feature_id, recent_ms)


async def _copy(connection: AsyncConnection, table: str, columns: Sequence[str], records: Sequence[Record]) -> None:
    raw: Any = (await connection.get_raw_connection()).driver_connection
    await raw.copy_records_to_table(table, records=records, columns=columns)
