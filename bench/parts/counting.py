"""How long the customers of an audience take to count, in an org with many customers and events."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bench.figures.rows import Row
from bench.servers.progress import say
from bench.servers.stage import Size, Stage
from inapp.embedded import EmbeddedPostgres
from store.audience_counts import Counted, count_customers
from store.connect import create_engine
from store.migrate import upgrade_async
from store.rule_sql import rule_condition
from wire.rules import parse_rule

NOW_MS: Final = 1_773_576_000_000
"""2026-03-15T12:00:00Z; the events are of the 180 days before."""

_ORG_ID: Final = UUID("018f0000-0000-7000-8000-000000000001")
_SEED: Final = 0.42
_EVENTS_AT_ONCE: Final = 1_000_000
_RUNS: Final = 5
_PATIENCE_MS: Final = 120_000


class Volume(NamedTuple):
    customers: int
    events: int


class _Case(NamedTuple):
    name: str
    rule: Mapping[str, Any]


_FREE: Final = {"trait": "plan", "op": "eq", "value": "free"}
_GERMAN: Final = {"trait": "country", "op": "in", "value": ["DE", "AT", "CH"]}
_SEATS: Final = {"trait": "seats", "op": "gte", "value": 3}

VOLUMES: Final[Mapping[Size, Volume]] = {"tiny": Volume(2_000, 20_000), "full": Volume(1_000_000, 20_000_000)}

CASES: Final = (
    _Case("exported within 14d", {"all": [_FREE, _SEATS, {"event": "report.exported", "within": "14d"}]}),
    _Case(
        "viewed 3 times within 7d",
        {"all": [_FREE, _GERMAN, {"event": "page.viewed", "count": {"op": "gte", "value": 3}, "within": "7d"}]},
    ),
    _Case("any event within 14d", {"all": [_FREE, _SEATS, {"event": "*", "within": "14d"}]}),
    _Case(
        "never created a project",
        {"all": [_FREE, _GERMAN, {"event": "project.created", "count": {"op": "eq", "value": 0}}]},
    ),
    _Case(
        "long export within 30d",
        {
            "all": [
                _FREE,
                _SEATS,
                {
                    "event": "report.exported",
                    "where": [{"property": "pages", "op": "gte", "value": 30}],
                    "within": "30d",
                },
            ]
        },
    ),
)

_CUSTOMERS: Final = text(
    """
    INSERT INTO customers (org_id, subject, traits, stamps, rev, created_ms, last_seen_ms)
    SELECT
        CAST(:org_id AS uuid),
        CASE WHEN n % 10 = 0 THEN 'a:' ELSE 'u:' END || n,
        jsonb_build_object(
            'plan', (ARRAY['free','free','free','starter','pro'])[1 + floor(random() * 5)],
            'country', (ARRAY['US','US','US','GB','FR','DE','AT','CH','IN','BR'])[1 + floor(random() * 10)],
            'seats', floor(random() * random() * 20),
            'email', 'person.' || n || '@company' || n % 5000 || '.example',
            'firstName', 'Name' || n % 700,
            'appVersion', '2.' || floor(random() * 12) || '.0',
            'createdAt', to_char(to_timestamp((:now_ms - floor(random() * 400) * 86400000) / 1000), 'YYYY-MM-DD'),
            'newsletter', random() < 0.3
        ),
        (
            SELECT jsonb_object_agg(name, jsonb_build_array(:now_ms - n, replace(gen_random_uuid()::text, '-', '')))
            FROM unnest(ARRAY['plan','country','seats','email','firstName','appVersion','createdAt','newsletter']) name
            WHERE n > 0
        ),
        n, :now_ms - 15552000000, :now_ms
    FROM generate_series(1, :customers) AS n
    """
)

_EVENTS: Final = text(
    """
    INSERT INTO events (org_id, id, subject, type, occurred_ms, received_ms, properties, context, session_id)
    SELECT
        CAST(:org_id AS uuid), uuidv7(), CASE WHEN owner % 10 = 0 THEN 'a:' ELSE 'u:' END || owner, type, at_ms, at_ms,
        CASE type
            WHEN 'report.exported' THEN jsonb_build_object('pages', floor(random() * 50), 'format', 'pdf')
            WHEN 'page.viewed' THEN jsonb_build_object('path', '/p/' || owner % 97, 'ms', floor(random() * 9000))
            ELSE '{"source": "app"}'
        END,
        '{"locale": "en-GB", "platform": "web", "screen": "1440x900"}',
        's' || owner || '-' || at_ms / 1800000
    FROM (
        SELECT
            1 + floor(power(random(), 1.5) * :customers)::bigint AS owner,
            :from_ms + floor((n - random()) * :step_ms)::bigint AS at_ms,
            (ARRAY[
                'page.viewed', 'page.viewed', 'page.viewed', 'page.viewed', 'page.viewed', 'page.viewed', 'page.viewed',
                'page.viewed', 'feature.used', 'feature.used', 'feature.used', 'feature.used', 'session.started',
                'session.started', 'in_app.impression', 'in_app.impression', 'search.run', 'report.exported',
                'invite.sent', 'project.created'
            ])[1 + floor(random() * 20)] AS type
        FROM generate_series(1, :count) AS n
    ) AS made
    """
)

_INDEXES: Final = text(
    """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename IN ('events', 'customers') AND indexname NOT LIKE '%_pkey'
    """
)


def measure(stage: Stage) -> list[Row]:
    """In a Postgres of its own, which is gone afterwards."""
    server = EmbeddedPostgres(stage.new_folder(), durable=False)
    try:
        return asyncio.run(_measure(server.start(), VOLUMES[stage.size]))
    finally:
        server.remove()


async def _measure(database_url: str, volume: Volume) -> list[Row]:
    await upgrade_async(database_url)
    engine = create_engine(database_url)
    try:
        await build(engine, volume)
        return [await _timed(engine, case, volume) for case in CASES]
    finally:
        await engine.dispose()


async def build(engine: AsyncEngine, volume: Volume) -> None:
    """An org's customers and events, the same ones every time."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT setseed(:seed)"), {"seed": _SEED})
        indexes = list(await connection.execute(_INDEXES))
        for name, _ in indexes:
            await connection.execute(text(f'DROP INDEX "{name}"'))
        await connection.execute(_CUSTOMERS, {"org_id": _ORG_ID, "customers": volume.customers, "now_ms": NOW_MS})
        await _add_events(connection, volume)
        for name, definition in indexes:
            say(f"building {name}")
            await connection.execute(text(definition))
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))


async def _add_events(connection: AsyncConnection, volume: Volume) -> None:
    step_ms = 180 * 86_400_000 / volume.events
    for done in range(0, volume.events, _EVENTS_AT_ONCE):
        count = min(_EVENTS_AT_ONCE, volume.events - done)
        from_ms = NOW_MS - round((volume.events - done) * step_ms)
        values = {"org_id": _ORG_ID, "customers": volume.customers, "count": count}
        await connection.execute(_EVENTS, {**values, "from_ms": from_ms, "step_ms": step_ms})
        say(f"{done + count:,} of {volume.events:,} events")


async def _timed(engine: AsyncEngine, case: _Case, volume: Volume) -> Row:
    """Several counts, after one that is not measured."""
    condition = rule_condition(parse_rule(case.rule), org_id=_ORG_ID, rules={}, now_ms=NOW_MS)
    took_s: list[float] = []
    async with engine.connect() as connection:
        counted = await count_customers(connection, _ORG_ID, condition, timeout_ms=_PATIENCE_MS)
        for _ in range(_RUNS):
            begun_s = time.perf_counter()
            counted = await count_customers(connection, _ORG_ID, condition, timeout_ms=_PATIENCE_MS)
            took_s.append(time.perf_counter() - begun_s)
    return Row(f"count: {case.name}", tuple(took_s), "s", _note(counted, volume))


def _note(counted: Counted, volume: Volume) -> str:
    return f"{counted.count:,} of {volume.customers:,} customers with {volume.events:,} events"
