"""The user-state cache: few reads, never an older state than was announced, bounded, and of use while Redis is away."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisConnectionError

from edge.redis_server import RedisServer
from edge.users import Users
from wire import keys
from wire.userstate import Marker, UserState

pytestmark = pytest.mark.anyio

ORG = UUID(int=7)
_SOON_S = 5


class WatchedRedis(FakeAsyncRedis):
    """Notes which users are read, answers once `gate` is open with what stood there when it was asked, can be dead."""

    def __init__(self) -> None:
        server = FakeServer()
        super().__init__(server=server)
        self.stored = FakeRedis(server=server)
        self.stored.set(keys.user_states(ORG), Marker("run", 0).encode())
        self.reads: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_dead = False

    def put(self, subject: str, rev: int, **fields: Any) -> None:
        self.stored.set(keys.user(ORG, subject), UserState(rev, **fields).encode())

    def wanted(self) -> list[str]:
        entries: Any = self.stored.xrange(keys.WANTED)
        return [fields[b"subject"].decode() for _, fields in entries]

    async def mget(self, names: Any, *more: Any) -> Any:
        self.reads.append([name for name in names if name.startswith("user:")])
        if self.is_dead:
            raise RedisConnectionError("gone")
        answer = await super().mget(names, *more)
        await self.gate.wait()
        return answer


@pytest.fixture
def redis() -> WatchedRedis:
    return WatchedRedis()


def users_of(redis: WatchedRedis, max_bytes: int = 1_000_000) -> Users:
    server = RedisServer()
    server.run_id = "run"
    return Users(redis, server, max_bytes)


async def rev(users: Users, subject: str = "u:ada") -> int | None:
    (state,) = await users.ask(ORG, [subject], list)
    return None if state is None else state.rev


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_misses_of_one_turn_go_out_as_one_read(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.put("u:ada", 3)
    revs = await asyncio.gather(rev(users), rev(users), rev(users, "u:bob"), rev(users, "a:x"))
    assert list(revs) == [3, 3, 0, 0]
    assert [len(read) for read in redis.reads] == [3]


async def test_a_miss_joins_the_load_that_is_on_its_way(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.gate.clear()
    first = asyncio.create_task(rev(users))
    await turns()
    second = asyncio.create_task(rev(users))
    await turns()
    redis.gate.set()
    assert [await first, await second] == [0, 0]
    assert len(redis.reads) == 1


async def test_a_waiter_that_is_cancelled_does_not_end_the_load_of_another(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.put("u:ada", 3)
    made: list[str] = []
    redis.gate.clear()
    given_up = asyncio.create_task(users.ask(ORG, ["u:ada"], lambda entries: made.append("given up")))
    waiting = asyncio.create_task(rev(users))
    await turns()
    given_up.cancel()
    await turns()
    redis.gate.set()
    assert await asyncio.wait_for(waiting, _SOON_S) == 3
    assert given_up.cancelled() and made == []
    assert len(redis.reads) == 1


async def test_what_is_made_of_states_is_made_for_all_that_came_together_before_anybody_goes_on(
    redis: WatchedRedis,
) -> None:
    users, made, gone_on = users_of(redis), list[int](), list[int]()

    async def meet(*names: str) -> None:
        await users.ask(ORG, names, lambda entries: made.append(len(entries)))
        gone_on.append(len(made))

    await asyncio.gather(meet("u:ada", "a:x"), meet("u:bob"), meet("a:x"))
    assert (made, gone_on) == ([2, 1, 1], [3, 3, 3])
    assert len(redis.reads) == 1


async def test_what_is_made_of_states_in_memory_is_made_at_once(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.put("u:ada", 3)
    await rev(users)
    asked = users.ask(ORG, ["u:ada"], lambda entries: [entry and entry.rev for entry in entries])
    with pytest.raises(StopIteration) as done:
        asked.send(None)
    assert done.value.value == [3]


async def test_who_cannot_make_anything_of_a_state_fails_alone(redis: WatchedRedis) -> None:
    users = users_of(redis)

    def fail(entries: object) -> None:
        raise ZeroDivisionError

    both = asyncio.gather(users.ask(ORG, ["u:ada"], fail), rev(users), return_exceptions=True)
    failed, found = await asyncio.wait_for(both, _SOON_S)
    assert isinstance(failed, ZeroDivisionError) and found == 0


async def test_others_get_their_turn_while_many_states_arrive_together(redis: WatchedRedis) -> None:
    users, many, arrived = users_of(redis), 300, list[int]()

    async def arrive(number: int) -> None:
        redis.put(f"u:{number}", number + 1)
        await users.ask(ORG, [f"u:{number}"], lambda entries: arrived.extend(entry.rev for entry in entries if entry))

    redis.gate.clear()
    asking = [asyncio.create_task(arrive(number)) for number in range(many)]
    await turns()
    redis.gate.set()
    seen_between = set()
    while len(arrived) < many:
        seen_between.add(len(arrived))
        await asyncio.sleep(0)
    await asyncio.gather(*asking)
    assert len(redis.reads) == 1 and len(seen_between - {0}) >= 2
    assert arrived == list(range(1, many + 1))


async def test_a_state_announced_while_others_of_its_batch_are_settled_is_read_again(redis: WatchedRedis) -> None:
    """Of a large batch those that wait for their turn learn what happens meanwhile."""
    users, many = users_of(redis), 300
    redis.put("u:299", 1)

    def first_arrived(entries: object) -> None:
        redis.put("u:299", 2)
        users.announce(ORG, [("u:299", 2)])

    asking = [users.ask(ORG, ["u:0"], first_arrived), *(rev(users, f"u:{n}") for n in range(1, many))]
    assert (await asyncio.gather(*asking))[-1] == 2


async def test_the_size_of_the_cache_is_counted_when_somebody_asks(redis: WatchedRedis) -> None:
    users = users_of(redis)
    await rev(users)
    await rev(users, "u:bob")
    users.count_size()
    assert REGISTRY.get_sample_value("inapp_edge_user_cache_entries") == 2
    assert (REGISTRY.get_sample_value("inapp_edge_user_cache_bytes") or 0) > 0


async def test_reads_are_counted_by_what_came_of_them(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.put("u:ada", 3)
    before = [loads(outcome) for outcome in ("read", "unknown", "failed", "unreadable")]
    await asyncio.gather(rev(users), rev(users, "u:nobody"))
    redis.stored.set(keys.user(ORG, "u:eve"), b"\xc1")
    await rev(users, "u:eve")
    redis.is_dead = True
    await rev(users, "u:bob")
    after = [loads(outcome) for outcome in ("read", "unknown", "failed", "unreadable")]
    assert [late - early for late, early in zip(after, before, strict=True)] == [2, 1, 1, 1]


def loads(outcome: str) -> float:
    return REGISTRY.get_sample_value("inapp_edge_user_loads_total", {"outcome": outcome}) or 0


async def test_what_was_read_is_not_read_again(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.put("u:ada", 3)
    assert [await rev(users), await rev(users), await rev(users, "u:nobody"), await rev(users, "u:nobody")] == [
        3,
        3,
        0,
        0,
    ]
    assert len(redis.reads) == 2


async def test_a_newer_rev_drops_the_cached_state_and_an_older_one_does_not(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.put("u:ada", 3)
    await rev(users)
    users.announce(ORG, [("u:ada", 3), ("u:ada", 2)])
    await rev(users)
    assert len(redis.reads) == 1
    redis.put("u:ada", 4)
    users.announce(ORG, [("u:ada", 4)])
    assert await rev(users) == 4


async def test_an_announced_user_is_no_longer_taken_for_unknown(redis: WatchedRedis) -> None:
    users = users_of(redis)
    assert await rev(users) == 0
    redis.put("u:ada", 1)
    users.announce(ORG, [("u:ada", 1)])
    assert await rev(users) == 1


async def test_a_load_older_than_a_rev_announced_meanwhile_is_repeated(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.put("u:ada", 3)
    redis.gate.clear()
    load = asyncio.create_task(rev(users))
    await turns()
    redis.put("u:ada", 4)
    users.announce(ORG, [("u:ada", 4)])
    redis.gate.set()
    assert await load == 4
    assert len(redis.reads) == 2


async def test_doubt_repeats_what_is_on_its_way_and_forgets_what_is_there(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.put("u:ada", 3)
    redis.put("u:bob", 1)
    await rev(users, "u:bob")
    redis.gate.clear()
    load = asyncio.create_task(rev(users))
    await turns()
    redis.put("u:ada", 4)
    redis.put("u:bob", 2)
    users.doubt_all()
    redis.gate.set()
    assert await load == 4
    assert await rev(users, "u:bob") == 2


async def test_a_refresh_reads_what_is_cached_or_on_its_way_and_nothing_else(redis: WatchedRedis) -> None:
    users = users_of(redis)
    await rev(users, "u:cached")
    redis.gate.clear()
    load = asyncio.create_task(rev(users, "u:loading"))
    await turns()
    redis.put("u:loading", 2)
    refresh = asyncio.create_task(users.refresh([(ORG, "u:cached"), (ORG, "u:loading"), (ORG, "u:other")]))
    await turns()
    redis.gate.set()
    assert await refresh
    assert await load == 2
    assert sorted(name for read in redis.reads[1:] for name in read) == sorted(
        keys.user(ORG, subject) for subject in ("u:loading", "u:loading", "u:cached")
    )


async def test_what_is_refreshed_is_not_served_until_it_was_read(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.put("u:ada", 1)
    await rev(users)
    redis.put("u:ada", 2)
    redis.gate.clear()
    refresh = asyncio.create_task(users.refresh([(ORG, "u:ada")]))
    await turns()
    assert users.peek((ORG, "u:ada")) is None
    redis.gate.set()
    assert await refresh
    assert (await rev(users), len(redis.reads)) == (2, 2)


async def test_a_refresh_says_when_redis_was_out_of_reach(redis: WatchedRedis) -> None:
    users = users_of(redis)
    await rev(users)
    redis.is_dead = True
    assert not await users.refresh([(ORG, "u:ada")])
    assert await users.refresh([])


async def test_without_redis_what_is_cached_serves_even_if_it_is_old(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.put("u:ada", 3)
    await rev(users)
    users.announce(ORG, [("u:ada", 4)])
    redis.is_dead = True
    assert await rev(users) == 3
    users.doubt_all()
    assert await rev(users) == 3
    assert await rev(users, "u:bob") is None


async def test_a_dead_redis_is_not_asked_by_every_request(redis: WatchedRedis) -> None:
    users = users_of(redis)
    redis.is_dead = True
    for _ in range(20):
        assert await rev(users) is None
    assert len(redis.reads) == 1


@pytest.mark.parametrize("marker", [None, b"junk", Marker("another run", 0).encode()])
async def test_without_a_valid_marker_a_missing_user_is_unknown_and_asked_for_once(
    redis: WatchedRedis, marker: bytes | None
) -> None:
    users = users_of(redis)
    redis.stored.delete(keys.user_states(ORG))
    if marker is not None:
        redis.stored.set(keys.user_states(ORG), marker)
    assert await rev(users) is None
    assert await rev(users) is None
    await turns()
    assert redis.wanted() == ["u:ada"]
    users.forget_asked()
    assert await rev(users) is None
    await turns()
    assert redis.wanted() == ["u:ada", "u:ada"]
    redis.put("u:ada", 1)
    assert await rev(users) == 1


async def test_a_server_that_is_not_identified_vouches_for_nobody(redis: WatchedRedis) -> None:
    server = RedisServer()
    users = Users(redis, server, 1_000_000)
    assert await rev(users) is None
    server.run_id = "run"
    assert await rev(users) == 0
    server.lose()
    assert await rev(users, "u:bob") is None


async def test_a_state_that_cannot_be_read_is_unknown(redis: WatchedRedis) -> None:
    redis.stored.set(keys.user(ORG, "u:ada"), b"\xc1")
    assert await rev(users_of(redis)) is None


async def test_the_cache_forgets_who_was_not_seen_for_longest(redis: WatchedRedis) -> None:
    users = users_of(redis, max_bytes=2_500)
    for subject in ("u:a", "u:b", "u:c"):
        await rev(users, subject)
    await rev(users, "u:a")
    await rev(users, "u:d")
    del redis.reads[:]
    await asyncio.gather(*(rev(users, subject) for subject in ("u:a", "u:c", "u:d")))
    assert redis.reads == []
    await rev(users, "u:b")
    assert len(redis.reads) == 1


async def test_a_state_larger_than_the_cache_is_given_but_not_kept(redis: WatchedRedis) -> None:
    users = users_of(redis, max_bytes=100)
    redis.put("u:ada", 3)
    assert [await rev(users), await rev(users)] == [3, 3]
    assert len(redis.reads) == 2


async def test_states_of_one_person_are_read_at_one_moment(redis: WatchedRedis) -> None:
    """A claim moves what a visitor did to their user: of one state before it and one after, neither has it."""
    users = users_of(redis)
    redis.put("u:ada", 3)
    await rev(users)
    redis.put("u:ada", 4)
    redis.put("a:x", 4)
    states = await users.ask(ORG, ["u:ada", "a:x"], list)
    assert [state and state.rev for state in states] == [4, 4]
    assert [len(read) for read in redis.reads] == [1, 2]


async def test_what_is_forgotten_is_read_again_also_what_is_on_its_way_and_does_not_serve_without_redis(
    redis: WatchedRedis,
) -> None:
    users, other = users_of(redis), UUID(int=8)
    redis.stored.set(keys.user(other, "u:zoe"), UserState(1).encode())
    await asyncio.gather(rev(users), users.ask(other, ["u:zoe"], list))
    redis.gate.clear()
    load = asyncio.create_task(rev(users, "u:bob"))
    await turns()
    redis.put("u:bob", 2)
    users.forget(ORG)
    redis.gate.set()
    assert await load == 2
    assert users.peek((other, "u:zoe")) is not None
    redis.put("u:ada", 5)
    assert await rev(users) == 5
    users.forget(ORG)
    redis.is_dead = True
    assert await rev(users) is None
