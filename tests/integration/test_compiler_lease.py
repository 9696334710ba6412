from dataclasses import dataclass

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from compiler.lease import Lease
from inapp.embedded import EmbeddedPostgres
from store.connect import create_engine
from store.migrate import upgrade_async
from tests.support.polling import eventually_async

pytestmark = pytest.mark.anyio


@dataclass
class Clock:
    """A monotonic clock that moves only when told to."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def expire(postgres: AsyncEngine) -> None:
    async with postgres.begin() as connection:
        await connection.execute(text("UPDATE compiler_lease SET expires_ms = expires_ms - 3600000"))


async def test_the_first_compiler_gets_the_lease_and_the_second_stands_by(postgres: AsyncEngine) -> None:
    first, second = Lease(postgres, "first"), Lease(postgres, "second")
    await first.attempt()
    wait_s = await second.attempt()
    assert first.term == (1, 1, "first")
    assert second.term is None
    assert (first.standing_by, second.standing_by) == (False, True)
    assert 0 < wait_s <= 1


async def test_renewing_keeps_the_epoch_and_a_new_holder_raises_it(postgres: AsyncEngine) -> None:
    first, second = Lease(postgres, "first"), Lease(postgres, "second")
    for _ in range(3):
        await first.attempt()
    assert first.term == (1, 1, "first")
    await expire(postgres)
    await second.attempt()
    assert second.term == (1, 2, "second")
    await first.attempt()
    assert first.term is None
    assert first.standing_by


async def test_a_lease_that_ran_out_unnoticed_goes_on_in_its_own_epoch(postgres: AsyncEngine) -> None:
    lease = Lease(postgres, "first")
    await lease.attempt()
    await expire(postgres)
    await lease.attempt()
    assert lease.term == (1, 1, "first")


async def test_releasing_lets_the_next_one_take_over_at_once(postgres: AsyncEngine) -> None:
    first, second = Lease(postgres, "first"), Lease(postgres, "second")
    await first.attempt()
    await first.release()
    assert first.term is None
    await second.attempt()
    assert second.term == (1, 2, "second")
    await first.release()
    await first.attempt()
    assert second.term == (1, 2, "second")
    assert first.term is None


async def test_releasing_a_lease_that_another_one_took_leaves_it_with_them(postgres: AsyncEngine) -> None:
    first, second, third = (Lease(postgres, name) for name in ("first", "second", "third"))
    await first.attempt()
    await expire(postgres)
    await second.attempt()
    await first.release()
    await third.attempt()
    assert third.standing_by
    assert second.term == (1, 2, "second")


async def test_a_lease_that_is_not_renewed_counts_as_lost_after_its_time(postgres: AsyncEngine) -> None:
    clock = Clock()
    lease = Lease(postgres, "first", ttl_s=10, monotonic=clock)
    await lease.attempt()
    clock.seconds += 9.9
    assert lease.term is not None
    clock.seconds += 0.2
    assert lease.term is None
    await lease.attempt()
    assert lease.term == (1, 1, "first")


async def test_a_dropped_lease_is_not_used_until_the_database_gives_it_again(postgres: AsyncEngine) -> None:
    lease = Lease(postgres, "first")
    await lease.attempt()
    term = lease.term
    assert term is not None
    lease.drop(term)
    assert lease.term is None
    await lease.attempt()
    assert lease.term == term


async def test_a_raised_generation_begins_a_new_term(postgres: AsyncEngine) -> None:
    lease, acquired = Lease(postgres, "first"), []
    lease.on_acquired = lambda: acquired.append(lease.term)
    await lease.attempt()
    await lease.attempt()
    async with postgres.begin() as connection:
        await connection.execute(text("UPDATE compiler_lease SET generation = 2"))
    await lease.attempt()
    assert acquired == [(1, 1, "first"), (2, 1, "first")]


async def test_the_second_compiler_takes_over_when_the_first_one_dies(postgres: AsyncEngine) -> None:
    first, second = Lease(postgres, "first", ttl_s=1), CountedLease(postgres, "second", ttl_s=1)
    await first.attempt()
    life_of_first = anyio.CancelScope()

    async def run_first() -> None:
        with life_of_first:
            await first.run()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_first)
        tasks.start_soon(second.run)
        await eventually_async(lambda: _asked_again(second))
        assert first.term == (1, 1, "first")
        assert second.term is None
        life_of_first.cancel()
        await eventually_async(lambda: _has_term(second))
        assert second.term == (1, 2, "second")
        tasks.cancel_scope.cancel()


class CountedLease(Lease):
    asked = 0

    async def attempt(self) -> float:
        wait_s = await super().attempt()
        self.asked += 1
        return wait_s


async def _asked_again(lease: CountedLease) -> bool:
    """For the second time, when the lease of the first one would have run out had it not been renewed."""
    return lease.asked > 1


async def _has_term(lease: Lease) -> bool:
    return lease.term is not None


async def test_losing_postgres_loses_the_lease_and_its_return_brings_it_back(own_postgres: EmbeddedPostgres) -> None:
    await upgrade_async(own_postgres.url)
    postgres = create_engine(own_postgres.url, pool_size=1)
    lease = Lease(postgres, "first", ttl_s=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lease.run)
        await eventually_async(lambda: _has_term(lease))
        await anyio.to_thread.run_sync(own_postgres.stop)
        await eventually_async(lambda: _has_no_term(lease))
        await anyio.to_thread.run_sync(own_postgres.start)
        await eventually_async(lambda: _has_term(lease), timeout=20)
        tasks.cancel_scope.cancel()
    await postgres.dispose()


async def _has_no_term(lease: Lease) -> bool:
    return lease.term is None
