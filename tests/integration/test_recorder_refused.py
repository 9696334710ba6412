import secrets

import pytest

from recorder import ledger as ledger_module
from recorder import record as record_module
from recorder.ledger import Ledger
from tests.support.recorder_world import NOW_MS, World
from wire.events import EventBatch

pytestmark = pytest.mark.anyio

NUL = b'{"secret": "\\u0000"}'


async def test_an_event_that_postgres_refuses_is_declared_lost_and_the_others_are_stored(world: World) -> None:
    good = [world.event("paid", f"user{n}", at_ms=NOW_MS + n) for n in range(20)]
    bad = world.event("paid", "mallory", properties=NUL, at_ms=NOW_MS + 7)
    recorded = await world.record(*good[:9], bad, *good[9:])
    assert recorded.stored == 20
    assert set(await world.rows("SELECT id FROM events")) == {(item.id,) for item in good}
    [(org_id, event_id, reason, count, body)] = await world.rows(
        "SELECT org_id, event_id, reason, count, body FROM rejected_events"
    )
    assert (org_id, event_id, count) == (world.org_id, bad.id, 1)
    assert reason == "22P05 UntranslatableCharacterError"
    assert EventBatch.decode(body).events == (bad,)
    assert await world.rows("SELECT subject FROM customers WHERE subject = 'u:mallory'") == []


async def test_a_refused_event_sent_again_is_counted_once(world: World) -> None:
    bad = world.event("paid", "mallory", properties=NUL)
    for _ in range(3):
        await world.record(bad, world.event("paid", "ada"))
    assert await world.rows("SELECT sum(count) FROM rejected_events") == [(1,)]
    assert await world.count("events") == 3


@pytest.mark.parametrize(
    ("fields", "sqlstate"),
    [
        ({"properties": b"not json"}, "22P02"),
        ({"properties": b'{"a": "\\ud800"}'}, "22P02"),
        ({"user": "nul\0"}, "22021"),
        ({"type_": "paid\0"}, "22021"),
        ({"received_ms": 2**63, "at_ms": 2**63}, "22000"),
    ],
)
async def test_whatever_postgres_cannot_hold_is_set_aside_by_itself(
    world: World, fields: dict[str, object], sqlstate: str
) -> None:
    bad = world.event(**{"user": "mallory", **fields})  # type: ignore[arg-type]
    recorded = await world.record(world.event("paid", "ada"), bad, world.event("paid", "ada"))
    assert recorded.stored == 2
    [(reason,)] = await world.rows("SELECT reason FROM rejected_events")
    assert reason.startswith(sqlstate)


async def test_a_refused_claim_leaves_the_visitor_free(world: World) -> None:
    await world.record(
        world.identify("ada", "x", properties=NUL, at_ms=NOW_MS),
        world.identify("bob", "x", at_ms=NOW_MS + 1),
    )
    assert (await world.known_state("u:bob")).aliases == {"x"}


async def test_conflicts_between_transactions_are_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_module.record
    failures = ["40001", "40P01"]

    async def first_in_conflict(connection, batch, now_ms):  # type: ignore[no-untyped-def]
        recorded = await record(connection, batch, now_ms)
        if failures:
            await connection.exec_driver_sql(f"DO $$ BEGIN RAISE SQLSTATE '{failures.pop()}'; END $$")
        return recorded

    monkeypatch.setattr(ledger_module, "record", first_in_conflict)
    recorded = await Ledger(world.engine).record([world.event("paid", "ada")])
    assert (recorded.stored, failures) == (1, [])
    assert await world.count("events") == 1


async def test_what_is_past_a_limit_of_postgres_is_set_aside_as_well(world: World) -> None:
    """An index takes no more than a third of a page."""
    bad = world.event("paid", secrets.token_hex(10_000))
    assert (await world.record(world.event("paid", "ada"), bad)).stored == 1
    assert await world.rows("SELECT event_id, reason FROM rejected_events") == [
        (bad.id, "54000 ProgramLimitExceededError")
    ]
