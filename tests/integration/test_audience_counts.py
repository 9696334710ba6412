"""Counting the customers of an audience, in time."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import Boolean, ColumnElement, Integer, Text, cast, func, literal, text, true
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.reasons import deciding, holds
from store import audience_counts
from store.audience_counts import Counted, LeafResult, count_customers, membership_of
from store.tables import customers
from wire.rule_tree import AllOf, Compare, EventCount, InAudience, Not

pytestmark = pytest.mark.anyio

ORG_ID, OTHER_ORG_ID = uuid4(), uuid4()
MANY = 2_000
NOW_MS = 1_773_576_000_000
AUDIENCE_ID = "018f0000-0000-7000-8000-00000000000a"

HALF = cast(customers.c.traits["n"].astext, Integer) % 2 == 0
SLOW = cast(func.pg_sleep(0.0001), Text) == ""
SLOW_HALF: ColumnElement[bool] = SLOW & HALF

ADD_CUSTOMERS = text(
    """
    INSERT INTO customers (org_id, subject, traits, rev, created_ms, last_seen_ms)
    SELECT :org_id, 'u:' || n, jsonb_build_object('n', n), 1, 0, 0 FROM generate_series(1, :count) AS n
    """
)
SETTINGS = (
    "statement_timeout",
    "work_mem",
    "enable_hashagg",
    "parallel_tuple_cost",
    "max_parallel_workers_per_gather",
)


@pytest.fixture
async def connection(postgres: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """In a transaction, with many customers in one org and some in another."""
    async with postgres.connect() as connection:
        await connection.execute(ADD_CUSTOMERS, {"org_id": ORG_ID, "count": MANY})
        await connection.execute(ADD_CUSTOMERS, {"org_id": OTHER_ORG_ID, "count": 10})
        yield connection


async def settings_of(connection: AsyncConnection) -> list[str]:
    return [(await connection.execute(text(f"SHOW {name}"))).scalar_one() for name in SETTINGS]


async def test_a_count_in_time_is_exact_and_of_the_org_alone(connection: AsyncConnection) -> None:
    assert await count_customers(connection, ORG_ID, HALF) == Counted(MANY // 2, exact=True)
    assert await count_customers(connection, OTHER_ORG_ID, true()) == Counted(10, exact=True)


async def test_a_count_that_takes_too_long_becomes_an_estimate_that_says_so(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audience_counts, "_ESTIMATE_TIMEOUT_MS", 60_000)
    monkeypatch.setattr(audience_counts, "_FIRST_PAGES", 1)
    counted = await count_customers(connection, ORG_ID, SLOW_HALF, timeout_ms=20)
    assert counted == Counted(MANY // 2, exact=False, sampled=MANY)  # with time enough the sample grows to everybody


async def test_what_is_found_in_a_sample_stands_for_the_rest(connection: AsyncConnection) -> None:
    async def sampled(condition: ColumnElement[bool]) -> Counted:
        return await audience_counts._sampled(connection, ORG_ID, condition, 50.0)

    everybody, nobody = await sampled(true()), await sampled(literal(False))
    assert everybody.sampled is not None
    assert 0 < everybody.sampled < MANY
    assert (everybody.exact, everybody.count) == (False, 2 * everybody.sampled)
    assert (nobody.exact, nobody.count) == (False, 0)


async def test_nothing_is_claimed_when_not_even_a_sample_could_be_read(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audience_counts, "_ESTIMATE_TIMEOUT_MS", 20)
    counted = await count_customers(connection, ORG_ID, SLOW_HALF, timeout_ms=20)
    assert counted == Counted(0, exact=False, sampled=0)


@pytest.mark.parametrize("timeout_ms", [20, 60_000])
async def test_the_transaction_goes_on_with_the_settings_that_it_had(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch, timeout_ms: int
) -> None:
    monkeypatch.setattr(audience_counts, "_ESTIMATE_TIMEOUT_MS", 20)
    await connection.execute(text("SET LOCAL statement_timeout = 54321"))
    before = await settings_of(connection)
    counted = await count_customers(connection, ORG_ID, SLOW_HALF, timeout_ms=timeout_ms)
    assert counted.exact is (timeout_ms == 60_000)
    assert await settings_of(connection) == before
    assert (await connection.execute(text("SELECT count(*) FROM customers"))).scalar_one() == MANY + 10


async def test_another_error_is_raised_and_the_transaction_goes_on(connection: AsyncConnection) -> None:
    wrong: ColumnElement[bool] = literal(1, Integer) / (cast(customers.c.rev, Integer) - 1) == 1
    before = await settings_of(connection)
    with pytest.raises(DBAPIError, match="division by zero"):
        await count_customers(connection, ORG_ID, wrong)
    assert await settings_of(connection) == before


async def test_a_count_that_finds_no_shared_memory_for_a_parallel_plan_does_without(
    connection: AsyncConnection,
) -> None:
    await connection.execute(
        text(
            """
            CREATE FUNCTION pg_temp.needs_memory() RETURNS boolean AS $$
            BEGIN
                IF current_setting('max_parallel_workers_per_gather') <> '0' THEN
                    RAISE 'could not resize shared memory segment' USING ERRCODE = 'disk_full';
                END IF;
                RETURN true;
            END $$ LANGUAGE plpgsql
            """
        )
    )
    needs_memory: ColumnElement[bool] = func.pg_temp.needs_memory(type_=Boolean)
    assert await count_customers(connection, ORG_ID, HALF & needs_memory) == Counted(MANY // 2, exact=True)


async def test_one_query_says_which_leaves_hold_for_a_customer(connection: AsyncConnection) -> None:
    rules = {AUDIENCE_ID: AllOf((Compare("n", "gt", 3), Compare("n", "lt", 9)))}
    rule = AllOf((Compare("n", "eq", 7), Not(EventCount("e", (), "eq", 0)), InAudience(AUDIENCE_ID)))
    results = await membership_of(connection, ORG_ID, "u:7", rule, rules, NOW_MS)
    assert results == [
        LeafResult("/all/0", {"trait": "n", "op": "eq", "value": 7}, True),
        LeafResult("/all/1/not", {"event": "e", "count": {"op": "eq", "value": 0}}, True),
        LeafResult("/all/2", {"audience": AUDIENCE_ID}, True),
    ]
    leaf_holds = {result.pointer: result.holds for result in results}.__getitem__
    assert (holds(rule, leaf_holds), deciding(rule, leaf_holds)) == (False, ["/all/1/not"])


async def test_nothing_holds_for_somebody_who_is_not_there(connection: AsyncConnection) -> None:
    rule = Compare("n", "eq", 7)
    assert await membership_of(connection, ORG_ID, "u:nobody", rule, {}, NOW_MS) is None
    assert await membership_of(connection, OTHER_ORG_ID, "u:11", rule, {}, NOW_MS) is None
