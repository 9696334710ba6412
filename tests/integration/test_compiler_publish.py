import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import UUID

import anyio
import pytest
from redis.asyncio import Redis

from compiler import publish as publish_module
from compiler.compile import Compiled, compile_org
from compiler.publish import UNREFERENCED_S, Published, UnreadableOrgError, publish, read_org, write_bundles
from compiler.snapshot import MessageRow
from tests.support.compiler_rows import KEY, NOW_MS, ORG, audience_row, message_row, snapshot, uuid
from wire import keys
from wire.bundle import EVERYONE, Manifest, Version, sha_of

pytestmark = pytest.mark.anyio

AUDIENCE = audience_row(11, {"trait": "plan", "op": "eq", "value": "free"})


def compiled(version: Version, *rows: MessageRow) -> Compiled:
    made = snapshot(*rows or (message_row(),), audiences=[AUDIENCE])
    return compile_org(replace(made, version=version), NOW_MS)


def version(revision: int, epoch: int = 1, generation: int = 1) -> Version:
    return Version(generation, epoch, revision)


async def standing(redis: Redis) -> tuple[Version, Version]:
    """The version that `revisions` tells, and that of the manifest."""
    told: Any = await redis.hget(keys.REVISIONS, str(ORG))
    manifest: Any = await redis.get(keys.manifest(ORG))
    return Version.parse(told.decode()), Manifest.decode(manifest).version


async def announcements(redis: Redis) -> list[Mapping[bytes, bytes]]:
    entries: Any = await redis.xrange(keys.CHANGES)
    return [fields for _, fields in entries]


async def test_a_published_org_can_be_read_back_as_an_edge_would(redis: Redis) -> None:
    made = compiled(version(1), message_row(1), message_row(2, audience_id=uuid(11)))
    assert await publish(redis, ORG, made) == Published("published", "1.1.1")
    manifest, bundles = await read_org(redis, ORG)
    assert manifest == made.manifest
    assert manifest.keys == {KEY}
    assert {name: [message.id for message in bundle.messages] for name, bundle in bundles.items()} == {
        EVERYONE: [str(uuid(1))],
        str(uuid(11)): [str(uuid(2))],
    }


async def test_each_publish_is_announced_with_the_next_number(redis: Redis) -> None:
    for revision in (1, 2):
        await publish(redis, ORG, compiled(version(revision)))
    assert await announcements(redis) == [
        {b"seq": b"%d" % n, b"kind": b"org", b"org": str(ORG).encode(), b"body": b"1.1.%d" % n} for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("later", "is_newer"),
    [
        (version(11, epoch=2), True),
        (version(10, epoch=2), False),
        (version(9, epoch=2), False),
        (version(100, epoch=2), True),
        (version(1, epoch=3), True),
        (version(99, epoch=1), False),
        (version(1, epoch=1, generation=2), True),
        (version(99, epoch=99, generation=0), False),
    ],
    ids=str,
)
async def test_a_manifest_moves_only_to_a_higher_version(redis: Redis, later: Version, is_newer: bool) -> None:
    first = version(10, epoch=2)
    await publish(redis, ORG, compiled(first))
    result = await publish(redis, ORG, compiled(later, message_row(2)))
    stands = later if is_newer else first
    assert result == Published("published" if is_newer else "stale", str(stands))
    assert await standing(redis) == (stands, stands)
    assert len(await announcements(redis)) == (2 if is_newer else 1)


async def test_compilers_of_different_epochs_that_race_never_move_a_revision_back(redis: Redis) -> None:
    versions = [version(revision, epoch) for epoch in (1, 2, 3) for revision in range(1, 21)]
    random.Random(3).shuffle(versions)
    seen: list[tuple[Version, Version]] = []

    async def compiler(own: list[Version]) -> None:
        for each in own:
            await publish(redis, ORG, compiled(each, message_row(each.revision)))

    async def reader() -> None:
        while True:
            if await redis.exists(keys.manifest(ORG)):
                seen.append(await standing(redis))
                manifest, bundles = await read_org(redis, ORG)
                assert set(bundles) == set(manifest.bundles)

    async with anyio.create_task_group() as readers:
        readers.start_soon(reader)
        async with anyio.create_task_group() as compilers:
            for start in range(4):
                compilers.start_soon(compiler, versions[start::4])
        readers.cancel_scope.cancel()
    assert await standing(redis) == (version(20, 3), version(20, 3))
    told = [Version.parse(fields[b"body"].decode()) for fields in await announcements(redis)]
    assert all(before < after for before, after in pairwise(told))
    assert [int(fields[b"seq"]) for fields in await announcements(redis)] == list(range(1, len(told) + 1))
    assert len(seen) > 1
    assert all(before <= after for before, after in pairwise([told for told, _ in seen]))


async def test_an_unreadable_revision_does_not_hold_up_the_next_publish(redis: Redis) -> None:
    await redis.hset(keys.REVISIONS, str(ORG), "garbage")
    await redis.set(keys.manifest(ORG), b"\xc1")
    assert (await publish(redis, ORG, compiled(version(1)))).outcome == "published"


async def test_bundles_stay_while_they_are_named_and_expire_once_they_are_not(redis: Redis) -> None:
    first, second = compiled(version(1), message_row(1)), compiled(version(2), message_row(2))
    [old], [new] = first.bundles, second.bundles
    await publish(redis, ORG, first)
    assert await redis.ttl(keys.bundle(ORG, old)) == -1
    await publish(redis, ORG, second)
    assert await redis.ttl(keys.bundle(ORG, new)) == -1
    assert UNREFERENCED_S - 5 < await redis.ttl(keys.bundle(ORG, old)) <= UNREFERENCED_S
    await publish(redis, ORG, compiled(version(3), message_row(1)))
    assert await redis.ttl(keys.bundle(ORG, old)) == -1
    assert await redis.ttl(keys.bundle(ORG, new)) > 0


async def test_a_stale_publish_leaves_the_bundles_that_stand_alone(redis: Redis) -> None:
    await publish(redis, ORG, compiled(version(5), message_row(1)))
    before = {key: await redis.dump(key) for key in await redis.keys("*")}
    await publish(redis, ORG, compiled(version(4), message_row(2)))
    assert {key: await redis.dump(key) for key in await redis.keys("*")} == before


async def test_a_bundle_that_was_lost_is_written_again(redis: Redis) -> None:
    made = compiled(version(1))
    await publish(redis, ORG, made)
    await redis.delete(*[keys.bundle(ORG, sha) for sha in made.bundles])
    await publish(redis, ORG, compiled(version(2)))
    assert (await read_org(redis, ORG))[0].version == version(2)


async def test_bytes_that_went_bad_are_written_again_when_all_is_written_anew(redis: Redis) -> None:
    made = compiled(version(1))
    [sha] = made.bundles
    await publish(redis, ORG, made)
    await redis.set(keys.bundle(ORG, sha), b"garbage")
    await publish(redis, ORG, compiled(version(2)), anew=True)
    assert (await read_org(redis, ORG))[0].version == version(2)
    await redis.delete(keys.manifest(ORG), keys.bundle(ORG, sha))
    await redis.hset(keys.manifest(ORG), "not", "text")
    await redis.hset(keys.bundle(ORG, sha), "not", "text")
    await publish(redis, ORG, compiled(version(3)), anew=True)
    assert (await read_org(redis, ORG))[0].version == version(3)


async def test_bundles_that_stand_are_not_sent_again(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[set[str]] = []
    write = publish_module.write_bundles

    async def writing(redis: Redis, org_id: UUID, bundles: Mapping[str, bytes]) -> None:
        written.append(set(bundles))
        await write(redis, org_id, bundles)

    monkeypatch.setattr(publish_module, "write_bundles", writing)
    first = compiled(version(1), message_row(1), message_row(2, audience_id=uuid(11)))
    second = compiled(version(2), message_row(1), message_row(3, audience_id=uuid(11)))
    await publish(redis, ORG, first)
    await publish(redis, ORG, second)
    assert written == [set(first.bundles), second.bundles.keys() - first.bundles.keys()]
    assert len(written[1]) == 1
    assert (await read_org(redis, ORG))[0].version == version(2)


async def test_a_bundle_that_another_publish_retired_is_written_though_it_is_still_there(redis: Redis) -> None:
    """It may be about to expire, and nobody looks at what no manifest names."""
    made = compiled(version(1), message_row(1))
    [sha] = made.bundles
    await publish(redis, ORG, made)
    await publish(redis, ORG, compiled(version(2), message_row(2)))
    await redis.set(keys.bundle(ORG, sha), b"garbage", keepttl=True)
    await publish(redis, ORG, compiled(version(3), message_row(1)))
    assert (await read_org(redis, ORG))[0].version == version(3)


async def test_writing_a_bundle_that_is_there_does_not_change_its_lifetime(redis: Redis) -> None:
    made = compiled(version(1))
    [sha] = made.bundles
    await publish(redis, ORG, made)
    await write_bundles(redis, ORG, {sha: made.bundles[sha], "new": b"new"})
    data: Any = await redis.get(keys.bundle(ORG, sha))
    assert sha_of(data) == sha
    assert await redis.ttl(keys.bundle(ORG, sha)) == -1
    assert 0 < await redis.ttl(keys.bundle(ORG, "new")) <= UNREFERENCED_S


async def test_what_another_compiler_published_in_between_is_retired_as_well(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = publish_module._before

    async def look_too_early(*arguments: Any) -> Any:
        monkeypatch.setattr(publish_module, "_before", look)
        before = await look(*arguments)
        await publish(redis, ORG, compiled(version(2), message_row(2)))
        return before

    await publish(redis, ORG, compiled(version(1), message_row(1)))
    monkeypatch.setattr(publish_module, "_before", look_too_early)
    made = compiled(version(3), message_row(3))
    await write_bundles(redis, ORG, made.bundles)
    await publish(redis, ORG, made)
    lasting = [key for key in await redis.keys(keys.bundle(ORG, "*")) if await redis.ttl(key) == -1]
    assert lasting == [keys.bundle(ORG, sha).encode() for sha in made.bundles]


async def test_reading_an_org_says_what_is_wrong(redis: Redis) -> None:
    with pytest.raises(UnreadableOrgError, match=f"nothing is published for org {ORG}"):
        await read_org(redis, ORG)
    made = compiled(version(1))
    [sha] = made.bundles
    await publish(redis, ORG, made)
    await redis.set(keys.bundle(ORG, sha), b"other")
    with pytest.raises(UnreadableOrgError, match=f"bundle {sha} holds other bytes"):
        await read_org(redis, ORG)
    await redis.delete(keys.bundle(ORG, sha))
    with pytest.raises(UnreadableOrgError, match=f"bundle {sha} is missing"):
        await read_org(redis, ORG)
    await redis.set(keys.manifest(ORG), b"\xc1")
    with pytest.raises(UnreadableOrgError, match="not msgpack"):
        await read_org(redis, ORG)


async def test_an_org_with_nothing_in_it_is_published_and_read(redis: Redis) -> None:
    await publish(redis, ORG, compile_org(snapshot(), NOW_MS))
    manifest, bundles = await read_org(redis, ORG)
    assert (manifest.message_count, bundles) == (0, {})
