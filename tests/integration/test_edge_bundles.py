"""Which messages a running edge serves: bundles coming, going, failing; Redis dying; who may see what."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from edge import bundles
from edge.access import identity_token
from inapp.embedded import EmbeddedRedis
from tests.support.edges import RunningEdge, edge_on
from tests.support.polling import eventually_async
from tests.support.publishing import ONCE, Publisher, entries, message, newer, rule
from wire import apikeys, codec, keys, times
from wire.bundle import Bundle, Settings, Version, sha_of
from wire.userstate import Seen, UserState

pytestmark = pytest.mark.anyio


async def gives(edge: RunningEdge, org: Publisher, *ids: str) -> None:
    """Waits until a stranger gets exactly these messages."""

    async def check() -> bool:
        return await edge.fetched(org, anonymousId="x") == list(ids)

    await eventually_async(check)


async def test_a_publish_is_served_soon(org: Publisher, edge: RunningEdge) -> None:
    first, second = message(), message()
    org.everyone(first)
    await org.publish()
    await gives(edge, org, first.id)
    org.everyone(second)
    await org.publish()
    await gives(edge, org, second.id)


async def test_the_poll_finds_a_publish_that_nobody_announced(org: Publisher, edge: RunningEdge) -> None:
    first, second = message(), message()
    org.everyone(first)
    await org.publish()
    await gives(edge, org, first.id)
    org.everyone(second)
    await org.publish(announce=False)
    await gives(edge, org, second.id)


async def test_an_older_manifest_is_never_served(org: Publisher, edge: RunningEdge) -> None:
    old, new = message(), message()
    org.everyone(old)
    before = await org.publish()
    org.everyone(new)
    await org.publish()
    await gives(edge, org, new.id)
    await org.put_manifest(before.encode(), before.version)
    edge.parts.bundles.refresh_all()
    await edge.parts.bundles.idle()
    assert await edge.fetched(org, anonymousId="x") == [new.id]


async def put_truncated_bundle(org: Publisher) -> None:
    data = org.bundles["everyone"].encode()
    await org.redis.set(keys.bundle(org.org_id, sha_of(data)), data[:-3])


async def drop_bundle(org: Publisher) -> None:
    await org.redis.delete(keys.bundle(org.org_id, sha_of(org.bundles["everyone"].encode())))


async def put_another_bundle(org: Publisher) -> None:
    """Sound in itself, but not what the manifest names."""
    sha = sha_of(org.bundles["everyone"].encode())
    await org.redis.set(keys.bundle(org.org_id, sha), Bundle("everyone", None, (message("Other"),)).encode())


@pytest.mark.parametrize("spoil", [put_truncated_bundle, put_another_bundle, drop_bundle])
async def test_a_bad_bundle_keeps_the_last_good_one_serving_until_it_is_mended(
    org: Publisher, edge: RunningEdge, spoil: Callable[[Publisher], Awaitable[None]]
) -> None:
    first, second = message(), message()
    org.everyone(first)
    await org.publish()
    await gives(edge, org, first.id)
    org.everyone(second)
    org.revision += 1
    manifest = org.manifest()
    await spoil(org)
    await org.put_manifest(manifest.encode(), manifest.version)

    async def is_reported() -> bool:
        ready = (await edge.http.get("/readyz")).json()
        return str(org.org_id) in ready["checks"]["bundles"]["refused"]

    await eventually_async(is_reported)
    assert await edge.fetched(org, anonymousId="x") == [first.id]
    assert "inapp_edge_orgs_with_refused_bundles 1.0" in (await edge.http.get("/metrics")).text
    data = org.bundles["everyone"].encode()
    await org.redis.set(keys.bundle(org.org_id, sha_of(data)), data)
    await gives(edge, org, second.id)
    assert (await edge.http.get("/readyz")).json()["checks"]["bundles"]["refused"] == {}


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", codec.pack({"format": 99}), codec.pack({"format": 1}), codec.pack(["everyone"])]
)
async def test_a_bad_manifest_keeps_the_last_good_one_serving(org: Publisher, edge: RunningEdge, data: bytes) -> None:
    first = message()
    org.everyone(first)
    await org.publish()
    await gives(edge, org, first.id)
    org.revision += 1
    await org.put_manifest(data, Version(0, 1, org.revision))

    async def is_reported() -> bool:
        return org.org_id in edge.parts.bundles.problems

    await eventually_async(is_reported)
    assert await edge.fetched(org, anonymousId="x") == [first.id]


async def test_a_damaged_manifest_is_read_again_until_it_is_whole(org: Publisher, edge: RunningEdge) -> None:
    org.everyone(message())
    manifest = await org.publish()
    await gives(edge, org, org.bundles["everyone"].messages[0].id)
    await org.redis.set(keys.manifest(org.org_id), b"\xc1")
    edge.parts.bundles.refresh_all()
    await edge.parts.bundles.idle()
    assert org.org_id in edge.parts.bundles.problems
    await org.redis.set(keys.manifest(org.org_id), manifest.encode())

    async def is_mended() -> bool:
        return edge.parts.bundles.problems == {}

    await eventually_async(is_mended)


async def test_an_org_whose_only_manifest_is_bad_is_unavailable_not_unknown(org: Publisher, edge: RunningEdge) -> None:
    await org.put_manifest(b"\xc1", Version(0, 1, 1))
    answer = await edge.post("in-app-messages/fetch", org.body())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "org_unavailable")
    good = message()
    org.everyone(good)
    await org.publish()

    async def is_served() -> bool:
        return (await edge.post("in-app-messages/fetch", org.body())).status_code == 200

    await eventually_async(is_served)


async def test_a_wrongly_labelled_bundle_is_refused(org: Publisher, edge: RunningEdge) -> None:
    """Content for one audience must not come out under the name of another."""
    org.audience(rule("plan", "gold"), message())
    org.revision += 1
    (bundle,) = org.bundles.values()
    org.bundles = {"everyone": bundle}
    await org.redis.set(keys.bundle(org.org_id, sha_of(bundle.encode())), bundle.encode())
    await org.put_manifest(org.manifest().encode(), org.manifest().version)
    assert (await edge.post("in-app-messages/fetch", org.body())).status_code == 503


async def test_a_gap_in_the_changes_has_everything_read_again(redis: Redis, org: Publisher, edge: RunningEdge) -> None:
    gold = message()
    org.audience(rule("plan", "gold"), gold)
    await org.publish()
    await org.project("u:ada", UserState(rev=1, traits={"plan": "free"}))
    assert await edge.fetched(org, userId="ada") == []
    await org.project("u:ada", UserState(rev=2, traits={"plan": "gold"}), announce=False)
    assert await edge.fetched(org, userId="ada") == []  # cached, and nobody has said otherwise
    await redis.incr(keys.CHANGES_SEQUENCE)  # an announcement that this edge never saw
    await org.announce({"kind": "users", "org": str(org.org_id), "body": codec.pack([["u:other", 9]])})

    async def sees_gold() -> bool:
        return await edge.fetched(org, userId="ada") == [gold.id]

    await eventually_async(sees_gold)


async def test_a_flushed_change_stream_has_everything_read_again(
    redis: Redis, org: Publisher, edge: RunningEdge
) -> None:
    gold = message()
    org.audience(rule("plan", "gold"), gold)
    await org.publish()
    await org.project("u:ada", UserState(rev=1, traits={"plan": "free"}))
    assert await edge.fetched(org, userId="ada") == []
    await redis.delete(keys.CHANGES, keys.CHANGES_SEQUENCE)
    await org.project("u:ada", UserState(rev=2, traits={"plan": "gold"}), announce=False)

    async def sees_gold() -> bool:
        return await edge.fetched(org, userId="ada") == [gold.id]

    await eventually_async(sees_gold)


async def test_an_announced_state_replaces_the_cached_one(org: Publisher, edge: RunningEdge) -> None:
    gold = message()
    org.audience(rule("plan", "gold"), gold)
    await org.publish()
    assert await edge.fetched(org, userId="ada") == []  # unknown: the empty state is cached
    await org.project("u:ada", UserState(rev=1, traits={"plan": "gold"}))

    async def sees_gold() -> bool:
        return await edge.fetched(org, userId="ada") == [gold.id]

    await eventually_async(sees_gold, timeout=0.9)


async def test_an_unknown_user_gets_what_the_empty_state_allows_while_the_marker_is_valid(
    org: Publisher, edge: RunningEdge
) -> None:
    plain, capped, not_gold = message(priority=3), message(priority=2, cap=ONCE), message(priority=1)
    org.everyone(plain, capped)
    org.audience({"not": rule("plan", "gold")}, not_gold)
    await org.publish()
    data = await edge.fetch(org, userId="nobody")
    assert [each["id"] for each in data["messages"]] == [plain.id, capped.id, not_gold.id]
    assert "degraded" not in data


@pytest.mark.parametrize("run_id", [None, "0" * 40])
async def test_without_a_valid_marker_an_unknown_user_is_asked_for_and_gets_only_what_needs_no_state(
    redis: Redis, edge: RunningEdge, run_id: str | None
) -> None:
    org = Publisher(redis)
    if run_id is not None:
        await org.mark_projected(run_id)
    plain = message()
    org.everyone(plain, message(cap=ONCE))
    org.audience({"not": rule("plan", "gold")}, message())
    await org.publish()
    data = await edge.fetch(org, userId="ada")
    assert [each["id"] for each in data["messages"]] == [plain.id]
    assert data["degraded"] is True
    wanted = [fields for _, fields in await entries(redis, keys.WANTED)]
    assert wanted == [{b"org": str(org.org_id).encode(), b"subject": b"u:ada"}]
    await org.project("u:ada", UserState(rev=1))
    assert "degraded" not in await edge.fetch(org, userId="ada")


async def test_redis_dying_leaves_what_is_in_memory_and_withholds_what_is_not(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with Redis.from_url(own_redis.url) as redis, edge_on(own_redis.url, tmp_path) as edge:
        org = Publisher(redis)
        plain, gold, capped = message(priority=3), message(priority=2), message(priority=1, cap=ONCE)
        org.everyone(plain, capped)
        org.audience(rule("plan", "gold"), gold)
        await org.publish()
        await org.project("u:ada", UserState(rev=1, traits={"plan": "gold"}))
        everything = [plain.id, gold.id, capped.id]
        assert await edge.fetched(org, userId="ada") == everything
        own_redis.stop()
        assert await edge.fetched(org, userId="ada") == everything
        unknown = await edge.fetch(org, userId="bob")
        assert [each["id"] for each in unknown["messages"]] == [plain.id]
        assert unknown["degraded"] is True
        stranger = Publisher(redis)
        assert (await edge.post("in-app-messages/fetch", stranger.body())).status_code == 503
        assert (await edge.http.get("/readyz")).json()["checks"]["redis"]["reachable"] is False


async def test_a_restart_with_redis_dead_serves_from_disk(own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    async with Redis.from_url(own_redis.url) as redis:
        org = Publisher(redis)
        plain, later = message(priority=60), message(starts_ms=2_000_000)
        org.everyone(plain, message(cap=ONCE), later)
        org.audience(rule("plan", "gold"), message())
        await org.publish()
        async with edge_on(own_redis.url, tmp_path) as edge:
            await edge.fetch(org, userId="ada")
    own_redis.stop()
    moment = {"ms": 1_999_999}
    async with edge_on(own_redis.url, tmp_path, now_ms=lambda: moment["ms"]) as edge:
        data = await edge.fetch(org, userId="ada", traits={"plan": "gold"})
        assert [each["id"] for each in data["messages"]] == [plain.id]
        assert data["degraded"] is True
        assert (await edge.http.get("/readyz")).status_code == 200
        moment["ms"] += 1
        assert await edge.fetched(org, userId="ada") == [plain.id, later.id]


async def test_a_restart_with_redis_dead_serves_an_org_that_nobody_had_asked_for(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with Redis.from_url(own_redis.url) as redis:
        org, broken = Publisher(redis), Publisher(redis)
        await broken.put_manifest(b"\xc1", Version(0, 1, 1))
        plain = message()
        org.everyone(plain)
        await org.publish()
        async with edge_on(own_redis.url, tmp_path) as edge:
            await eventually_async(lambda: holds(edge, org))
    own_redis.stop()
    async with edge_on(own_redis.url, tmp_path) as edge:
        assert await edge.fetched(org, userId="ada") == [plain.id]


async def test_an_org_that_appears_is_loaded_before_anybody_asks(org: Publisher, edge: RunningEdge) -> None:
    await eventually_async(lambda: has_polled(edge))
    org.everyone(message())
    await org.publish()
    await eventually_async(lambda: holds(edge, org))


async def test_orgs_are_loaded_ahead_only_up_to_a_limit_and_the_others_on_request(
    redis: Redis, redis_db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "_MOST_PRELOADED", 6)
    orgs = [Publisher(redis) for _ in range(9)]
    for org in orgs:
        org.everyone(message())
        await org.publish()

    async with edge_on(redis_db, tmp_path) as edge:
        held = edge.parts.bundles.org_ids

        async def is_full() -> bool:
            return len(held()) >= 6

        await eventually_async(is_full)
        await edge.parts.changes.poll_once()
        await edge.parts.bundles.idle()
        assert len(held()) == 6
        for org in orgs:
            assert len(await edge.fetched(org, anonymousId="x")) == 1
        assert len(held()) == 9


async def holds(edge: RunningEdge, org: Publisher) -> bool:
    return org.org_id in edge.parts.bundles.org_ids()


async def has_polled(edge: RunningEdge) -> bool:
    return edge.parts.changes.polled_at_s is not None


async def test_bundles_that_nothing_names_any_more_leave_the_disk(
    org: Publisher, edge: RunningEdge, tmp_path: Path
) -> None:
    for _ in range(3):
        org.everyone(message())
        manifest = await org.publish()
        await gives(edge, org, org.bundles["everyone"].messages[0].id)

    async def only_the_last_is_left() -> bool:
        folder = tmp_path / "bundles" / str(org.org_id)
        return {path.name for path in folder.iterdir()} == {"manifest", *manifest.bundles.values()}

    await eventually_async(only_the_last_is_left)


async def test_schedules_are_exact_to_the_millisecond(redis_db: str, tmp_path: Path, org: Publisher) -> None:
    window = message(starts_ms=1_000_500, ends_ms=1_001_000)
    org.everyone(window)
    await org.publish()
    moment = {"ms": 1_000_499}
    async with edge_on(redis_db, tmp_path, now_ms=lambda: moment["ms"]) as edge:
        before = await edge.fetch(org, userId="ada")
        assert (before["messages"], before["validUntil"]) == ([], times.to_iso(1_000_500))
        moment["ms"] = 1_000_500
        during = await edge.fetch(org, userId="ada")
        assert [each["id"] for each in during["messages"]] == [window.id]
        assert during["validUntil"] == times.to_iso(1_001_000)
        moment["ms"] = 1_001_000
        after = await edge.fetch(org, userId="ada")
        assert (after["messages"], after["validUntil"]) == ([], times.to_iso(1_001_000 + 15 * 60 * 1000))


async def test_an_etag_that_holds_is_answered_without_messages(org: Publisher, edge: RunningEdge) -> None:
    first = message()
    org.everyone(first)
    await org.publish()
    data = await edge.fetch(org, userId="ada")
    again = await edge.fetch(org, userId="ada", etag=data["etag"])
    assert again.pop("validUntil")
    assert again == {"unchanged": True, "revision": data["revision"], "etag": data["etag"]}
    org.everyone(message(id_=first.id, version=2))
    await org.publish()

    async def has_changed() -> bool:
        return "messages" in await edge.fetch(org, userId="ada", etag=data["etag"])

    await eventually_async(has_changed)


class TestIdentityTokens:
    SECRET = "an org's own secret"

    @pytest.fixture
    async def org(self, redis: Redis) -> Publisher:
        org = Publisher(redis, settings=Settings(require_identity_token=True, identity_secret=self.SECRET))
        await org.mark_projected()
        await org.project("u:ada", newer(UserState(), traits={"plan": "gold"}))
        self.plain, self.gold = message(priority=2), message(priority=1)
        org.everyone(self.plain)
        org.audience(rule("plan", "gold"), self.gold)
        await org.publish()
        return org

    async def test_the_right_token_gives_everything(self, org: Publisher, edge: RunningEdge) -> None:
        token = identity_token(self.SECRET, "ada")
        assert await edge.fetched(org, userId="ada", identityToken=token) == [self.plain.id, self.gold.id]

    async def test_without_a_token_nothing_targeted_comes(self, org: Publisher, edge: RunningEdge) -> None:
        assert await edge.fetched(org, userId="ada") == [self.plain.id]
        assert await edge.fetched(org, userId="ada", anonymousId="x", traits={"plan": "gold"}) == [self.plain.id]
        assert await edge.fetched(org, anonymousId="x", traits={"plan": "gold"}) == [self.plain.id]

    async def test_without_a_token_only_the_anonymous_visitor_is_known(self, org: Publisher, edge: RunningEdge) -> None:
        capped = message(priority=0, cap=ONCE)
        org.everyone(capped)
        await org.publish()
        ada = UserState(rev=2, seen={capped.id: Seen(1, recent_ms=(1,))})
        await org.project("u:ada", ada)

        async def gets_capped(**who: str) -> bool:
            return capped.id in await edge.fetched(org, **who)

        await eventually_async(lambda: gets_capped(anonymousId="x"))
        assert await gets_capped(userId="ada", anonymousId="x")
        assert not await gets_capped(userId="ada", identityToken=identity_token(self.SECRET, "ada"))
        assert not await gets_capped(userId="bob")  # whoever that is, nobody can tell what they have seen

    @pytest.mark.parametrize("token", ["0" * 64, "é", identity_token(SECRET, "bob"), identity_token("other", "ada")])
    async def test_a_wrong_token_is_refused(self, org: Publisher, edge: RunningEdge, token: str) -> None:
        answer = await edge.post("in-app-messages/fetch", org.body(userId="ada", identityToken=token))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "identity_token_invalid")
        assert token not in answer.text

    async def test_events_of_a_user_need_a_token(self, org: Publisher, edge: RunningEdge) -> None:
        event = {"eventType": "a", "userId": "ada"}
        batch = [
            event,
            {**event, "identityToken": "0" * 64},
            {**event, "identityToken": identity_token(self.SECRET, "ada")},
            {"eventType": "a", "anonymousId": "x"},
        ]
        data = (await edge.post("events/batch", org.body(events=batch))).json()["data"]
        assert data["accepted"] == 2
        assert [(each["index"], each["code"]) for each in data["rejected"]] == [
            (0, "identity_token_missing"),
            (1, "identity_token_invalid"),
        ]

    async def test_an_unproven_event_cannot_pass_as_an_anonymous_one(self, org: Publisher, edge: RunningEdge) -> None:
        body = org.body(eventType="user.identified", userId="ada", anonymousId="x", properties={"plan": "free"})
        assert (await edge.post("events", body)).json()["data"]["accepted"] == 0


class TestKeys:
    async def test_any_way_to_send_the_key_works(self, org: Publisher, edge: RunningEdge) -> None:
        org.everyone(message())
        await org.publish()
        path = "/api/v1/in-app-messages/fetch"
        answers = [
            await edge.http.post(path, json={}, headers={"X-API-Key": org.key}),
            await edge.http.post(path, json={}, headers={"Authorization": f"Bearer {org.key}"}),
            await edge.http.post(path, json={"apiKey": org.key}),
            await edge.http.post(path, params={"apiKey": org.key}, json={}),
            await edge.http.get("/api/v1/in-app-messages/active", params={"apiKey": org.key, "userId": "ada"}),
        ]
        assert [answer.status_code for answer in answers] == [200] * 5

    async def test_keys_that_are_not_live_public_ones_are_refused(self, org: Publisher, edge: RunningEdge) -> None:
        org.everyone(message())
        await org.publish()
        stranger = Publisher(org.redis)
        keys_sent = {
            None: 401,
            "": 401,
            "pk_prod_nonsense": 401,
            "clé": 401,
            org.key[:-1] + ("a" if org.key[-1] != "a" else "b"): 401,
            stranger.key: 401,
            org.secret_key: 403,
        }
        for path in ("in-app-messages/fetch", "events", "events/batch", f"in-app-messages/{uuid4()}/clicks"):
            for key, status in keys_sent.items():
                answer = await edge.post(path, {"apiKey": key, "userId": "ada", "eventType": "a", "events": []})
                code = "secret_key_in_client" if status == 403 else "invalid_api_key"
                assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), (path, key)
                assert not key or key not in answer.text

    async def test_a_revoked_key_stops_working(self, org: Publisher, edge: RunningEdge) -> None:
        org.everyone(message())
        await org.publish()
        assert (await edge.post("in-app-messages/fetch", org.body())).status_code == 200
        org.live_keys = [apikeys.mint("pk", "prod", org.org_id)]
        await org.publish()

        async def is_refused() -> bool:
            return (await edge.post("in-app-messages/fetch", org.body())).status_code == 401

        await eventually_async(is_refused)

    async def test_an_org_that_appears_is_served_although_it_was_unknown_a_moment_ago(
        self, org: Publisher, edge: RunningEdge
    ) -> None:
        assert (await edge.post("in-app-messages/fetch", org.body())).status_code == 401
        org.everyone(message())
        await org.publish()

        async def is_served() -> bool:
            return (await edge.post("in-app-messages/fetch", org.body())).status_code == 200

        await eventually_async(is_served, timeout=3)
