from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from compiler.compile import compile_org
from compiler.lease import LeaseLostError, Term
from compiler.settle import settle
from compiler.snapshot import take_snapshot
from store import outbox
from store.connect import create_engine
from tests.support.compiler_rows import APPEARANCE, CONTENT, NOW_MS, Authored, author, insert_message
from wire import codec
from wire.bundle import Settings, Version
from wire.problems import Problem

pytestmark = pytest.mark.anyio

TERM = Term(3, 5, "me")
PROBLEM = Problem("/content", "wrong_type", "must be an object")


@pytest.fixture
async def postgres(database_url: str) -> AsyncIterator[AsyncEngine]:
    """With the lease held by TERM for an hour."""
    engine = create_engine(database_url)
    await execute(
        engine, "UPDATE compiler_lease SET generation = 3, epoch = 5, holder = 'me', expires_ms = " + IN_AN_HOUR
    )
    yield engine
    await engine.dispose()


@pytest.fixture
async def org(postgres: AsyncEngine) -> Authored:
    return await author(postgres)


IN_AN_HOUR = "extract(epoch FROM clock_timestamp()) * 1000 + 3600000"


async def execute(postgres: AsyncEngine, statement: str, **values: object) -> None:
    async with postgres.begin() as connection:
        await connection.execute(text(statement), values)


async def test_a_snapshot_has_the_orgs_published_messages_and_nothing_of_others(postgres: AsyncEngine) -> None:
    mine, other = await author(postgres), await author(postgres)
    published = await mine.add_message(
        trigger={"eventType": "a"}, frequency_cap={"maxImpressions": 1}, starts_ms=1, ends_ms=2, slot="s", active=False
    )
    await mine.add_message(published_ms=None)
    await mine.add_message(archived_ms=NOW_MS)
    await other.add_message()
    await other.add_audience(None)
    [row] = (await take_snapshot(postgres, mine.org_id, TERM)).messages
    assert (row.id, row.version, row.type, row.created_ms) == (published, 1, "modal", NOW_MS)
    assert [codec.from_json(text) for text in (row.content, row.appearance)] == [CONTENT, APPEARANCE]
    assert (row.trigger, row.frequency_cap) == ('{"eventType": "a"}', '{"maxImpressions": 1}')
    assert (row.starts_ms, row.ends_ms, row.slot, row.active, row.priority) == (1, 2, "s", False, 50)


async def test_a_snapshot_has_audiences_live_public_keys_and_settings(postgres: AsyncEngine) -> None:
    org = await author(postgres, require_identity_token=True, identity_secret="s3cret")
    static, ruled = await org.add_audience(None, "Static"), await org.add_audience({"any": []}, "Ruled", preparing=True)
    live = {await org.add_key(), await org.add_key()}
    await org.add_key("sk")
    await org.add_key(revoked_ms=NOW_MS)
    await org.announce()
    snapshot = await take_snapshot(postgres, org.org_id, TERM)
    assert {(row.id, row.name): (row.rule, row.preparing) for row in snapshot.audiences} == {
        (static, "Static"): (None, False),
        (ruled, "Ruled"): ('{"any": []}', True),
    }
    assert snapshot.keys == live
    assert snapshot.settings == Settings(True, "s3cret")
    assert [row.id for row in snapshot.waiting] == await org.outbox_ids()
    assert [row.created_ms for row in snapshot.waiting] == [NOW_MS]


async def test_each_snapshot_raises_the_revision_of_its_org_alone(postgres: AsyncEngine, org: Authored) -> None:
    other = await author(postgres)
    versions = [(await take_snapshot(postgres, org.org_id, TERM)).version for _ in range(2)]
    assert versions == [Version(3, 5, 1), Version(3, 5, 2)]
    assert (await org.revision(), await other.revision()) == (2, 0)


@pytest.mark.parametrize(
    "term",
    [TERM._replace(epoch=4), TERM._replace(epoch=6), TERM._replace(generation=2), TERM._replace(holder="you")],
    ids=str,
)
async def test_without_the_lease_there_is_no_snapshot_and_no_new_revision(
    postgres: AsyncEngine, org: Authored, term: Term
) -> None:
    with pytest.raises(LeaseLostError):
        await take_snapshot(postgres, org.org_id, term)
    assert await org.revision() == 0


async def test_an_expired_lease_gives_no_snapshot(postgres: AsyncEngine, org: Authored) -> None:
    await execute(postgres, "UPDATE compiler_lease SET expires_ms = extract(epoch FROM clock_timestamp()) * 1000 - 1")
    with pytest.raises(LeaseLostError):
        await take_snapshot(postgres, org.org_id, TERM)
    assert await org.revision() == 0


async def test_a_later_revision_is_always_a_later_snapshot(postgres: AsyncEngine, org: Authored) -> None:
    """A snapshot that waited for another one's revision must see what was committed while it waited."""
    async with anyio.create_task_group() as tasks, postgres.begin() as connection:
        await connection.execute(
            text("UPDATE orgs SET bundle_revision = bundle_revision + 1 WHERE id = :id"), {"id": org.org_id}
        )
        waiting = _Result()
        tasks.start_soon(waiting.take, postgres, org.org_id)
        await _until_somebody_waits_for_a_lock(postgres)
        message_id = await insert_message(connection, org.org_id)
        await connection.commit()
    assert waiting.version == Version(3, 5, 2)
    assert waiting.messages == [message_id]


class _Result:
    version: Version
    messages: list[UUID]
    waiting: list[int]

    async def take(self, postgres: AsyncEngine, org_id: UUID) -> None:
        snapshot = await take_snapshot(postgres, org_id, TERM)
        self.version = snapshot.version
        self.messages = [row.id for row in snapshot.messages]
        self.waiting = [row.id for row in snapshot.waiting]


async def _until_somebody_waits_for_a_lock(postgres: AsyncEngine) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with anyio.fail_after(5):
        while True:
            async with postgres.connect() as connection:
                if (await connection.execute(waiting)).scalar_one():
                    return
            await anyio.sleep(0.01)


async def test_a_snapshot_is_of_one_moment(postgres: AsyncEngine, org: Authored) -> None:
    """Else it could take an outbox row for done whose change it has not seen."""
    async with anyio.create_task_group() as tasks, postgres.begin() as connection:
        await connection.execute(text("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE"))
        reading = _Result()
        tasks.start_soon(reading.take, postgres, org.org_id)
        await _until_somebody_waits_for_a_lock(postgres)
        await insert_message(connection, org.org_id)
        await outbox.announce(connection, org.org_id, NOW_MS)
        await connection.commit()
    assert (reading.messages, reading.waiting) == ([], [])


async def test_what_is_announced_after_a_snapshot_is_not_taken_for_a_part_of_it(
    postgres: AsyncEngine, org: Authored
) -> None:
    async with postgres.connect() as early:
        await outbox.announce(early, org.org_id, NOW_MS)  # a lower id, committed later
        await org.announce()
        snapshot = await take_snapshot(postgres, org.org_id, TERM)
        await early.commit()
    first, second = await org.outbox_ids()
    assert [row.id for row in snapshot.waiting] == [second]
    await settle(postgres, snapshot, {})
    assert await org.outbox_ids() == [first]


async def test_json_that_python_cannot_hold_costs_only_its_own_message(postgres: AsyncEngine, org: Authored) -> None:
    bad, good = await org.add_message(), await org.add_message()
    await execute(
        postgres, "UPDATE in_app_messages SET content = CAST('{\"body\": 1e999}' AS jsonb) WHERE id = :id", id=bad
    )
    compiled = compile_org(await take_snapshot(postgres, org.org_id, TERM), NOW_MS)
    assert list(compiled.problems) == [str(bad)]
    assert compiled.manifest.message_count == 1
    assert str(good).encode() in b"".join(compiled.bundles.values())


async def test_problems_are_shown_and_cleared_without_touching_anything_else(
    postgres: AsyncEngine, org: Authored
) -> None:
    message_id = await org.add_message(announce=False)
    untouched = await org.add_message(announce=False)
    before = await _rows(postgres)
    await settle(postgres, await take_snapshot(postgres, org.org_id, TERM), {str(message_id): [PROBLEM]})
    assert await org.problems_of(message_id) == [PROBLEM._asdict()]
    assert await org.problems_of(untouched) == []
    assert await org.outbox_ids() == []
    await settle(postgres, await take_snapshot(postgres, org.org_id, TERM), {})
    assert await org.problems_of(message_id) == []
    assert await _rows(postgres) == before


async def _rows(postgres: AsyncEngine) -> list[tuple[object, ...]]:
    async with postgres.connect() as connection:
        return [tuple(row) for row in await connection.execute(text("SELECT * FROM in_app_messages ORDER BY id"))]


async def test_unchanged_problems_are_not_written_again(postgres: AsyncEngine, org: Authored) -> None:
    message_id = await org.add_message()
    versions = []
    for _ in range(2):
        await settle(postgres, await take_snapshot(postgres, org.org_id, TERM), {str(message_id): [PROBLEM]})
        async with postgres.connect() as connection:
            versions.append((await connection.execute(text("SELECT xmin FROM in_app_messages"))).scalars().all())
    assert versions[0] == versions[1]


async def test_problems_of_an_old_snapshot_are_not_shown(postgres: AsyncEngine, org: Authored) -> None:
    message_id = await org.add_message()
    old = await take_snapshot(postgres, org.org_id, TERM)
    new = await take_snapshot(postgres, org.org_id, TERM)
    await settle(postgres, new, {})
    await settle(postgres, old, {str(message_id): [PROBLEM]})
    assert await org.problems_of(message_id) == []


async def test_the_problems_of_one_org_are_never_written_into_another(postgres: AsyncEngine, org: Authored) -> None:
    other = await author(postgres)
    theirs = await other.add_message()
    snapshot = replace(await take_snapshot(postgres, org.org_id, TERM), waiting=())
    await settle(postgres, snapshot, {str(theirs): [PROBLEM]})
    assert await other.problems_of(theirs) == []
    assert len(await other.outbox_ids()) == 1
