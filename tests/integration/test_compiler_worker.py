import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import anyio
import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from compiler import worker
from compiler.app import CompilerSettings, running
from compiler.check import check
from compiler.compile import Compiled, compile_org
from compiler.lease import Lease, Term
from compiler.publish import UnreadableOrgError, publish, read_org
from compiler.snapshot import take_snapshot
from inapp.embedded import EmbeddedPostgres, EmbeddedRedis
from service.health import Health, health_app
from store import tables
from store.connect import OUTBOX_CHANNEL, create_engine
from store.migrate import upgrade_async
from tests.support.compiler_rows import Authored, author
from tests.support.polling import eventually_async
from wire import keys
from wire.bundle import Manifest, Version

pytestmark = pytest.mark.anyio


@pytest.fixture
async def org(postgres: AsyncEngine) -> Authored:
    return await author(postgres)


@pytest.fixture
def settings(database_url: str, redis_db: str) -> CompilerSettings:
    return compiler_settings(database_url, redis_db)


def compiler_settings(database_url: str, redis_url: str) -> CompilerSettings:
    return CompilerSettings.model_validate(
        {"database_url": database_url, "redis_url": redis_url, "lease_ttl_seconds": 1}
    )


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def manifest(redis: Redis, org: Authored) -> Manifest | None:
    try:
        return (await read_org(redis, org.org_id))[0]
    except UnreadableOrgError:
        return None


async def published(redis: Redis, org: Authored) -> list[str]:
    """Ids of the messages that an edge would have; the org must be published."""
    try:
        _, bundles = await read_org(redis, org.org_id)
    except (UnreadableOrgError, RedisConnectionError) as error:
        raise AssertionError(str(error)) from error
    return sorted(message.id for bundle in bundles.values() for message in bundle.messages)


async def until_published(redis: Redis, org: Authored, *message_ids: UUID, timeout: float = 10.0) -> None:
    async def check() -> bool:
        assert await published(redis, org) == sorted(map(str, message_ids))
        return True

    await eventually_async(check, timeout)


async def until_settled(org: Authored) -> None:
    async def check() -> bool:
        return await org.outbox_ids() == []

    await eventually_async(check)


async def lease_of(postgres: AsyncEngine) -> Lease:
    lease = Lease(postgres, "another compiler")
    await lease.attempt()
    assert lease.term is not None
    return lease


async def test_a_change_is_published_and_its_outbox_row_removed(
    settings: CompilerSettings, redis: Redis, org: Authored
) -> None:
    async with running(settings, Health()):
        await until_published(redis, org)
        message_id = await org.add_message()
        await until_published(redis, org, message_id)
        await until_settled(org)
        await org.change_message(message_id, active=False)
        await until_published(redis, org)


async def test_a_change_made_while_no_compiler_ran_is_published_by_the_next(
    settings: CompilerSettings, redis: Redis, org: Authored
) -> None:
    message_id = await org.add_message()
    async with running(settings, Health()):
        await until_published(redis, org, message_id)
        await until_settled(org)


async def test_a_lost_notification_costs_only_time(
    settings: CompilerSettings, redis: Redis, postgres: AsyncEngine, org: Authored
) -> None:
    async with running(settings, Health()):
        await until_published(redis, org)
        await kill_listener(postgres)
        message_id = await org.add_message(announce=False)
        async with postgres.begin() as connection:
            await connection.execute(
                text("INSERT INTO outbox (org_id, created_ms) VALUES (:org, 1)"), {"org": org.org_id}
            )
        await until_published(redis, org, message_id)


async def kill_listener(postgres: AsyncEngine) -> None:
    listeners = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query IN ('SELECT 1', :listen)"
    )
    async with postgres.begin() as connection:
        assert (await connection.execute(listeners, {"listen": f'LISTEN "{OUTBOX_CHANNEL}"'})).all()


async def test_a_notification_that_names_no_org_does_no_harm(
    settings: CompilerSettings, redis: Redis, postgres: AsyncEngine, org: Authored
) -> None:
    async with running(settings, Health()):
        await until_published(redis, org)
        async with postgres.begin() as connection:
            for payload in ("not an id", "", str(UUID(int=404))):
                await connection.execute(text("SELECT pg_notify(:c, :p)"), {"c": OUTBOX_CHANNEL, "p": payload})
        message_id = await org.add_message()
        await until_published(redis, org, message_id)


async def test_a_new_org_is_published_though_nobody_announced_it(
    settings: CompilerSettings, redis: Redis, postgres: AsyncEngine
) -> None:
    async with running(settings, Health()):
        org = await author(postgres)
        key = await org.add_key()
        await until_published(redis, org)
        found = await manifest(redis, org)
        assert found is not None
        assert found.keys == {key}


async def test_a_flushed_redis_gets_everything_again_with_higher_revisions(
    database_url: str, own_redis: EmbeddedRedis, postgres: AsyncEngine
) -> None:
    orgs = [await author(postgres) for _ in range(3)]
    ids = [await org.add_message() for org in orgs]
    settings = compiler_settings(database_url, own_redis.url)
    async with Redis.from_url(own_redis.url) as redis, running(settings, Health()):
        before = []
        for org, message_id in zip(orgs, ids, strict=True):
            await until_published(redis, org, message_id)
            await until_settled(org)
            before.append(await org.revision())
        await redis.flushall()
        for org, message_id, revision in zip(orgs, ids, before, strict=True):
            await until_published(redis, org, message_id)
            found = await manifest(redis, org)
            assert found is not None
            assert found.version.revision > revision


@pytest.mark.parametrize("lost", ["manifest", "revision"])
async def test_a_lost_manifest_or_revision_is_published_again(
    settings: CompilerSettings, redis: Redis, org: Authored, lost: str
) -> None:
    message_id = await org.add_message()
    async with running(settings, Health()):
        await until_published(redis, org, message_id)
        if lost == "manifest":
            await redis.delete(keys.manifest(org.org_id))
        else:
            await redis.hset(keys.REVISIONS, str(org.org_id), "1.0.1")

        async def mended() -> bool:
            told: Any = await redis.hget(keys.REVISIONS, str(org.org_id))
            found = await manifest(redis, org)
            assert found is not None
            return Version.parse(told.decode()) == found.version and found.version.revision > 1

        await eventually_async(mended)


async def test_a_message_that_ends_leaves_at_its_boundary_and_one_that_starts_is_there_before(
    settings: CompilerSettings, redis: Redis, org: Authored
) -> None:
    ends_ms = now_ms() + 1500
    ending = await org.add_message(ends_ms=ends_ms, announce=False)
    starting = await org.add_message(starts_ms=ends_ms + 3_600_000)
    async with running(settings, Health()):
        await until_published(redis, org, ending, starting)
        assert now_ms() < ends_ms
        await until_published(redis, org, starting)
        assert now_ms() >= ends_ms


async def test_a_boundary_whose_job_never_runs_is_found_by_the_tick(
    settings: CompilerSettings, redis: Redis, org: Authored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compiler.schedule.Schedule.expect", lambda *_: None)
    message_id = await org.add_message(ends_ms=now_ms() + 1500)
    async with running(settings, Health()):
        await until_published(redis, org, message_id)
        await until_published(redis, org)


async def test_the_boundary_job_alone_is_enough(
    settings: CompilerSettings, redis: Redis, org: Authored, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = await org.add_message(ends_ms=now_ms() + 1500)
    async with running(settings, Health()) as running_worker:
        await until_published(redis, org, message_id)
        await until_settled(org)
        monkeypatch.setattr(running_worker, "_reconcile_once", _nothing)
        await until_published(redis, org)


async def _nothing() -> None:
    return


async def test_a_broken_message_shows_its_problems_until_it_is_mended(
    settings: CompilerSettings, redis: Redis, org: Authored
) -> None:
    good = await org.add_message(announce=False)
    bad = await org.add_message(trigger={"url": {"op": "regex", "value": "x"}})
    async with running(settings, Health()):
        await until_published(redis, org, good)
        await until_settled(org)
        [problem] = await org.problems_of(bad)
        assert (problem["pointer"], problem["code"]) == ("/trigger/url/op", "unknown_op")
        assert await org.problems_of(good) == []
        await org.change_message(bad, trigger=None)
        await until_published(redis, org, good, bad)
        await until_settled(org)
        assert await org.problems_of(bad) == []


async def test_showing_problems_never_asks_for_another_compile(
    redis: Redis, postgres: AsyncEngine, org: Authored
) -> None:
    """By a compiler that only looks when it is told to."""
    bad = await org.add_message(content={})
    compiler = worker.Worker(postgres, redis, await lease_of(postgres))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(compiler.run)
        await compiler._reconcile_once()
        await until_settled(org)
        assert await org.problems_of(bad) != []
        for _ in range(3):
            await compiler._reconcile_once()
            await eventually_async(lambda: idle(compiler))
        tasks.cancel_scope.cancel()
    assert await org.revision() == 1


async def damage_bundle(redis: Redis, org: Authored, found: Manifest) -> None:
    await redis.set(keys.bundle(org.org_id, found.bundles["everyone"]), b"garbage")


async def delete_bundle(redis: Redis, org: Authored, found: Manifest) -> None:
    await redis.delete(keys.bundle(org.org_id, found.bundles["everyone"]))


async def damage_manifest(redis: Redis, org: Authored, found: Manifest) -> None:
    await redis.set(keys.manifest(org.org_id), b"garbage")


async def turn_manifest_back(redis: Redis, org: Authored, found: Manifest) -> None:
    before = replace(found, version=found.version._replace(revision=found.version.revision - 1))
    await redis.set(keys.manifest(org.org_id), before.encode())


async def make_manifest_nonsense(redis: Redis, org: Authored, found: Manifest) -> None:
    nonsense: Any = {"everyone": 7}
    await redis.set(keys.manifest(org.org_id), replace(found, bundles=nonsense).encode())


async def make_manifest_a_hash(redis: Redis, org: Authored, found: Manifest) -> None:
    await redis.delete(keys.manifest(org.org_id))
    await redis.hset(keys.manifest(org.org_id), "not", "text")


@pytest.mark.parametrize(
    "harm",
    [
        damage_bundle,
        delete_bundle,
        damage_manifest,
        turn_manifest_back,
        make_manifest_nonsense,
        make_manifest_a_hash,
    ],
)
async def test_what_went_bad_in_redis_is_found_and_published_again(
    redis: Redis, postgres: AsyncEngine, org: Authored, harm: Any
) -> None:
    """By a compiler that only looks when it is told to."""
    message_id, other = await org.add_message(), await author(postgres)
    compiler = worker.Worker(postgres, redis, await lease_of(postgres))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(compiler.run)
        await compiler._reconcile_once()
        await until_published(redis, org, message_id)
        await until_published(redis, other)
        await eventually_async(lambda: idle(compiler))
        await compiler._inspect_once()
        assert await idle(compiler)
        sound = await manifest(redis, org)
        assert sound is not None
        await harm(redis, org, sound)
        await compiler._inspect_once()
        await until_published(redis, org, message_id)
        await eventually_async(lambda: idle(compiler))
        mended = await manifest(redis, org)
        assert mended is not None and mended.version > sound.version
        await compiler._inspect_once()
        assert await idle(compiler)
        tasks.cancel_scope.cancel()
    assert await other.revision() == 1


async def idle(compiler: worker.Worker) -> bool:
    """Whether no org waits to be compiled, or is with a taker."""
    backlog = compiler._backlog
    return not (backlog._changed or backlog._overdue or backlog._taken)


async def test_a_crash_between_publishing_and_removing_outbox_rows_does_no_harm(
    settings: CompilerSettings, redis: Redis, postgres: AsyncEngine, org: Authored
) -> None:
    message_id = await org.add_message()
    lease = await lease_of(postgres)
    assert lease.term is not None
    snapshot = await take_snapshot(postgres, org.org_id, lease.term)
    await publish(redis, org.org_id, compile_org(snapshot, now_ms()))
    await lease.release()
    assert await org.outbox_ids() != []
    async with running(settings, Health()):
        await until_settled(org)
        await until_published(redis, org, message_id)


async def test_a_crash_between_the_snapshot_and_publishing_does_no_harm(
    settings: CompilerSettings, redis: Redis, postgres: AsyncEngine, org: Authored
) -> None:
    message_id = await org.add_message()
    lease = await lease_of(postgres)
    assert lease.term is not None
    await take_snapshot(postgres, org.org_id, lease.term)
    await lease.release()
    async with running(settings, Health()):
        await until_published(redis, org, message_id)
        await until_settled(org)


async def test_a_compiler_stands_by_while_another_has_the_lease_and_then_takes_over(
    settings: CompilerSettings, redis: Redis, postgres: AsyncEngine, org: Authored
) -> None:
    message_id = await org.add_message()
    other = await lease_of(postgres)
    health = Health()
    async with running(settings, health) as standing_by:
        await eventually_async(lambda: lease_check_is(health, {"state": "standby"}))
        standing_by.changed(org.org_id)
        await standing_by._reconcile_once()
        await eventually_async(lambda: idle(standing_by))
        assert await manifest(redis, org) is None
        await other.release()
        await until_published(redis, org, message_id)
        assert await lease_check_is(health, {"state": "held", "epoch": 2})


async def lease_check_is(health: Health, detail: dict[str, object]) -> bool:
    result = (await health.check())["lease"]
    return result.ok and dict(result.detail) == detail


async def test_stopping_a_compiler_hands_the_lease_over_at_once(
    database_url: str, redis_db: str, redis: Redis, postgres: AsyncEngine, org: Authored
) -> None:
    an_hour = {"database_url": database_url, "redis_url": redis_db, "lease_ttl_seconds": 3600}
    async with running(CompilerSettings.model_validate(an_hour), Health()):
        await until_published(redis, org)
    assert (await lease_of(postgres)).term == Term(1, 2, "another compiler")


async def test_two_compilers_at_work_never_move_a_revision_back(
    settings: CompilerSettings, redis: Redis, postgres: AsyncEngine
) -> None:
    orgs = [await author(postgres) for _ in range(3)]
    last: dict[UUID, UUID] = {}
    async with running(settings, Health()), running(settings, Health()):
        for round_ in range(5):
            for org in orgs:
                last[org.org_id] = await org.add_message()
            if round_ % 2:
                await take_the_lease_away(postgres)
        for org in orgs:
            await eventually_async(lambda org=org: _has(redis, org, last[org.org_id]), timeout=20)  # type: ignore[misc]
    entries: Any = await redis.xrange(keys.CHANGES)
    for org in orgs:
        told = [Version.parse(f[b"body"].decode()) for _, f in entries if f[b"org"] == str(org.org_id).encode()]
        assert told == sorted(set(told))
        assert len({version.epoch for version in told}) > 1


async def take_the_lease_away(postgres: AsyncEngine) -> None:
    async with postgres.begin() as connection:
        await connection.execute(text("UPDATE compiler_lease SET holder = NULL, expires_ms = 0"))
    await anyio.sleep(0.5)


async def _has(redis: Redis, org: Authored, message_id: UUID) -> bool:
    return str(message_id) in await published(redis, org)


@pytest.mark.parametrize("reconciles", [True, False])
async def test_a_compiler_that_has_the_lease_again_publishes_what_is_there_now(
    redis: Redis, postgres: AsyncEngine, org: Authored, reconciles: bool
) -> None:
    """Though it remembers what it compiled before another had it: its first org may be there before it looks around."""
    audience = await org.add_audience({"trait": "n", "op": "eq", "value": 1})
    edited, _ = await org.add_message(), await org.add_message(audience_id=audience)
    await org.add_message(audience_id=await org.add_audience(None, "Static"))
    leases = [Lease(postgres, name) for name in ("first", "second")]
    first, second = (worker.Worker(postgres, redis, lease) for lease in leases)
    for turn, (compiler, lease) in enumerate([(first, leases[0]), (second, leases[1]), (first, leases[0])]):
        await lease.attempt()
        assert lease.term is not None
        if reconciles:
            await compiler._reconcile_once()
        await org.change_message(edited, priority=turn)
        await change_rule(postgres, audience, value=[1, 5, True][turn])
        await damage_every_bundle(redis, org)
        await compiler._attempt(org.org_id, lease.term)
        manifest, _ = await read_org(redis, org.org_id)  # all of it, also what this turn did not change
        fresh = compile_org(await take_snapshot(postgres, org.org_id, lease.term), now_ms())
        assert manifest.bundles == fresh.manifest.bundles
        await lease.release()


async def change_rule(postgres: AsyncEngine, audience_id: UUID, *, value: object) -> None:
    change = tables.audiences.update().where(tables.audiences.c.id == audience_id)
    async with postgres.begin() as connection:
        await connection.execute(change.values(rule={"trait": "n", "op": "eq", "value": value}))


async def damage_every_bundle(redis: Redis, org: Authored) -> None:
    for key in await redis.keys(keys.bundle(org.org_id, "*")):
        await redis.set(key, b"garbage", keepttl=True)


async def test_an_edit_sends_only_the_bundle_that_it_changes(
    redis: Redis, postgres: AsyncEngine, org: Authored
) -> None:
    audience = await org.add_audience(None)
    edited, _ = await org.add_message(), await org.add_message(audience_id=audience)
    lease = await lease_of(postgres)
    assert lease.term is not None
    compiler = worker.Worker(postgres, redis, lease)
    await compiler._attempt(org.org_id, lease.term)
    untouched = (await read_org(redis, org.org_id))[0].bundles[str(audience)]
    await redis.set(keys.bundle(org.org_id, untouched), b"not sent again")
    await org.change_message(edited, priority=1)
    await compiler._attempt(org.org_id, lease.term)
    assert await redis.get(keys.bundle(org.org_id, untouched)) == b"not sent again"
    compiler._damaged.add(org.org_id)
    await compiler._attempt(org.org_id, lease.term)
    assert len((await read_org(redis, org.org_id))[1]) == 2
    assert not compiler._damaged


async def test_a_stale_compile_keeps_its_outbox_rows_and_says_why(
    settings: CompilerSettings, redis: Redis, org: Authored
) -> None:
    """As after restoring an old Postgres without raising the generation."""
    await redis.hset(keys.REVISIONS, str(org.org_id), "1.9.900")
    await org.add_message()
    with capture_logs() as logs:
        async with running(settings, Health()):
            await eventually_async(lambda: _logged(logs, "manifest_is_stale"))
            assert await manifest(redis, org) is None
            assert await org.outbox_ids() != []


async def _logged(logs: Any, event: str) -> bool:
    return any(entry["event"] == event for entry in logs)


async def test_raising_the_generation_publishes_everything_again(
    settings: CompilerSettings, redis: Redis, postgres: AsyncEngine, org: Authored
) -> None:
    await redis.hset(keys.REVISIONS, str(org.org_id), "1.9.900")
    message_id = await org.add_message()
    async with postgres.begin() as connection:
        await connection.execute(text("UPDATE compiler_lease SET generation = 2"))
    async with running(settings, Health()):
        await until_published(redis, org, message_id)
        async with postgres.begin() as connection:
            await connection.execute(text("UPDATE compiler_lease SET generation = 3"))

        async def generation() -> bool:
            found = await manifest(redis, org)
            return found is not None and found.version.generation == 3

        await eventually_async(generation)


async def test_an_org_that_fails_is_named_with_its_reason_and_stops_no_other(
    settings: CompilerSettings, redis: Redis, postgres: AsyncEngine, org: Authored, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, reasons = await author(postgres), ["broken on purpose"]

    def failing(snapshot: Any, at_ms: int, before: Any) -> Any:
        if snapshot.org_id == fails.org_id and reasons:
            raise RuntimeError(reasons[0])
        return compile_org(snapshot, at_ms, before)

    monkeypatch.setattr(worker, "compile_org", failing)
    theirs, ours = await fails.add_message(), await org.add_message()
    with capture_logs() as logs:
        async with running(settings, Health()):
            await until_published(redis, org, ours)
            await eventually_async(lambda: _logged(logs, "org_not_published"))
            assert await manifest(redis, fails) is None
            assert await fails.outbox_ids() != []
            [entry, *_] = [entry for entry in logs if entry["event"] == "org_not_published"]
            assert entry["org"] == str(fails.org_id)
            assert "broken on purpose" in entry["reason"]
            reasons.clear()
            await until_published(redis, fails, theirs)


async def test_an_org_that_failed_is_tried_at_once_when_it_changes(
    settings: CompilerSettings, redis: Redis, org: Authored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_FIRST_RETRY_S", 3600.0)
    monkeypatch.setattr(worker, "compile_org", _fail)
    message_id = await org.add_message()
    with capture_logs() as logs:
        async with running(settings, Health()) as compiler:
            await eventually_async(lambda: _logged(logs, "org_not_published"))
            for _ in range(3):
                await compiler._reconcile_once()
                await eventually_async(lambda: idle(compiler))
            assert len([entry for entry in logs if entry["event"] == "org_not_published"]) == 1
            monkeypatch.setattr(worker, "compile_org", compile_org)
            await org.announce()
            await until_published(redis, org, message_id)


def _fail(*_: Any) -> Compiled:
    raise RuntimeError("broken on purpose")


async def test_bundles_that_no_edge_would_take_are_not_published_and_the_last_ones_stay(
    settings: CompilerSettings, redis: Redis, org: Authored, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = await org.add_message()
    with capture_logs() as logs:
        async with running(settings, Health()):
            await until_published(redis, org, message_id)
            monkeypatch.setattr(worker, "check", _check_a_wrong_count)
            await org.add_message()
            await eventually_async(lambda: _logged(logs, "org_not_published"))
            assert await published(redis, org) == [str(message_id)]


def _check_a_wrong_count(compiled: Compiled, before: Any) -> None:
    check(replace(compiled, manifest=replace(compiled.manifest, message_count=99)), before)


async def test_redis_that_comes_late_or_goes_away_costs_only_time(
    database_url: str, own_redis: EmbeddedRedis, postgres: AsyncEngine, org: Authored
) -> None:
    first = await org.add_message()
    settings = compiler_settings(database_url, own_redis.url)
    await anyio.to_thread.run_sync(own_redis.stop)
    health = Health()
    with capture_logs() as logs:
        async with Redis.from_url(own_redis.url) as redis, running(settings, health):
            await eventually_async(lambda: _logged(logs, "task_retry"))
            assert not (await health.check())["redis"].ok
            await anyio.to_thread.run_sync(own_redis.start)
            await until_published(redis, org, first, timeout=20)
            await anyio.to_thread.run_sync(own_redis.stop)
            second = await org.add_message()
            await eventually_async(lambda: redis_is_down(health))
            await anyio.to_thread.run_sync(own_redis.start)
            await until_published(redis, org, first, second, timeout=20)
            assert (await health.check())["redis"].ok
            assert all(health.tasks().values())
    assert not [entry for entry in logs if entry["event"] == "org_not_published"]


async def redis_is_down(health: Health) -> bool:
    return not (await health.check())["redis"].ok


async def test_postgres_that_comes_late_or_goes_away_costs_only_time(
    own_postgres: EmbeddedPostgres, redis_db: str, redis: Redis
) -> None:
    settings = compiler_settings(own_postgres.url, redis_db)
    await anyio.to_thread.run_sync(own_postgres.stop)
    health = Health()
    with capture_logs() as logs:
        async with running(settings, health):
            await eventually_async(lambda: _logged(logs, "waiting_for_dependency"))
            assert not (await health.check())["database"].ok
            await anyio.to_thread.run_sync(own_postgres.start)
            await upgrade_async(own_postgres.url)
            postgres = create_engine(own_postgres.url)
            org = await author(postgres)
            first = await org.add_message()
            await until_published(redis, org, first, timeout=20)
            await anyio.to_thread.run_sync(own_postgres.stop)
            await eventually_async(lambda: database_is_down(health))
            await anyio.to_thread.run_sync(own_postgres.start)
            second = await org.add_message()
            await until_published(redis, org, first, second, timeout=20)
            assert all(health.tasks().values())
            await postgres.dispose()


async def database_is_down(health: Health) -> bool:
    return not (await health.check())["database"].ok


async def test_readyz_and_metrics_tell_how_it_goes(settings: CompilerSettings, redis: Redis, org: Authored) -> None:
    health = Health()
    await org.add_message(content={})
    app = health_app("compiler", health)
    transport = httpx.ASGITransport(app)
    async with running(settings, health), httpx.AsyncClient(transport=transport, base_url="http://compiler") as client:
        await until_settled(org)
        ready = await client.get("/readyz")
        assert ready.status_code == 200
        checks = ready.json()["checks"]
        assert checks["lease"] == {"ok": True, "state": "held", "epoch": 1}
        assert checks["outbox"] == {"ok": True, "oldestMs": 0}
        assert (await client.get("/healthz")).json()["tasks"] == dict.fromkeys(
            ("lease", "compile", "reconcile", "listen"), "alive"
        )
        metrics = (await client.get("/metrics")).text
        assert "inapp_compiler_problems 1.0" in metrics
        assert 'inapp_compiler_compiles_total{outcome="published"}' in metrics
        for name in ("compile_seconds_count", "lag_seconds_count", "outbox_age_seconds", "lease_held"):
            assert f"inapp_compiler_{name}" in metrics


async def test_an_old_change_that_is_not_published_makes_the_process_not_ready(
    database_url: str, own_redis: EmbeddedRedis, postgres: AsyncEngine, org: Authored
) -> None:
    await anyio.to_thread.run_sync(own_redis.stop)
    health = Health()
    await org.announce()
    async with postgres.begin() as connection:
        await connection.execute(text("UPDATE outbox SET created_ms = :old"), {"old": now_ms() - 120_000})
    async with running(compiler_settings(database_url, own_redis.url), health):
        await eventually_async(lambda: _held_and_behind(health))


async def _held_and_behind(health: Health) -> bool:
    results = await health.check()
    return results["lease"].detail.get("state") == "held" and not results["outbox"].ok
