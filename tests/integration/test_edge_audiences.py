"""Audiences over events, through running edges: right at once, right to the millisecond, right on every edge."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from edge.users import Users
from inapp.embedded import EmbeddedRedis
from tests.support.edges import RunningEdge, edge_on
from tests.support.polling import eventually_async
from tests.support.publishing import Publisher, commit, happened, message, ring_id, rule, shipped
from wire import codec, events, keys, times
from wire.bundle import CompiledMessage
from wire.features import Feature
from wire.userstate import UserState

pytestmark = pytest.mark.anyio

NOW_MS = 1_800_000_000_000
SECOND_MS = 1_000
DAY_MS = 24 * 3600 * SECOND_MS
LATEST_MS = 15 * 60 * SECOND_MS
"""How long an answer holds in which nothing changes."""


@dataclass
class Clock:
    ms: int = NOW_MS

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def edge(redis_db: str, tmp_path: Path, clock: Clock) -> AsyncIterator[RunningEdge]:
    async with edge_on(redis_db, tmp_path, now_ms=clock) as edge:
        yield edge


@contextmanager
def killed(redis: EmbeddedRedis) -> Iterator[None]:
    redis.stop()
    yield


@contextmanager
def frozen(redis: EmbeddedRedis) -> Iterator[None]:
    pid = int(redis.pid_file().read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def prompt(org: Publisher, condition: dict[str, Any]) -> CompiledMessage:
    """A message for those of whom the condition holds."""
    made = message()
    org.audience(condition, made)
    return made


async def until_given(edge: RunningEdge, org: Publisher, *ids: str, **who: Any) -> None:
    async def check() -> bool:
        return await edge.fetched(org, **who) == list(ids)

    await eventually_async(check)


@pytest.mark.parametrize("away", [killed, frozen])
async def test_a_window_runs_out_at_its_very_millisecond_with_everything_else_stopped(
    own_redis: EmbeddedRedis, tmp_path: Path, clock: Clock, away: Callable[[EmbeddedRedis], Any]
) -> None:
    async with Redis.from_url(own_redis.url) as redis, edge_on(own_redis.url, tmp_path, now_ms=clock) as edge:
        org = Publisher(redis)
        upgrade = prompt(org, {"all": [happened("*", within="14d"), rule("plan", "free")]})
        nudge = prompt(org, {"all": [happened("*", "eq", 0, within="14d"), rule("plan", "free")]})
        await org.mark_projected()
        await org.project("u:ada", UserState(rev=1, traits={"plan": "free"}))
        await org.publish()
        assert await edge.fetched(org, userId="ada") == [nudge.id]
        await edge.track(org, "report.exported", userId="ada")
        last_ms = NOW_MS + 14 * DAY_MS
        with away(own_redis):
            for now_ms, given, holds_until_ms in (
                (NOW_MS, upgrade, NOW_MS + LATEST_MS),
                (last_ms - LATEST_MS, upgrade, last_ms),
                (last_ms - LATEST_MS + 1, upgrade, last_ms + 1),
                (last_ms, upgrade, last_ms + 1),
                (last_ms + 1, nudge, last_ms + 1 + LATEST_MS),
            ):
                clock.ms = now_ms
                data = await edge.fetch(org, userId="ada")
                assert [each["id"] for each in data["messages"]] == [given.id]
                assert (data["validUntil"], "degraded" in data) == (times.to_iso(holds_until_ms), False)


@pytest.mark.parametrize(
    ("op", "count", "is_shown"),
    [
        # before any event, after the first, after the second; then the first has run out, then the second too
        ("eq", 0, [True, False, False, False, True]),
        ("lt", 1, [True, False, False, False, True]),
        ("lte", 0, [True, False, False, False, True]),
        ("lt", 2, [True, True, False, True, True]),
        ("neq", 1, [True, False, True, False, True]),
        ("eq", 1, [False, True, False, True, False]),
        ("gte", 2, [False, False, True, False, False]),
        ("gt", 0, [False, True, True, True, False]),
    ],
)
async def test_what_counts_fewer_comes_back_at_the_moment_that_an_event_runs_out(
    own_redis: EmbeddedRedis, tmp_path: Path, clock: Clock, op: str, count: int, is_shown: list[bool]
) -> None:
    async with Redis.from_url(own_redis.url) as redis, edge_on(own_redis.url, tmp_path, now_ms=clock) as edge:
        org = Publisher(redis)
        prompt(org, happened("viewed", op, count, within="60s"))
        await org.mark_projected()
        await org.publish()

        async def given() -> tuple[bool, int]:
            data = await edge.fetch(org, userId="ada")
            return bool(data["messages"]), times.from_iso(data["validUntil"]) - clock.ms

        found = [await given()]
        assert found == [(is_shown[0], LATEST_MS)]
        own_redis.stop()
        await edge.track(org, "viewed", userId="ada")
        found.append(await given())
        clock.ms += 5
        await edge.track(org, "viewed", userId="ada")
        found.append(await given())
        for moment_ms in (NOW_MS + 60_000, NOW_MS + 60_005):
            before = found[-1][0]
            clock.ms = moment_ms
            assert (await given())[0] is before
            clock.ms += 1
            found.append(await given())
            if found[-1][0] is not before:
                clock.ms -= 1
                assert await given() == (before, 1)
                clock.ms += 1
        assert [is_given for is_given, _ in found] == is_shown
        assert found[-1][1] == LATEST_MS


async def test_an_empty_state_nudge_goes_with_the_first_event_and_never_comes_back(
    org: Publisher, edge: RunningEdge, clock: Clock
) -> None:
    nudge = prompt(org, happened("project.created", "eq", 0))
    await org.publish()
    assert await edge.fetched(org, userId="ada") == [nudge.id]
    await edge.track(org, "project.created", userId="ada")
    assert await edge.fetched(org, userId="ada") == []
    assert await edge.fetched(org, userId="bob") == [nudge.id]
    clock.ms += 400 * DAY_MS
    assert await edge.fetched(org, userId="ada") == []


async def test_an_event_with_other_properties_does_not_count(org: Publisher, edge: RunningEdge) -> None:
    exported = prompt(org, happened("report.exported", "gte", 2, format="pdf"))
    await org.publish()
    for format_ in ("pdf", "csv", "pdf"):
        assert await edge.fetched(org, userId="ada") == []
        await edge.track(org, "report.exported", userId="ada", properties={"format": format_})
    assert await edge.fetched(org, userId="ada") == [exported.id]


async def test_an_event_sent_twice_counts_once_and_late_ones_at_their_own_time(
    org: Publisher, edge: RunningEdge, clock: Clock
) -> None:
    twice = prompt(org, happened("viewed", "gte", 2, within="60s"))
    await org.publish()
    for _ in range(3):
        await edge.track(org, "viewed", userId="ada", id="1")
    assert await edge.fetched(org, userId="ada") == []
    await edge.track(org, "viewed", userId="ada", timestamp=NOW_MS - 60_001)
    assert await edge.fetched(org, userId="ada") == []
    await edge.track(org, "viewed", userId="ada", timestamp=NOW_MS - 60_000)
    data = await edge.fetch(org, userId="ada")
    assert ([each["id"] for each in data["messages"]], data["validUntil"]) == ([twice.id], times.to_iso(NOW_MS + 1))
    clock.ms += 1
    assert await edge.fetched(org, userId="ada") == []


async def test_star_counts_what_somebody_did_and_not_what_was_shown_to_them(org: Publisher, edge: RunningEdge) -> None:
    idle, unseen = prompt(org, happened("*", "eq", 0)), prompt(org, happened(events.IMPRESSION, "eq", 0))
    await org.publish()
    assert set(await edge.fetched(org, userId="ada")) == {idle.id, unseen.id}
    await edge.see(org, idle.id, userId="ada")
    assert await edge.fetched(org, userId="ada") == [idle.id]
    await edge.track(org, events.IDENTIFIED, userId="ada", properties={})
    assert await edge.fetched(org, userId="ada") == []


async def test_the_occasion_of_a_fetch_is_no_event_that_happened(org: Publisher, edge: RunningEdge) -> None:
    nudge, viewer = prompt(org, happened("viewed", "eq", 0)), prompt(org, happened("viewed"))
    await org.publish()
    for _ in range(2):
        assert await edge.fetched(org, userId="ada", event={"type": "viewed", "properties": {}}) == [nudge.id]
    await edge.track(org, "viewed", userId="ada")
    assert await edge.fetched(org, userId="ada", event={"type": "viewed", "properties": {}}) == [viewer.id]


async def test_apps_cannot_send_what_the_admin_does_to_customers(org: Publisher, edge: RunningEdge) -> None:
    prompt(org, rule("plan", "gold"))
    await org.publish()
    answer = await edge.post("events", org.body(eventType=events.UPDATED, userId="ada", properties={"plan": "gold"}))
    assert [each["code"] for each in answer.json()["data"]["rejected"]] == ["event_type_reserved"]
    assert await edge.fetched(org, userId="ada") == []


async def test_messages_are_for_shown_when_and_kept_from_audiences_that_count_events(
    org: Publisher, edge: RunningEdge
) -> None:
    active, buyers = org.audience(happened("*")), org.audience(happened("bought"))
    target = message(priority=1)
    org.audience({"all": [{"audience": active}, {"not": {"audience": buyers}}]}, target)
    kept, when = message(priority=3, exclude=[buyers]), message(priority=2, trigger={"audienceId": buyers})
    org.everyone(kept, when)
    await org.publish()
    assert await edge.fetched(org, userId="ada") == [kept.id]
    await edge.track(org, "viewed", userId="ada")
    assert await edge.fetched(org, userId="ada") == [kept.id, target.id]
    await edge.track(org, "bought", userId="ada")
    assert await edge.fetched(org, userId="ada") == [when.id]


async def project_what_was_shipped(
    redis: Redis, org: Publisher, edge: RunningEdge, states: dict[str, UserState]
) -> int:
    """What the recorder does, once all is in Redis; returns how many events there were. `states`: what the customers
    become."""

    async def arrived() -> bool:
        spool, batches = edge.parts.spool.id, await shipped(redis)
        return 0 < len(edge.parts.overlay) <= len([batch for batch in batches if batch.spool == spool])

    await eventually_async(arrived)
    for subject, state in states.items():
        await org.project(subject, state)
    return sum(len(batch.events) for batch in await commit(redis, edge.parts.spool.id))


async def overlay_is_empty(edge: RunningEdge) -> None:
    async def check() -> bool:
        return len(edge.parts.overlay) == 0

    await eventually_async(check)


async def test_an_event_that_is_sent_again_after_it_was_recorded_counts_once(
    redis: Redis, org: Publisher, edge: RunningEdge, clock: Clock
) -> None:
    leaf = happened("viewed")
    once, twice = prompt(org, happened("viewed", "eq", 1)), prompt(org, happened("viewed", "gte", 2))
    await org.publish()
    await edge.track(org, "viewed", userId="ada", id="1")
    assert await edge.fetched(org, userId="ada") == [once.id]
    await project_what_was_shipped(redis, org, edge, {"u:ada": UserState(rev=1, rings={ring_id(leaf): (NOW_MS,)})})
    await overlay_is_empty(edge)
    clock.ms += SECOND_MS
    await edge.track(org, "viewed", userId="ada", id="1")
    assert await edge.fetched(org, userId="ada") == [once.id]
    await edge.track(org, "viewed", userId="ada", id="2")
    assert await edge.fetched(org, userId="ada") == [twice.id]


async def test_what_one_edge_took_in_the_next_fetch_on_another_knows_once_it_is_announced(
    redis: Redis, redis_db: str, tmp_path: Path, org: Publisher, clock: Clock
) -> None:
    leaf = happened("viewed", "gte", 2, within="60s")
    viewer = prompt(org, leaf)
    await org.publish()
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(edge_on(redis_db, tmp_path / name, now_ms=clock)) for name in "ab"
        ]
        assert await second.fetched(org, userId="ada") == []
        await first.track(org, "viewed", userId="ada")
        await first.track(org, "viewed", userId="ada", timestamp=NOW_MS - 10)
        assert await first.fetched(org, userId="ada") == [viewer.id]
        assert await second.fetched(org, userId="ada") == []
        ada = UserState(rev=1, rings={ring_id(leaf): (NOW_MS, NOW_MS - 10)})
        await project_what_was_shipped(redis, org, first, {"u:ada": ada})
        await until_given(second, org, viewer.id, userId="ada")
        await overlay_is_empty(first)
        for edge in (first, second):
            clock.ms = NOW_MS - 10 + 60_000
            data = await edge.fetch(org, userId="ada")
            assert [each["id"] for each in data["messages"]] == [viewer.id]
            assert data["validUntil"] == times.to_iso(clock.ms + 1)
            clock.ms += 1
            assert await edge.fetched(org, userId="ada") == []


async def test_what_a_visitor_did_counts_for_the_user_on_every_edge_before_the_claim_is_projected_and_after(
    redis: Redis, redis_db: str, tmp_path: Path, org: Publisher, clock: Clock
) -> None:
    leaf = happened("viewed", "gte", 2)
    viewer, twice = prompt(org, leaf), prompt(org, happened("viewed", "eq", 2))
    ring = ring_id(leaf)
    both = {viewer.id, twice.id}
    await org.publish()
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(edge_on(redis_db, tmp_path / name, now_ms=clock)) for name in "ab"
        ]
        await org.project("a:x", UserState(rev=1, rings={ring: (NOW_MS - 9,)}))
        await org.project("u:ada", UserState(rev=2, rings={ring: (NOW_MS - 8,)}))
        for edge in (first, second):
            await until_given(edge, org, userId="ada")
        await first.track(org, events.IDENTIFIED, userId="ada", anonymousId="x", properties={})
        assert set(await first.fetched(org, userId="ada")) == both
        for edge in (first, second):
            assert set(await edge.fetched(org, userId="ada", anonymousId="x")) == both
        ada = UserState(rev=4, rings={ring: (NOW_MS - 8, NOW_MS - 9)}, aliases=frozenset({"x"}))
        recorded = await project_what_was_shipped(redis, org, first, {"u:ada": ada, "a:x": UserState(rev=4)})
        assert recorded == 1
        await overlay_is_empty(first)
        for edge in (first, second):

            async def counts_all(edge: RunningEdge = edge) -> bool:
                return set(await edge.fetched(org, userId="ada")) == both

            await eventually_async(counts_all)
            assert set(await edge.fetched(org, userId="ada", anonymousId="x")) == both


async def test_what_cannot_be_known_is_not_taken_for_never(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    """A restarted edge without Redis has its own events and bundles, but not what was recorded before."""
    async with Redis.from_url(own_redis.url) as redis:
        org = Publisher(redis)
        plain = message()
        org.everyone(plain)
        prompt(org, happened("viewed", "eq", 0))
        prompt(org, happened("viewed"))
        await org.mark_projected()
        await org.publish()
        async with edge_on(own_redis.url, tmp_path) as edge:
            await edge.track(org, "viewed", userId="ada")
    own_redis.stop()
    async with edge_on(own_redis.url, tmp_path) as edge:
        data = await edge.fetch(org, userId="ada")
        assert ([each["id"] for each in data["messages"]], data["degraded"]) == ([plain.id], True)


async def test_events_acknowledged_before_a_restart_still_count(redis_db: str, tmp_path: Path, org: Publisher) -> None:
    viewer = prompt(org, happened("viewed", "gte", 2))
    await org.publish()
    for count in (1, 2):
        async with edge_on(redis_db, tmp_path) as edge:
            await edge.track(org, "viewed", userId="ada", id=str(count))
    async with edge_on(redis_db, tmp_path) as edge:
        assert await edge.fetched(org, userId="ada") == [viewer.id]


async def test_a_state_of_the_format_before_is_somebody_who_did_nothing(org: Publisher, edge: RunningEdge) -> None:
    nudge = prompt(org, happened("viewed", "eq", 0))
    await org.publish()
    earlier = codec.pack(1) + codec.pack([1, {"plan": "free"}, {}, [], {}, []])
    await org.redis.set(keys.user(org.org_id, "u:ada"), earlier)
    assert await edge.fetched(org, userId="ada") == [nudge.id]
    await edge.track(org, "viewed", userId="ada")
    assert await edge.fetched(org, userId="ada") == []


def less(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    return tuple(replace(feature, kept=feature.kept - 1) for feature in features)


@pytest.mark.parametrize("lacking", [lambda features: (), less], ids=["feature", "moments"])
async def test_a_manifest_that_lacks_what_its_rules_count_is_refused_and_the_last_good_one_serves(
    org: Publisher, edge: RunningEdge, lacking: Callable[[tuple[Feature, ...]], tuple[Feature, ...]]
) -> None:
    first, second = message(), message()
    org.everyone(first)
    await org.publish()
    await until_given(edge, org, first.id, userId="ada")
    org.everyone(second)
    prompt(org, happened("viewed", "gte", 2))
    sound = await org.publish(announce=False)
    manifest = replace(sound, features=lacking(sound.features))
    await org.put_manifest(manifest.encode(), manifest.version)

    async def is_reported() -> bool:
        refused = (await edge.http.get("/readyz")).json()["checks"]["bundles"]["refused"]
        return "lacks features" in refused.get(str(org.org_id), "")

    await eventually_async(is_reported)
    assert await edge.fetched(org, userId="ada") == [first.id]
    await org.put_manifest(sound.encode(), sound.version)
    await until_given(edge, org, second.id, userId="ada")
    assert (await edge.http.get("/readyz")).json()["checks"]["bundles"]["refused"] == {}


@pytest.mark.parametrize("before", [None, happened("viewed")], ids=["new feature", "more moments"])
async def test_states_from_before_a_feature_never_meet_the_rules_that_need_it(
    org: Publisher, edge: RunningEdge, before: dict[str, Any] | None
) -> None:
    """Though the announcements of the states that have it are missed: the manifest alone has them read again."""
    plain, then = message(), message()
    org.everyone(plain)
    if before is not None:
        prompt(org, before)
    await org.publish()
    await org.project("u:ada", UserState(rev=1))
    await until_given(edge, org, plain.id, userId="ada")
    leaf = happened("viewed", "lt", 3)
    await org.project("u:ada", UserState(rev=2, rings={ring_id(leaf): (3, 2, 1)}), announce=False)
    org.bundles.clear()
    org.everyone(then)
    rare = prompt(org, leaf)
    await org.publish()
    answers: list[list[str]] = []

    async def is_swapped() -> bool:
        answers.append(await edge.fetched(org, userId="ada"))
        return answers[-1] == [then.id]

    await eventually_async(is_swapped)
    assert not any(rare.id in ids for ids in answers)


async def test_a_fetch_that_was_waiting_for_a_state_while_its_rules_changed_reads_it_again(
    org: Publisher, edge: RunningEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And lays over it what the new rules count of the events that were just acknowledged."""
    org.everyone()
    await org.publish()
    await until_given(edge, org, userId="bob")
    await edge.track(org, "viewed", userId="ada")
    ask, reads = Users.ask, 0

    async def ask_slowly(users: Users, org_id: UUID, subjects: Any, then: Callable[[Any], Any]) -> Any:
        nonlocal reads
        reads += 1
        states = await ask(users, org_id, subjects, list)
        if reads == 1:
            await org.publish()
            await until_version(edge, org)
        return then(states)

    prompt(org, happened("viewed", "eq", 0))
    viewer = prompt(org, happened("viewed"))
    monkeypatch.setattr(Users, "ask", ask_slowly)
    assert await edge.fetched(org, userId="ada") == [viewer.id]
    assert reads == 2


async def until_version(edge: RunningEdge, org: Publisher) -> None:
    async def check() -> bool:
        served = edge.parts.bundles.org(org.org_id)
        return served is not None and served.table.version.revision == org.revision

    await eventually_async(check)


async def test_a_changed_rule_is_served_without_anything_else(org: Publisher, edge: RunningEdge) -> None:
    shown = prompt(org, happened("viewed"))
    await org.publish()
    await edge.track(org, "viewed", userId="ada")
    assert await edge.fetched(org, userId="ada") == [shown.id]
    (audience_id,) = org.bundles
    org.bundles[audience_id] = replace(org.bundles[audience_id], rule=happened("viewed", "gte", 2))
    await org.publish()
    await until_given(edge, org, userId="ada")
    await edge.track(org, "viewed", userId="ada")
    assert await edge.fetched(org, userId="ada") == [shown.id]


async def test_fetches_and_events_at_once_never_lose_or_double_one(org: Publisher, edge: RunningEdge) -> None:
    """A fetch counts at least what was acknowledged before it, and never more than was sent."""
    steps = {count: prompt(org, happened("viewed", "eq", count)) for count in range(1, 21)}
    await org.publish()
    by_message = {shown.id: count for count, shown in steps.items()}
    sent = acknowledged = 0

    async def track() -> None:
        nonlocal sent, acknowledged
        for number in range(10):
            sent += 1
            await edge.track(org, "viewed", userId="ada", id=f"{id(asyncio.current_task())}-{number}")
            acknowledged += 1

    async def look() -> None:
        while acknowledged < 20:
            least = acknowledged
            given = await edge.fetched(org, userId="ada")
            counted = by_message[given[0]] if given else 0
            assert least <= counted <= sent

    await asyncio.gather(track(), track(), look())
    assert await edge.fetched(org, userId="ada") == [steps[20].id]
