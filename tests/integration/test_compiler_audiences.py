"""From an audience as the admin takes it, through the compiler, to what a running edge serves."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from sqlalchemy import insert, update
from structlog.testing import capture_logs

from compiler.app import CompilerSettings, running
from compiler.publish import read_org
from engine.features import features_of
from service.health import Health
from store import outbox, tables
from store.features import mark_preparing
from tests.support.admin_api import NOW_MS, Api
from tests.support.edges import RunningEdge, edge_on
from tests.support.polling import eventually_async
from tests.support.publishing import Publisher, happened, ring_id, rule
from wire.features import Feature
from wire.rules import parse_rule
from wire.userstate import UserState

pytestmark = pytest.mark.anyio

FREE, PRO = rule("plan", "free"), rule("plan", "pro")


@dataclass
class House:
    """An admin API, a compiler and an edge, all at work, and the recorder's side played by the test."""

    api: Api
    redis: Redis
    edge: RunningEdge
    org: Publisher

    async def audience(self, rule: Mapping[str, Any], name: str = "Audience") -> str:
        made: str = (await self.api.data("POST", "/audiences", {"name": name, "rule": rule}))["id"]
        return made

    async def banner(self, **fields: Any) -> str:
        body = {"type": "banner", "content": {"body": "Hello"}, **fields}
        made: str = (await self.api.data("POST", "/in-app-messages", body))["id"]
        return made

    async def until_given(self, *message_ids: str) -> None:
        async def check() -> bool:
            return sorted(await self.edge.fetched(self.org, userId="ada")) == sorted(message_ids)

        await eventually_async(check)

    async def until_published(self) -> None:
        async def check() -> bool:
            return await self.api.outbox_length() == 0

        await eventually_async(check)

    async def features(self) -> dict[str, int]:
        """Event → how many moments, of those in the manifest."""
        manifest, _ = await read_org(self.redis, self.org.org_id)
        return {feature.event: feature.kept for feature in manifest.features}

    async def gather(self, leaf: Mapping[str, Any]) -> None:
        """What the recorder does once it has the past of what a condition counts."""
        (feature,) = features_of([parse_rule(leaf)]).values()
        async with self.api.engine.begin() as connection:
            await connection.execute(insert(tables.event_features).values(**_row(self.org.org_id, feature)))
            await mark_preparing(connection, self.org.org_id)
            await outbox.announce(connection, self.org.org_id, NOW_MS)


def _row(org_id: UUID, feature: Feature) -> dict[str, Any]:
    event, where, kept = feature.fields()
    named = {"org_id": org_id, "id": feature.id, "event": event, "where": where}
    return {**named, "kept": kept, "ready": kept, "pass_id": 1, "created_ms": NOW_MS}


@pytest.fixture
async def house(api: Api, database_url: str, redis: Redis, redis_db: str, tmp_path: Path) -> AsyncIterator[House]:
    org = Publisher(redis, api.org.org_id)
    org.key = api.org.public_key
    await org.mark_projected()
    await org.project("u:ada", UserState(rev=1, traits={"plan": "pro"}))
    settings = {"database_url": database_url, "redis_url": redis_db, "lease_ttl_seconds": 1}
    async with running(CompilerSettings.model_validate(settings), Health()), edge_on(redis_db, tmp_path) as edge:
        yield House(api, redis, edge, org)


async def test_an_edited_rule_reaches_edges_like_an_edited_message(house: House) -> None:
    audience_id = await house.audience(FREE)
    target = await house.banner(audienceId=audience_id)
    kept = await house.banner(excludeAudienceIds=[audience_id])
    when = await house.banner(trigger={"audienceId": audience_id})
    await house.until_given(kept)
    await house.api.data("PATCH", f"/audiences/{audience_id}", {"rule": PRO})
    await house.until_given(target, when)


async def test_an_edited_rule_reaches_those_that_refer_to_its_audience(house: House) -> None:
    inner = await house.audience(FREE, "Inner")
    target = await house.banner(audienceId=await house.audience({"not": {"audience": inner}}, "Outer"))
    await house.until_given(target)
    await house.api.data("PATCH", f"/audiences/{inner}", {"rule": PRO})
    await house.until_given()


async def test_a_rule_over_events_is_served_once_the_past_is_gathered_and_not_before(house: House) -> None:
    nobody_yet = happened("viewed", "eq", 0)
    plain, audience_id = await house.banner(), await house.audience(nobody_yet)
    for fields in (
        {"audienceId": audience_id},
        {"excludeAudienceIds": [audience_id]},
        {"trigger": {"audienceId": audience_id}},
    ):
        await house.banner(**fields)
    with capture_logs() as logs:
        await house.banner(audienceId=await house.audience({"not": {"audience": audience_id}}, "Outer"))
        await house.until_published()
    assert [log["preparing"] for log in logs if log["event"] == "org_published"][-1] == 4
    assert REGISTRY.get_sample_value("inapp_compiler_preparing") == 4
    await house.until_given(plain)
    assert await house.features() == {}
    messages = (await house.api.data("GET", "/in-app-messages"))["items"]
    assert [message["problems"] for message in messages] == [[]] * 5

    await house.org.project("u:ada", UserState(rev=2, rings={ring_id(nobody_yet): (5,)}))
    await house.gather(nobody_yet)
    served = {message["id"]: message for message in messages}
    excluding = [id_ for id_, message in served.items() if message["excludeAudienceIds"]]
    outer = [id_ for id_, message in served.items() if message["audienceId"] not in (None, audience_id)]
    await house.until_given(plain, *excluding, *outer)
    assert await house.features() == {"viewed": 1}
    assert REGISTRY.get_sample_value("inapp_compiler_preparing") == 0


async def test_an_edit_that_asks_for_more_of_the_past_waits_for_it(house: House) -> None:
    once, often = happened("viewed"), happened("viewed", "gte", 3)
    audience_id = await house.audience(once)
    target = await house.banner(audienceId=audience_id)
    await house.gather(once)
    await house.org.project("u:ada", UserState(rev=2, rings={ring_id(once): (9,)}))
    await house.until_given(target)
    await house.api.data("PATCH", f"/audiences/{audience_id}", {"rule": often})
    await house.until_given()
    assert await house.features() == {}
    await house.org.project("u:ada", UserState(rev=3, rings={ring_id(often): (9, 8, 7)}))
    async with house.api.engine.begin() as connection:
        await connection.execute(update(tables.event_features).values(kept=3, ready=3))
        await mark_preparing(connection, house.org.org_id)
        await outbox.announce(connection, house.org.org_id, NOW_MS)
    await house.until_given(target)
    assert await house.features() == {"viewed": 3}


async def test_a_rule_over_events_that_cannot_be_read_is_a_problem_and_not_a_wait(house: House) -> None:
    audience_id = await house.audience(happened("viewed"))
    target = await house.banner(audienceId=audience_id)
    unreadable = {"event": "viewed", "count": {"op": "gte", "value": "many"}}
    await house.api.execute(update(tables.audiences).values(rule=unreadable))
    await house.api.data("PATCH", f"/in-app-messages/{target}", {"priority": 60})

    async def is_shown() -> bool:
        shown = await house.api.data("GET", f"/in-app-messages/{target}")
        return [problem["pointer"] for problem in shown["problems"]] == ["/audienceId"]

    await eventually_async(is_shown)
    await house.until_given()
