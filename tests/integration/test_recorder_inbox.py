import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import insert, select

from recorder.inbox.apply import OvertakenError, apply, for_one_transaction
from recorder.inbox.asks import PROJECT
from recorder.inbox.work import Inbox
from recorder.states.project import Projector
from service.connect import redis_client
from store import tables
from tests.support.polling import eventually_async
from tests.support.recorder_world import NOW_MS, World, at_work

pytestmark = pytest.mark.anyio


async def ask(world: World, kind: str, body: object) -> None:
    await world.execute(insert(tables.inbox), org_id=world.org_id, kind=kind, body=body, created_ms=NOW_MS)


async def test_what_is_asked_is_applied_projected_and_gone(world: World) -> None:
    audience_id = await world.add_audience()
    await world.ask_events(world.identify("ada", properties={"plan": "free"}))
    await world.ask_members(audience_id, add=["u:ada", "u:new"])
    assert await world.count("inbox") == 0
    state = await world.known_state("u:ada")
    assert state.traits == {"plan": "free"}
    assert state.static_audiences == {str(audience_id)}
    assert (await world.known_state("u:new")).static_audiences == {str(audience_id)}
    await world.ask_members(audience_id, remove=["u:ada", "u:unknown"])
    assert (await world.known_state("u:ada")).static_audiences == frozenset()
    assert set(await world.rows("SELECT subject FROM customers")) == {("u:ada",), ("u:new",)}


async def test_rows_are_applied_in_the_order_of_their_ids(world: World) -> None:
    await world.ask_events(world.identify("ada", properties={"plan": "free"}, at_ms=NOW_MS - 1))
    await ask(world, "erase", {"subject": "u:ada", "erasedMs": NOW_MS})
    await world.ask_events(world.identify("ada", properties={"city": "Rome"}, at_ms=NOW_MS + 1))
    audience_id = await world.add_audience()
    await ask(world, "members", {"audienceId": str(audience_id), "add": ["u:ada"], "remove": []})
    await ask(world, "members", {"audienceId": str(audience_id), "add": [], "remove": ["u:ada"]})
    await world.inbox.work_off()
    state = await world.known_state("u:ada")
    assert (state.traits, state.static_audiences) == ({"city": "Rome"}, frozenset())


async def test_members_of_an_audience_that_is_gone_or_another_orgs_are_nobody(world: World) -> None:
    foreign = await world.add_audience()
    await world.add_org(other := uuid4())
    await world.execute(tables.audiences.update().values(org_id=other))
    for audience_id in (foreign, uuid4()):
        await world.ask_members(audience_id, add=["u:ada"])
    assert await world.count("audience_members") == 0
    assert await world.count("customers") == 0
    assert await world.count("inbox") == 0


async def test_a_member_who_is_a_claimed_visitor_is_its_user(world: World) -> None:
    audience_id = await world.add_audience()
    await world.record(world.identify("ada", "x"))
    await world.ask_members(audience_id, add=["a:x"])
    assert (await world.known_state("u:ada")).static_audiences == {str(audience_id)}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("events", {"batch": "bm90IGEgYmF0Y2g="}),
        ("events", {}),
        ("erase", {"subject": "u:ada"}),
        ("members", {"audienceId": "no", "add": [], "remove": []}),
        ("unheard_of", []),
    ],
)
async def test_a_row_that_cannot_be_read_is_kept_aside_and_blocks_nobody(world: World, kind: str, body: object) -> None:
    await ask(world, kind, body)
    await world.ask_events(world.identify("ada"))
    await world.inbox.work_off()
    assert await world.count("inbox") == 0
    assert await world.rows("SELECT reason, count, body <> '' FROM rejected_events") == [
        ("unreadable_inbox_row", 1, True)
    ]
    assert await world.count("events") == 1


async def test_an_asked_event_that_postgres_refuses_takes_no_other_with_it(world: World) -> None:
    await world.ask_events(
        world.identify("ada"), world.event("paid", "bob", properties=b'{"a": "\\u0000"}'), world.identify("cyd")
    )
    await world.inbox.work_off()
    assert await world.count("inbox") == 0
    assert await world.count("events") == 2
    assert await world.count("rejected_events") == 1
    assert await world.state("u:cyd")


async def test_recorders_that_share_an_inbox_apply_each_row_once_and_in_order(world: World) -> None:
    audience_id = await world.add_audience()
    for n in range(30):
        flip = {"add": ["u:ada"], "remove": []} if n % 2 else {"add": [], "remove": ["u:ada"]}
        await ask(world, "members", {"audienceId": str(audience_id), **flip})
        await world.ask_events(world.event("paid", f"user{n % 3}"))
    await asyncio.gather(*(world.inbox.work_off() for _ in range(3)))
    assert await world.count("inbox") == 0
    assert await world.count("events") == 30
    assert (await world.known_state("u:ada")).static_audiences == {str(audience_id)}


async def test_rows_that_another_recorder_has_applied_meanwhile_are_left_alone(world: World) -> None:
    audience_id = await world.add_audience()
    await ask(world, "members", {"audienceId": str(audience_id), "add": ["u:ada"], "remove": []})
    async with world.engine.connect() as connection:
        overtaken = for_one_transaction((await connection.execute(select(tables.inbox))).all())
    await world.inbox.work_off()
    await world.ask_members(audience_id, remove=["u:ada"])
    with pytest.raises(OvertakenError):
        await world.ledger.transact("inbox", lambda connection: apply(connection, overtaken, NOW_MS))
    assert await world.count("audience_members") == 0


async def test_without_redis_rows_are_applied_and_projected_once_it_is_back(world: World) -> None:
    async with redis_client("redis://127.0.0.1:1") as nowhere:
        blind = Inbox(world.engine, world.database_url, world.ledger, Projector(world.engine, nowhere))
        await world.ask_events(world.identify("ada", properties={"plan": "free"}))
        await world.ask_events(world.identify("bob"))
        await blind.work_off()
    assert await world.count("events") == 2
    assert set(await world.rows("SELECT kind FROM inbox")) == {(PROJECT,)}
    await world.inbox.work_off()
    assert (await world.known_state("u:ada")).traits == {"plan": "free"}
    assert await world.count("inbox") == 0


async def test_a_row_is_applied_as_soon_as_it_is_asked(world: World) -> None:
    async with at_work(world.inbox):
        for user in ("ada", "bob"):
            await world.ask_events(world.identify(user))
            await eventually_async(lambda user=user: world.state(f"u:{user}"))  # type: ignore[misc]
