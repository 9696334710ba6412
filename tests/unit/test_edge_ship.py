"""From the spool into the stream, and out of the spool and off the states once that is recorded."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis

from edge import ship
from edge.overlay import Overlay
from edge.ship import Shipper
from edge.spool import Committed, Spool
from edge.spool_file import SpooledBatch, SpoolError
from edge.users import Key
from engine.steps import Steps
from tests.support.polling import eventually_async
from tests.support.publishing import commit, shipped
from tests.support.spooling import event
from wire import subjects
from wire.events import IDENTIFIED

pytestmark = pytest.mark.anyio


@dataclass
class Users:
    """Stands in for the cache of user states."""

    read: list[list[Key]] = field(default_factory=list)
    reachable: bool = True

    async def refresh(self, keys: Iterable[Key]) -> bool:
        self.read.append(list(keys))
        return self.reachable


@dataclass
class World:
    redis: FakeAsyncRedis
    overlay: Overlay
    users: Users
    spool: Spool
    shipper: Shipper


@asynccontextmanager
async def world_in(folder: Path) -> AsyncIterator[World]:
    def on_commit(batch: Committed) -> Steps[None]:
        yield from overlay.adding(batch.number, batch.events)
        shipper.offer(batch.stored)

    redis, overlay, users = FakeAsyncRedis(), Overlay(), Users()
    spool = Spool(folder, 10_000_000, on_commit)
    shipper = Shipper(redis, spool, overlay, users, lambda: 5)  # type: ignore[arg-type]
    shipper.begin_with(await spool.open())
    try:
        yield World(redis, overlay, users, spool, shipper)
    finally:
        await spool.close()
        await redis.aclose()


async def refuse(after: int, max_bytes: int) -> list[SpooledBatch]:
    raise SpoolError("nothing is to be read")


async def test_what_was_just_committed_is_sent_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world_in(tmp_path) as world:
        monkeypatch.setattr(world.spool, "read", refuse)
        for number in range(3):
            await world.spool.append([event(f"e{number}")])
        await world.shipper.flush()
        assert [each.type for batch in await shipped(world.redis) for each in batch.events] == ["e0", "e1", "e2"]
        assert (world.shipper._held, world.shipper._held_bytes) == ({}, 0)


@pytest.mark.parametrize("held_bytes", [0, 150, 250])
async def test_what_is_too_much_for_memory_is_read_from_the_spool_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_bytes: int
) -> None:
    monkeypatch.setattr(ship, "_HELD_BYTES", held_bytes)
    async with world_in(tmp_path) as world:
        for number in range(5):
            await world.spool.append([event(f"e{number}")])
        await world.shipper.flush()
        assert [batch.number for batch in await shipped(world.redis)] == [1, 2, 3, 4, 5]


async def test_much_goes_out_in_several_sendings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "_SEND_BYTES", 100)
    async with world_in(tmp_path) as world:
        for _ in range(5):
            await world.spool.append([event()])
        await world.shipper.flush()
        assert [batch.number for batch in await shipped(world.redis)] == [1, 2, 3, 4, 5]


@asynccontextmanager
async def shipping(world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(world.shipper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_what_comes_alone_goes_out_at_once_and_what_comes_in_a_row_goes_out_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "_SEND_EVERY_S", 1.0)
    async with world_in(tmp_path) as world:
        sendings: list[list[int]] = []
        send = world.shipper._send

        async def sending(batches: Sequence[SpooledBatch]) -> None:
            sendings.append([batch.number for batch in batches])
            await send(batches)

        async def arrived(count: int) -> None:
            async def are_there() -> bool:
                return len(await shipped(world.redis)) == count

            await eventually_async(are_there)

        monkeypatch.setattr(world.shipper, "_send", sending)
        async with shipping(world):
            await world.spool.append([event()])
            await arrived(1)
            for _ in range(4):
                await world.spool.append([event()])
            await arrived(5)
    assert sendings[0] == [1]
    assert [number for numbers in sendings for number in numbers] == [1, 2, 3, 4, 5]
    assert len(sendings) < 4


async def committed(world: World) -> None:
    """Returns once what was sent is as if it had been recorded."""

    async def is_committed() -> bool:
        return bool(await commit(world.redis, world.spool.id))

    await eventually_async(is_committed)


async def test_states_are_read_again_a_few_at_a_time_users_before_the_visitors_whom_they_took_over(
    tmp_path: Path,
) -> None:
    async with world_in(tmp_path) as world:
        claims = [event(IDENTIFIED, user_id=f"user{n % 40}", anonymous_id=f"visitor{n}") for n in range(60)]
        async with shipping(world):
            await world.spool.append(claims)
            await committed(world)

            async def is_empty() -> bool:
                return len(world.overlay) == 0 and world.spool.bytes == 0

            await eventually_async(is_empty)
        read = [subject for keys in world.users.read for _, subject in keys]
        assert len(read) == len(set(read)) == 100
        assert [subjects.is_user(subject) for subject in read] == [True] * 40 + [False] * 60
        assert max(map(len, world.users.read)) < 50


async def test_what_is_recorded_stays_laid_over_while_no_state_can_be_read(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        world.users.reachable = False
        async with shipping(world):
            await world.spool.append([event()])
            await committed(world)

            async def is_tried_again() -> bool:
                return world.spool.bytes == 0 and len(world.users.read) > 1

            await eventually_async(is_tried_again)
            assert len(world.overlay) == 1
            world.users.reachable = True

            async def is_lifted_off() -> bool:
                return len(world.overlay) == 0

            await eventually_async(is_lifted_off)
