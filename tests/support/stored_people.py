"""Customers with traits and a past in Postgres, and what rule conditions say of them there."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Integer, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.audience_counts import LeafResult, membership_of
from store.connect import create_engine
from store.rule_sql import feature_condition, rule_condition
from store.tables import audience_members, audiences, customers, events, orgs
from tests.support.rule_cases import STATIC_ID, Happening, Somebody
from wire.features import Feature
from wire.rule_tree import Rule

ORG_ID = uuid4()
OTHER_ORG_ID = uuid4()
OTHER_STATIC_ID = "018f0000-0000-7000-8000-0000000000f2"

Answers = list[dict[str, bool | None]]

_ADD_CUSTOMERS = text(
    """
    INSERT INTO customers (org_id, subject, traits, rev, created_ms, last_seen_ms)
    SELECT :org_id, subject, CAST(traits AS jsonb), 1, 0, 0
    FROM unnest(CAST(:subjects AS text[]), CAST(:traits AS text[])) AS added (subject, traits)
    """
)
_ADD_EVENTS = text(
    """
    INSERT INTO events (org_id, id, subject, type, occurred_ms, received_ms, properties, context)
    SELECT :org_id, gen_random_uuid(), subject, type, occurred_ms, occurred_ms, CAST(properties AS jsonb), '{}'
    FROM unnest(
        CAST(:subjects AS text[]), CAST(:types AS text[]), CAST(:occurred_ms AS bigint[]), CAST(:properties AS text[])
    ) AS added (subject, type, occurred_ms, properties)
    """
)
_PLACE = customers.c.subject.cast(Integer)


class StoredPeople:
    """One org's customers, in a transaction that is never committed. Their subjects are their positions."""

    def __init__(self, runner: asyncio.Runner, connection: AsyncConnection) -> None:
        self.run = runner.run
        self.connection = connection

    def replace(self, people: Sequence[Somebody], static: Iterable[str] = ()) -> None:
        """Everybody is listed in the `static` audiences."""
        self.run(self._replace([json.dumps(each.traits) for each in people], static))
        past = [(str(place), each) for place, somebody in enumerate(people) for each in somebody.history]
        self.run(self.add_events(ORG_ID, past))

    def replace_traits(self, documents: Sequence[str]) -> None:
        """Traits as JSON text, which Python may not be able to write."""
        self.run(self._replace(documents, ()))

    async def _replace(self, documents: Sequence[str], static: Iterable[str]) -> None:
        await self.connection.execute(text("DELETE FROM customers"))
        await self.connection.execute(text("DELETE FROM events"))
        await self.connection.execute(text("DELETE FROM audience_members"))
        subjects = [str(place) for place in range(len(documents))]
        await self.connection.execute(
            _ADD_CUSTOMERS, {"org_id": ORG_ID, "subjects": subjects, "traits": list(documents)}
        )
        members = [{"org_id": ORG_ID, "audience_id": UUID(id_), "subject": name} for id_ in static for name in subjects]
        if members:
            await self.connection.execute(insert(audience_members), members)

    async def add_events(self, org_id: UUID, past: Sequence[tuple[str, Happening]]) -> None:
        """Events by subject."""
        if past:
            columns = {
                "subjects": [subject for subject, _ in past],
                "types": [each.type for _, each in past],
                "occurred_ms": [each.occurred_ms for _, each in past],
                "properties": [json.dumps(each.properties) for _, each in past],
            }
            await self.connection.execute(_ADD_EVENTS, {"org_id": org_id, **columns})

    def answers(self, wanted: Mapping[str, Rule], rules: Mapping[str, Rule], now_ms: int) -> Answers:
        """What the condition of each wanted rule yields, customer by customer."""
        conditions = [
            rule_condition(rule, org_id=ORG_ID, rules=rules, now_ms=now_ms).label(name) for name, rule in wanted.items()
        ]
        return self._rows(select(*conditions).select_from(customers).order_by(_PLACE))

    def answer(self, rule: Rule, now_ms: int) -> list[bool | None]:
        return [row["it"] for row in self.answers({"it": rule}, {}, now_ms)]

    def chosen(self, rule: Rule, rules: Mapping[str, Rule], now_ms: int) -> list[int]:
        """The positions of the customers whom a WHERE leaves; its plan need not be that of `answers`."""
        condition = rule_condition(rule, org_id=ORG_ID, rules=rules, now_ms=now_ms)
        query = select(_PLACE.label("place")).where(customers.c.org_id == ORG_ID, condition).order_by(_PLACE)
        return [row["place"] for row in self._rows(query)]

    def counted_by(self, features: Sequence[Feature]) -> list[set[int]]:
        """For each feature the moments of the events that belong to it."""
        conditions = [feature_condition(feature).label(f"f{place}") for place, feature in enumerate(features)]
        rows = self._rows(select(events.c.occurred_ms, *conditions))
        return [{row["occurred_ms"] for row in rows if row[f"f{place}"]} for place in range(len(features))]

    def leaves(self, place: int, rule: Rule, rules: Mapping[str, Rule], now_ms: int) -> list[LeafResult] | None:
        return self.run(membership_of(self.connection, ORG_ID, str(place), rule, rules, now_ms))

    def _rows(self, query: Any) -> list[dict[str, Any]]:
        async def read() -> list[dict[str, Any]]:
            return [dict(row._mapping) for row in await self.connection.execute(query)]

        return self.run(read())


@contextmanager
def stored_people(database_url: str) -> Iterator[StoredPeople]:
    engine = create_engine(database_url)
    with asyncio.Runner() as runner:
        connection = runner.run(engine.connect().start())
        runner.run(_add_org(connection))
        yield StoredPeople(runner, connection)
        runner.run(connection.close())
        runner.run(engine.dispose())


async def _add_org(connection: AsyncConnection) -> None:
    await connection.execute(insert(orgs), {"id": ORG_ID, "name": "Org", "plan": "pro", "created_ms": 0})
    named = {"org_id": ORG_ID, "created_ms": 0, "updated_ms": 0}
    static = [{**named, "id": UUID(id_), "name": id_} for id_ in (STATIC_ID, OTHER_STATIC_ID)]
    await connection.execute(insert(audiences), static)
