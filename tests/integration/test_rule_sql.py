import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Integer, insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.rules import compile_rules
from store.connect import create_engine
from store.rule_sql import rule_condition
from store.tables import audience_members, audiences, customers, orgs
from tests.support import rule_cases
from tests.support.rule_cases import AUDIENCE_IDS, NOW_MS, STATIC_ID, UNDER_TEST, load_groups
from wire.rule_tree import AllOf, Compare, InAudience, Not, Rule

ORG_ID = uuid4()
OTHER_STATIC_ID = "018f0000-0000-7000-8000-0000000000f2"
ADD_CUSTOMER = text(
    "INSERT INTO customers (org_id, subject, traits, rev, created_ms, last_seen_ms)"
    " VALUES (:org_id, :subject, CAST(CAST(:traits AS text) AS jsonb), 1, 0, 0)"
)

Answers = list[dict[str, bool | None]]


class Customers:
    """One org's customers, in a transaction that is never committed. They are named by their position."""

    def __init__(self, runner: asyncio.Runner, connection: AsyncConnection) -> None:
        self._runner = runner
        self._connection = connection

    def replace(self, documents: Sequence[str], static: Iterable[str] = ()) -> None:
        """Traits as JSON text. Everybody is listed in the `static` audiences."""
        self._runner.run(self._replace(documents, static))

    async def _replace(self, documents: Sequence[str], static: Iterable[str]) -> None:
        await self._connection.execute(customers.delete())
        await self._connection.execute(audience_members.delete())
        subjects = [str(place) for place in range(len(documents))]
        rows = [
            {"org_id": ORG_ID, "subject": name, "traits": traits}
            for name, traits in zip(subjects, documents, strict=True)
        ]
        members = [{"org_id": ORG_ID, "audience_id": UUID(id_), "subject": name} for id_ in static for name in subjects]
        await self._connection.execute(ADD_CUSTOMER, rows)
        if members:
            await self._connection.execute(insert(audience_members), members)

    def answers(self, wanted: Mapping[str, Rule], rules: Mapping[str, Rule], now_ms: int) -> Answers:
        """What the condition of each wanted rule yields, customer by customer."""
        return self._runner.run(self._answers(wanted, rules, now_ms))

    async def _answers(self, wanted: Mapping[str, Rule], rules: Mapping[str, Rule], now_ms: int) -> Answers:
        conditions = [
            rule_condition(rule, org_id=ORG_ID, rules=rules, now_ms=now_ms).label(name) for name, rule in wanted.items()
        ]
        query = select(*conditions).select_from(customers).order_by(customers.c.subject.cast(Integer))
        return [dict(row._mapping) for row in await self._connection.execute(query)]

    def answer(self, rule: Rule, *documents: str) -> list[bool | None]:
        self.replace(documents)
        return [row["it"] for row in self.answers({"it": rule}, {}, NOW_MS)]


@pytest.fixture
def stored(database_url: str) -> Iterator[Customers]:
    engine = create_engine(database_url)
    with asyncio.Runner() as runner:
        connection = runner.run(engine.connect().start())
        runner.run(_add_org(connection))
        yield Customers(runner, connection)
        runner.run(connection.close())
        runner.run(engine.dispose())


async def _add_org(connection: AsyncConnection) -> None:
    await connection.execute(insert(orgs), {"id": ORG_ID, "name": "Org", "plan": "pro", "created_ms": 0})
    named = {"org_id": ORG_ID, "created_ms": 0, "updated_ms": 0}
    static = [{**named, "id": UUID(id_), "name": id_} for id_ in (STATIC_ID, OTHER_STATIC_ID)]
    await connection.execute(insert(audiences), static)


def test_a_condition_holds_for_exactly_the_customers_that_the_vectors_name(stored: Customers) -> None:
    wrong = []
    for group in load_groups():
        everyone = (*group.holds, *group.fails)
        stored.replace([json.dumps(traits) for traits in everyone], group.static)
        answers = stored.answers({UNDER_TEST: group.rule}, group.rules, group.now_ms)
        for place, (traits, answer) in enumerate(zip(everyone, answers, strict=True)):
            if answer[UNDER_TEST] is not (place < len(group.holds)):
                wrong.append((group.name, traits, answer[UNDER_TEST]))
    assert wrong == []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rules=rule_cases.AUDIENCES,
    people=st.lists(rule_cases.TRAITS, min_size=5, max_size=10),
    static=st.sampled_from([(), (STATIC_ID,)]),
    now_ms=rule_cases.NOWS_MS,
)
def test_postgres_and_python_agree_on_random_audiences(
    stored: Customers, rules: dict[str, Rule], people: list[dict[str, Any]], static: tuple[str, ...], now_ms: int
) -> None:
    stored.replace([json.dumps(traits) for traits in people], static)
    membership = compile_rules(rules)
    expected = []
    for traits in people:
        held, _ = membership.evaluate(traits, frozenset(static), now_ms)
        expected.append({audience_id: audience_id in held for audience_id in rules})
    assert stored.answers(rules, rules, now_ms) == expected


NUMBER_BEYOND_DOUBLES = ['{"x": 1e400}', '{"x": -1e400}', '{"x": ' + "9" * 400 + "}"]


@pytest.mark.parametrize("op", ["gt", "gte", "lt", "lte", "eq"])
def test_a_number_beyond_all_doubles_is_no_number_and_no_error(stored: Customers, op: Any) -> None:
    assert stored.answer(Compare("x", op, 1), *NUMBER_BEYOND_DOUBLES) == [False] * 3


def test_a_number_too_small_for_a_double_is_zero_and_no_error(stored: Customers) -> None:
    documents = ['{"x": 1e-400}', '{"x": -1e-4000}', '{"x": 2.4703282292062327e-324}', '{"x": 2.4703282292062328e-324}']
    assert stored.answer(Compare("x", "eq", 0), *documents) == [float(json.loads(one)["x"]) == 0 for one in documents]


@pytest.mark.parametrize(
    "literal", ["0.1000000000000000055", "0.10000000000000000555111512312578270211815834045410156250"]
)
def test_stored_decimals_compare_as_the_doubles_that_they_round_to(stored: Customers, literal: str) -> None:
    assert stored.answer(Compare("x", "eq", 0.1), f'{{"x": {literal}}}') == [True]
    assert stored.answer(Compare("x", "contains", 0.1), f'{{"x": ["a", {literal}]}}') == [True]
    assert stored.answer(Compare("x", "gt", 0.1), f'{{"x": {literal}}}') == [False]


def test_members_of_another_org_are_not_listed(stored: Customers) -> None:
    stored.replace(["{}"], [STATIC_ID])
    other = rule_condition(InAudience(STATIC_ID), org_id=uuid4(), rules={}, now_ms=NOW_MS)
    listed = rule_condition(InAudience(STATIC_ID), org_id=ORG_ID, rules={}, now_ms=NOW_MS)
    rows = stored._runner.run(stored._connection.execute(select(listed, other).select_from(customers)))
    assert [tuple(row) for row in rows] == [(True, False)]


def test_the_largest_rule_that_is_accepted_runs(stored: Customers) -> None:
    numbers = tuple(float(number) for number in range(500))
    rule: Rule = AllOf(tuple(Not(Compare(f"t{place}", "in", (*numbers[1:], "a"))) for place in range(200)))
    for _ in range(9):
        rule = Not(rule)
    assert stored.answer(rule, "{}", '{"t7": 3}') == [False, True]


def test_a_long_chain_of_audiences_runs_and_one_too_long_is_refused(stored: Customers) -> None:
    ids = [f"018f0000-0000-7000-8000-0000000001{place:02d}" for place in range(60)]
    chain: dict[str, Rule] = {ids[0]: Compare("x", "eq", 1)}
    chain |= {later: Not(InAudience(earlier)) for earlier, later in pairwise(ids)}
    stored.replace(['{"x": 1}', "{}"])
    assert stored.answers({"it": InAudience(ids[50])}, chain, NOW_MS) == [{"it": True}, {"it": False}]
    with pytest.raises(ValueError, match="too large"):
        rule_condition(InAudience(ids[59]), org_id=ORG_ID, rules=chain, now_ms=NOW_MS)


def test_audiences_that_double_at_each_step_are_refused(stored: Customers) -> None:
    first, second, third = AUDIENCE_IDS
    many: dict[str, Rule] = {
        first: AllOf((Compare("x", "exists"),) * 100),
        second: AllOf((InAudience(first),) * 10),
        third: AllOf((InAudience(second), InAudience(first))),
    }
    rule_condition(InAudience(second), org_id=ORG_ID, rules=many, now_ms=NOW_MS)
    with pytest.raises(ValueError, match="too large"):
        rule_condition(InAudience(third), org_id=ORG_ID, rules=many, now_ms=NOW_MS)


@pytest.mark.parametrize("op", ["gt", "lt"])
def test_strings_compare_by_code_point_whatever_the_database_is_set_to(op: Any) -> None:
    condition = rule_condition(Compare("x", op, "b"), org_id=ORG_ID, rules={}, now_ms=NOW_MS)
    assert 'COLLATE "C"' in str(condition.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
