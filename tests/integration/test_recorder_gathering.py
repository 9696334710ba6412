"""Gathering the past while the present goes on, and recorders die: no moment is lost, none is doubled."""

import asyncio
import random
import signal
import sys
from pathlib import Path

import anyio
import pytest

from recorder.erase import erase
from recorder.features import keep as features
from recorder.record import record
from store import inbox
from tests.support.dying_recorder import GATHERING
from tests.support.event_rings import at_least, projected_rings, right_rings, ring_id, stored_rings
from tests.support.polling import eventually_async
from tests.support.processes import Processes
from tests.support.recorder_world import NOW_MS, World, at_work, recorder_world
from wire.events import Event

pytestmark = pytest.mark.anyio

REPOSITORY = Path(__file__).parents[2]
LARGE = {"property": "amount", "op": "gte", "value": 50}


async def check(world: World) -> None:
    """Everybody's rings are right, in Postgres and in Redis."""
    right = await right_rings(world)
    assert await stored_rings(world) == right
    assert await projected_rings(world) == right


async def test_adoption_waits_for_transactions_that_did_not_see_the_feature(world: World) -> None:
    await world.record(world.event("paid", "zoe"))
    async with world.engine.connect() as slow:
        await record(slow, [world.event("paid", visitor="0"), world.event("paid", "ada")], NOW_MS)
        await world.add_audience(at_least(2))
        settling = asyncio.create_task(world.settle_features())
        await eventually_async(lambda: somebody_waits_for_features(world))
        assert await world.count("event_features") == 0
        await slow.commit()
    await settling
    assert set(await stored_rings(world)) == {(world.org_id, subject) for subject in ("a:0", "u:ada", "u:zoe")}
    await check(world)


async def test_raising_waits_for_transactions_that_keep_too_few_moments(world: World) -> None:
    await world.add_audience(at_least(1))
    await world.settle_features()
    async with world.engine.connect() as slow:
        await record(slow, [world.event("paid", visitor="0", at_ms=NOW_MS + n) for n in range(3)], NOW_MS)
        await world.add_audience(at_least(3))
        settling = asyncio.create_task(world.settle_features())
        await eventually_async(lambda: somebody_waits_for_features(world))
        await slow.commit()
    await settling
    assert len((await stored_rings(world))[world.org_id, "a:0"][ring_id()]) == 3
    await check(world)


async def test_an_erasure_that_did_not_see_the_feature_holds_up_its_adoption(world: World) -> None:
    await world.record(*(world.event("paid", "ada", at_ms=NOW_MS + n) for n in range(3)))
    async with world.engine.connect() as slow:
        await erase(slow, world.org_id, "u:ada", NOW_MS)
        await world.add_audience(at_least(3))
        settling = asyncio.create_task(world.settle_features())
        await eventually_async(lambda: somebody_waits_for_features(world))
        await slow.commit()
    await settling
    await check(world)


async def test_others_record_while_an_adoption_waits(world: World) -> None:
    async with world.engine.connect() as slow:
        await record(slow, [world.event("paid", "ada")], NOW_MS)
        await world.add_audience(at_least(2))
        settling = asyncio.create_task(world.settle_features())
        await eventually_async(lambda: somebody_waits_for_features(world))
        with anyio.fail_after(20):
            await world.record(world.event("paid", "grace"))
        await slow.commit()
    await settling
    await check(world)


async def somebody_waits_for_features(world: World) -> bool:
    return await world.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") != []


async def test_a_sign_up_while_its_chunk_waits_for_the_visitor_keeps_the_visitors_past(world: World) -> None:
    past = [world.event("old", None, visitor="v", at_ms=NOW_MS - ago_ms) for ago_ms in (3, 2, 1)]
    await world.record(world.event("old", "x"), *past)
    await world.add_audience({"event": "old", "count": {"op": "gte", "value": 3}})
    await world.features.look()
    async with world.engine.connect() as connection:
        signing_up = await connection.begin()
        recorded = await record(connection, [world.identify("new", visitor="v")], NOW_MS)
        gathering = asyncio.create_task(world.features.turn())
        await eventually_async(lambda: waits_for_a_row(world))
        await signing_up.commit()
    await gathering
    await world.projector.project(recorded.touched)
    await world.settle_features()
    assert list((await world.known_state("u:new")).rings.values()) == [(NOW_MS - 1, NOW_MS - 2, NOW_MS - 3)]


async def waits_for_a_row(world: World) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await world.rows(query))


@pytest.mark.parametrize("point", GATHERING)
async def test_a_recorder_killed_while_gathering_loses_and_doubles_nothing(
    world: World, processes: Processes, point: str
) -> None:
    await world.record(*(world.event("paid", f"user{n}", at_ms=NOW_MS + place) for n in range(6) for place in range(3)))
    audience_id = await world.add_audience(at_least(2))
    for _ in range(2):
        command = (sys.executable, "-m", "tests.support.dying_recorder")
        environment = {"DATABASE_URL": world.database_url, "REDIS_URL": world.redis_url, "PYTHONPATH": str(REPOSITORY)}
        dying = processes.start(point, env=environment, command=command)
        assert await anyio.to_thread.run_sync(dying.wait) == -signal.SIGKILL, dying.output
        assert await world.preparing() == {audience_id}
        assert await world.kept() == [("paid", 2, 0)]
    await world.settle_features()
    assert await world.preparing() == set()
    await check(world)


class Traffic:
    """People who come, do things, turn out to be somebody, and are erased; batches that come late and again."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)
        self._clock_ms = NOW_MS
        self._sent: list[list[Event]] = []

    async def go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            again = self._sent and self._random.random() < 0.2
            batch = self._random.choice(self._sent) if again else [self._event() for _ in range(20)]
            self._sent.append(batch)
            await self._world.record(*batch)
            if self._random.random() < 0.15:
                await self._erase()

    def _event(self) -> Event:
        self._clock_ms += 1
        made, number = self._world, self._random.randrange(self._clock_ms % 60 + 1)
        at_ms = self._clock_ms - self._random.choice([0, 0, 500])
        kind = self._random.random()
        if kind < 0.1:
            return made.identify(f"user{number}", f"x{self._random.randrange(60)}", at_ms=at_ms)
        properties = {"amount": self._random.randrange(100)}
        name = self._random.choice(["paid", "paid", "viewed"])
        if kind < 0.5:
            return made.event(name, visitor=f"x{number}", at_ms=at_ms, properties=properties)
        return made.event(name, f"user{number}", at_ms=at_ms, properties=properties)

    async def _erase(self) -> None:
        subject = self._random.choice([f"u:user{self._random.randrange(60)}", f"a:x{self._random.randrange(60)}"])
        async with self._world.engine.begin() as connection:
            await inbox.ask_erase(connection, self._world.org_id, subject, self._clock_ms - 30)


@pytest.mark.parametrize("seed", range(3))
async def test_gathering_under_live_traffic_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(features, "CUSTOMERS_AT_ONCE", 3)
    await Traffic(world, seed + 100).go_on(10)
    async with recorder_world(world.database_url, world.redis_url) as second:
        second.org_id = world.org_id
        async with at_work(world.inbox, world.features, second.features):
            traffic = [Traffic(world, seed), Traffic(second, seed + 50)]
            live = [asyncio.create_task(each.go_on(40)) for each in traffic]
            dropped = await world.add_audience(at_least(2, "viewed"))
            for rule in (at_least(1), at_least(3), at_least(2, "paid", LARGE), at_least(4, "*"), at_least(5)):
                await world.add_audience(rule)
                await asyncio.sleep(0.3)
            await world.delete_audience(dropped)
            await asyncio.gather(*live)
            await eventually_async(lambda: all_is_published(world), 60)
        await world.inbox.work_off()
    assert await world.kept() == [("*", 4, 4), ("paid", 2, 2), ("paid", 5, 5)]
    await check(world)


async def all_is_published(world: World) -> bool:
    await world.publish()
    unfinished = "SELECT count(*) FROM event_features WHERE ready < kept OR kept = 0 OR event = 'viewed'"
    return not await world.preparing() and await world.rows(unfinished) == [(0,)]
