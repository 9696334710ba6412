"""Writing, changing, publishing and removing messages."""

import asyncio
import itertools
import json
import uuid
from typing import Any, get_args

import pytest
from sqlalchemy import insert, select, update

from admin.messages.schemas import Appearance, Content, Goal, Status, Trigger
from store import tables
from tests.support.admin_api import NOW_MS, Api

pytestmark = pytest.mark.anyio


DAY_MS = 24 * 3_600_000
BANNER: dict[str, Any] = {"type": "banner", "content": {"body": "Hello"}}
FULL: dict[str, Any] = {
    "name": "Upgrade nudge",
    "type": "modal",
    "content": {
        "title": "Go Pro",
        "body": "Reports without a limit.",
        "ctaText": "Upgrade",
        "ctaUrl": "https://app.example.com/pricing",
        "imageUrl": "https://cdn.example.com/pro.png",
        "dismissible": False,
    },
    "trigger": {
        "eventType": "report.exported",
        "where": [{"property": "pages", "op": "gte", "value": 3}],
        "url": {"op": "glob", "value": "https://app.example.com/*"},
        "screen": {"op": "eq", "value": "Checkout"},
        "audienceId": None,
        "delaySeconds": 5,
    },
    "audienceId": None,
    "excludeAudienceIds": [],
    "appearance": {
        "position": "bottom",
        "theme": "dark",
        "backgroundColor": "#112233",
        "textColor": "#fff",
        "anchor": None,
    },
    "startsAt": "2026-12-01T01:00:00+01:00",
    "endsAt": "2027-01-01T00:00:00Z",
    "active": True,
    "priority": 80,
    "slot": "hero",
    "frequencyCap": {"maxImpressions": 3, "perSeconds": 86400, "minIntervalSeconds": 600, "stopAfter": ["click"]},
}


async def test_a_message_comes_back_as_it_was_written(api: Api) -> None:
    created = await api.data("POST", "/in-app-messages", FULL, status=201)
    normal = {**FULL, "startsAt": "2026-12-01T00:00:00.000Z", "endsAt": "2027-01-01T00:00:00.000Z"}
    assert {name: created[name] for name in FULL} == normal
    assert created["version"] == 1
    assert created["renderSlot"] == "hero"
    assert created["problems"] == []
    assert created["publishedAt"] == created["createdAt"] == created["updatedAt"] == "2026-05-28T20:26:40.000Z"
    assert created["archivedAt"] is None
    assert await api.data("GET", f"/in-app-messages/{created['id']}") == created


async def test_its_parts_come_back_in_the_order_in_which_people_write_them(api: Api) -> None:
    where = [{"property": "pages", "op": "gte", "value": 3}]
    trigger = {"eventType": "report.exported", "where": where}
    made = await api.data("POST", "/in-app-messages", {**BANNER, "trigger": trigger, "goal": trigger})
    listed = (await api.data("GET", "/in-app-messages"))["items"][0]
    for answer in (made, listed, await api.data("GET", f"/in-app-messages/{made['id']}")):
        for name, model in (("content", Content), ("trigger", Trigger), ("appearance", Appearance), ("goal", Goal)):
            assert list(answer[name]) == [field.alias for field in model.model_fields.values()]
        assert json.dumps(answer["trigger"]["where"]) == json.dumps(answer["goal"]["where"]) == json.dumps(where)
    unreadable = {"where": [{"value": 1, "op": "eq"}]}
    await api.execute(update(tables.in_app_messages).values(trigger=unreadable))
    assert (await api.data("GET", f"/in-app-messages/{made['id']}"))["trigger"] == unreadable


async def test_what_is_left_out_or_null_gets_its_default(api: Api) -> None:
    plain = await api.data("POST", "/in-app-messages", BANNER)
    nulls = {name: None for name in FULL if name not in BANNER}
    content = {"body": "Hello", "title": None, "ctaText": None, "ctaUrl": None, "imageUrl": None, "dismissible": None}
    nulled = await api.data("POST", "/in-app-messages", {**BANNER, **nulls, "content": content, "draft": None})
    for made in (plain, nulled):
        assert made["name"] == "banner"
        assert made["content"] == {**content, "dismissible": True}
        assert made["appearance"] == {
            "position": "top",
            "theme": "auto",
            "backgroundColor": None,
            "textColor": None,
            "anchor": None,
        }
        assert (made["trigger"], made["frequencyCap"], made["slot"]) == (None, None, None)
        assert (made["active"], made["priority"], made["status"]) == (True, 50, "live")


async def test_the_name_defaults_to_the_title(api: Api) -> None:
    content = {"title": "Spring sale", "body": "30 % off"}
    assert (await api.data("POST", "/in-app-messages", {"type": "modal", "content": content}))["name"] == "Spring sale"


async def test_the_render_slot_follows_from_type_and_place_unless_it_is_named(api: Api) -> None:
    anchored = {"type": "tooltip", "appearance": {"anchor": "#export"}}
    slots: dict[str, dict[str, Any]] = {
        "banner:top": {"type": "banner"},
        "modal:center": {"type": "modal"},
        "slideout:bottom": {"type": "slideout"},
        "banner:bottom": {"type": "banner", "appearance": {"position": "bottom"}},
        "tooltip:#export": anchored,
        "mine": {**anchored, "slot": "mine"},
    }
    for slot, fields in slots.items():
        assert (await api.data("POST", "/in-app-messages", {**BANNER, **fields}))["renderSlot"] == slot


async def test_status_follows_the_clock_and_the_switches(api: Api) -> None:
    window = {"startsAt": "2026-06-01T00:00:00Z", "endsAt": "2026-06-02T00:00:00Z"}
    path = f"/in-app-messages/{(await api.data('POST', '/in-app-messages', {**BANNER, **window, 'draft': True}))['id']}"
    starts_ms = 1_780_272_000_000

    async def status_at(now_ms: int) -> str:
        api.clock.now_ms = now_ms
        status: str = (await api.data("GET", path))["status"]
        listed = await api.data("GET", f"/in-app-messages?status={status}")
        assert [message["status"] for message in listed["items"]] == [status]
        return status

    assert await status_at(starts_ms) == "draft"
    await api.data("POST", f"{path}/publish")
    moments = (starts_ms - 1, starts_ms, starts_ms + DAY_MS - 1, starts_ms + DAY_MS)
    assert [await status_at(now_ms) for now_ms in moments] == ["scheduled", "live", "live", "ended"]
    await api.data("PATCH", path, {"active": False})
    assert [await status_at(now_ms) for now_ms in moments] == ["paused", "paused", "paused", "ended"]
    await api.data("POST", f"{path}/archive")
    assert await status_at(starts_ms) == "archived"


async def test_a_message_is_preparing_while_an_audience_that_it_names_is(api: Api) -> None:
    audience = (await api.data("POST", "/audiences", {"name": "A"}))["id"]
    await _prepare(api, True)
    naming: list[dict[str, Any]] = [
        {"audienceId": audience},
        {"excludeAudienceIds": [audience]},
        {"trigger": {"audienceId": audience}},
    ]
    made = [await api.data("POST", "/in-app-messages", {**BANNER, **fields}) for fields in naming]
    indifferent = await api.data("POST", "/in-app-messages", BANNER)
    assert [message["status"] for message in made] == ["preparing"] * 3
    assert await _with_status(api, "preparing") == {message["id"] for message in made}
    assert await _with_status(api, "live") == {indifferent["id"]}
    assert (await api.data("GET", "/in-app-messages/stats"))["active"] == 1
    changed = await api.data("PATCH", f"/in-app-messages/{made[0]['id']}", {"audienceId": None})
    assert changed["status"] == "live"
    await _prepare(api, False)
    assert (await api.data("GET", f"/in-app-messages/{made[1]['id']}"))["status"] == "live"
    assert (await api.data("GET", "/in-app-messages/stats"))["active"] == 4


async def test_the_audience_of_another_org_prepares_nothing(api: Api) -> None:
    other = await api.new_org()
    theirs = (await other.data("POST", "/audiences", {"name": "A"}))["id"]
    await _prepare(api, True)
    message = await api.data("POST", "/in-app-messages", BANNER)
    trigger = {"trigger": {"audienceId": theirs}}
    await api.execute(update(tables.in_app_messages).values(**trigger, exclude_audience_ids=[theirs]))
    assert (await api.data("GET", f"/in-app-messages/{message['id']}"))["status"] == "live"


async def test_every_message_has_the_one_status_that_the_filter_finds_it_by(api: Api) -> None:
    ready = (await api.data("POST", "/audiences", {"name": "R"}))["id"]
    prepared = (await api.data("POST", "/audiences", {"name": "P", "rule": {"event": "report.exported"}}))["id"]
    moments = (None, NOW_MS - 1, NOW_MS, NOW_MS + 1)
    switches = (True, False)
    grid = itertools.product((None, 0), (None, 0), moments, moments, switches, (None, ready, prepared))
    message = {"org_id": api.org.org_id, "type": "banner", "version": 1, "content": {}, "appearance": {}}
    rows = [
        {
            **message,
            "id": uuid.uuid4(),
            "name": str(number),
            "priority": 1,
            "created_ms": 0,
            "updated_ms": 0,
            "archived_ms": archived_ms,
            "published_ms": published_ms,
            "starts_ms": starts_ms,
            "ends_ms": ends_ms,
            "active": active,
            "audience_id": audience_id,
        }
        for number, (archived_ms, published_ms, starts_ms, ends_ms, active, audience_id) in enumerate(grid)
    ]
    await api.execute(insert(tables.in_app_messages).values(rows))
    found = await _statuses(api, "")
    assert len(found) == len(rows)
    assert set(found.values()) == set(get_args(Status))
    for status in get_args(Status):
        expected = {message_id for message_id, shown in found.items() if shown == status}
        assert (await _statuses(api, f"status={status}")).keys() == expected, status


async def test_a_draft_is_announced_only_once_it_is_published(api: Api) -> None:
    before = await api.outbox_length()
    draft = await api.data("POST", "/in-app-messages", {**BANNER, "draft": True})
    path = f"/in-app-messages/{draft['id']}"
    assert (draft["status"], draft["publishedAt"]) == ("draft", None)
    changed = await api.data("PATCH", path, {"priority": 60})
    assert (changed["status"], changed["version"]) == ("draft", 1)
    assert await api.outbox_length() == before
    assert await _versions(api) == []
    api.clock.now_ms += 1000
    published = await api.data("POST", f"{path}/publish")
    assert (published["status"], published["version"], published["publishedAt"]) == ("live", 1, published["updatedAt"])
    assert await api.outbox_length() == before + 1
    assert [version.spec["priority"] for version in await _versions(api)] == [60]


async def test_publishing_twice_changes_nothing_the_second_time(api: Api) -> None:
    message = await api.data("POST", "/in-app-messages", BANNER)
    announced = await api.outbox_length()
    api.clock.now_ms += 1000
    assert await api.data("POST", f"/in-app-messages/{message['id']}/publish") == message
    assert await api.outbox_length() == announced


async def test_a_change_of_a_published_message_is_another_version_at_once(api: Api) -> None:
    message = await api.data("POST", "/in-app-messages", FULL)
    before = await api.outbox_length()
    api.clock.now_ms += 1000
    patch = {"content": {"title": None, "body": "New"}, "trigger": {"url": None, "delaySeconds": 9}, "slot": None}
    changed = await api.data("PATCH", f"/in-app-messages/{message['id']}", patch)
    assert changed["version"] == 2
    assert changed["content"] == {**message["content"], "title": None, "body": "New"}
    assert changed["trigger"] == {**message["trigger"], "url": None, "delaySeconds": 9}
    assert changed["renderSlot"] == "modal:bottom"
    assert changed["updatedAt"] == "2026-05-28T20:26:41.000Z"
    assert changed["createdAt"] == message["createdAt"]
    assert await api.outbox_length() == before + 1
    versions = await _versions(api)
    assert [(version.version, version.spec["content"]["body"]) for version in versions] == [
        (1, "Reports without a limit."),
        (2, "New"),
    ]
    assert all(version.published_by is not None for version in versions)


async def test_pausing_and_resuming_is_announced_but_no_version(api: Api) -> None:
    message = await api.data("POST", "/in-app-messages", BANNER)
    path, before = f"/in-app-messages/{message['id']}", await api.outbox_length()
    paused = await api.data("PATCH", path, {"active": False})
    assert (paused["status"], paused["version"]) == ("paused", 1)
    resumed = await api.data("PATCH", path, {"active": True})
    assert (resumed["status"], resumed["version"]) == ("live", 1)
    assert await api.outbox_length() == before + 2
    assert len(await _versions(api)) == 1


async def test_a_patch_that_changes_nothing_leaves_no_trace(api: Api) -> None:
    message = await api.data("POST", "/in-app-messages", FULL)
    before = await api.outbox_length()
    api.clock.now_ms += 1000
    assert await api.data("PATCH", f"/in-app-messages/{message['id']}", {"priority": 80, "content": {}}) == message
    assert await api.outbox_length() == before
    assert (await api.data("GET", "/audit-log"))["items"][0]["action"] == "message.create"


async def test_true_in_place_of_1_is_a_change(api: Api) -> None:
    where = {"property": "beta", "op": "eq", "value": 1}
    message = await api.data("POST", "/in-app-messages", {**BANNER, "trigger": {"eventType": "x", "where": [where]}})
    patch = {"trigger": {"where": [{**where, "value": True}]}}
    changed = await api.data("PATCH", f"/in-app-messages/{message['id']}", patch)
    assert changed["trigger"]["where"][0]["value"] is True


async def test_null_in_a_patch_puts_a_field_back_to_its_default(api: Api) -> None:
    message = await api.data("POST", "/in-app-messages", FULL)
    nulls = dict.fromkeys(("trigger", "frequencyCap", "startsAt", "endsAt", "priority", "appearance", "name"))
    changed = await api.data("PATCH", f"/in-app-messages/{message['id']}", nulls)
    assert (changed["trigger"], changed["frequencyCap"], changed["startsAt"], changed["endsAt"]) == (None,) * 4
    assert (changed["priority"], changed["name"], changed["appearance"]["position"]) == (50, "Go Pro", "center")


async def test_a_patch_is_checked_with_what_it_is_merged_into(api: Api) -> None:
    path = f"/in-app-messages/{(await api.data('POST', '/in-app-messages', FULL))['id']}"
    before = await api.data("GET", path)
    patch = {
        "content": {"ctaText": None, "ctaUrl": None, "body": None},
        "endsAt": "2026-11-01T00:00:00Z",
        "type": "tooltip",
        "frequencyCap": {"maxImpressions": None},
        "draft": True,
        "goals": None,
        "version": 7,
    }
    assert await api.problems("PATCH", path, patch) == {
        ("/content/dismissible", "cannot_be_closed"),
        ("/content/body", "wrong_type"),
        ("/endsAt", "ends_before_it_starts"),
        ("/appearance/anchor", "anchor_missing"),
        ("/frequencyCap/perSeconds", "max_impressions_missing"),
        ("/draft", "unknown_field"),
        ("/goals", "unknown_field"),
        ("/version", "unknown_field"),
    }
    assert await api.data("GET", path) == before


async def test_a_message_can_be_paused_after_its_scheme_was_given_up(api: Api) -> None:
    await api.data("PATCH", "", {"appSchemes": ["acme"]})
    content = {"body": "Hello", "ctaUrl": "acme://pricing"}
    path = f"/in-app-messages/{(await api.data('POST', '/in-app-messages', {**BANNER, 'content': content}))['id']}"
    await api.data("PATCH", "", {"appSchemes": []})
    assert (await api.data("PATCH", path, {"active": False}))["status"] == "paused"
    assert await api.problems("POST", "/in-app-messages", {**BANNER, "content": content}) == {
        ("/content/ctaUrl", "url_scheme_not_allowed")
    }


async def test_two_patches_at_once_both_count(api: Api) -> None:
    path = f"/in-app-messages/{(await api.data('POST', '/in-app-messages', FULL))['id']}"
    for number in range(8):
        patches = ({"content": {"title": f"t{number}"}}, {"content": {"body": f"b{number}"}})
        await asyncio.gather(*(api.data("PATCH", path, patch) for patch in patches))
        content = (await api.data("GET", path))["content"]
        assert (content["title"], content["body"]) == (f"t{number}", f"b{number}")
    assert (await api.data("GET", path))["version"] == 17
    assert [version.version for version in await _versions(api)] == list(range(1, 18))


async def test_an_archived_message_does_not_change_any_more(api: Api) -> None:
    message = await api.data("POST", "/in-app-messages", BANNER)
    path, before = f"/in-app-messages/{message['id']}", await api.outbox_length()
    archived = await api.data("POST", f"{path}/archive")
    assert (archived["status"], archived["archivedAt"]) == ("archived", "2026-05-28T20:26:40.000Z")
    assert await api.outbox_length() == before + 1
    for method, written in (("PATCH", path), ("POST", f"{path}/publish"), ("POST", f"{path}/archive")):
        assert (await api.error(method, written, {"active": False}, status=409))["code"] == "archived"


async def test_deleting_takes_the_numbers_with_it_and_leaves_events(api: Api) -> None:
    message = await api.data("POST", "/in-app-messages", BANNER)
    kept = await api.data("POST", "/in-app-messages", BANNER)
    for made in (message, kept):
        await _count(api, made["id"])
    await api.data("POST", f"/in-app-messages/{message['id']}/archive")
    before = await api.outbox_length()
    await api.data("DELETE", f"/in-app-messages/{message['id']}")
    await api.error("GET", f"/in-app-messages/{message['id']}", status=404)
    assert await api.outbox_length() == before + 1
    for table in (tables.message_stats_hourly, tables.message_user_state, tables.message_versions):
        assert {str(row.message_id) for row in await api.rows(select(table))} == {kept["id"]}
    assert len(await api.rows(select(tables.in_app_message_impressions))) == 2


async def test_the_list_pages_from_the_newest_without_gap_or_double(api: Api) -> None:
    made = []
    for number in range(7):
        api.clock.now_ms += number % 2  # some share their millisecond
        made.append((await api.data("POST", "/in-app-messages", {**BANNER, "name": f"m{number}"}))["name"])
    seen: list[str] = []
    cursor = ""
    while True:
        page = await api.data("GET", f"/in-app-messages?limit=3{cursor}")
        seen += [message["name"] for message in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert sorted(seen) == made
    assert seen[0] == "m6" and seen[-1] == "m0"


async def test_the_list_is_filtered_by_type_audience_and_text(api: Api) -> None:
    audience = (await api.data("POST", "/audiences", {"name": "A"}))["id"]
    await api.data("POST", "/in-app-messages", {**FULL, "audienceId": audience})
    await api.data("POST", "/in-app-messages", {**BANNER, "name": "100% off_er"})

    async def names(query: str) -> list[str]:
        return [message["name"] for message in (await api.data("GET", f"/in-app-messages?{query}"))["items"]]

    assert await names("type=modal") == ["Upgrade nudge"]
    assert await names(f"audienceId={audience}") == ["Upgrade nudge"]
    assert await names("q=go%20pro") == ["Upgrade nudge"]
    assert await names("q=WITHOUT") == ["Upgrade nudge"]
    assert await names("q=100%25") == ["100% off_er"]
    assert await names("q=o%25f") == []
    assert await names("q=f_e") == ["100% off_er"]
    assert await names("q=fXe") == []
    assert len(await names("")) == 2


async def test_a_bad_query_is_refused(api: Api) -> None:
    problems = {
        "status=gone": ("/query/status", "unknown_value"),
        "limit=0": ("/query/limit", "out_of_range"),
        "limit=201": ("/query/limit", "out_of_range"),
        "cursor=%00": ("/query/cursor", "nul_character"),
        "cursor=W10": ("/query/cursor", "invalid_cursor"),
        "q=%00": ("/query/q", "nul_character"),
        "statu=live": ("/query/statu", "unknown_field"),
    }
    for query, problem in problems.items():
        assert await api.problems("GET", f"/in-app-messages?{query}") == {problem}


async def test_what_the_compiler_found_wrong_is_shown(api: Api) -> None:
    message = await api.data("POST", "/in-app-messages", BANNER)
    problem = {"pointer": "/audienceId", "code": "not_compilable", "message": "Too large."}
    await api.execute(update(tables.in_app_messages).values(problems=[problem]))
    assert (await api.data("GET", f"/in-app-messages/{message['id']}"))["problems"] == [problem]


async def _prepare(api: Api, preparing: bool) -> None:
    """As if the past of all audiences were (not) being gathered."""
    await api.execute(update(tables.audiences).values(preparing=preparing))


async def _with_status(api: Api, status: str) -> set[str]:
    return set(await _statuses(api, f"status={status}"))


async def _statuses(api: Api, query: str) -> dict[str, str]:
    """Of all messages on all pages."""
    found: dict[str, str] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = await api.data("GET", f"/in-app-messages?limit=200&{query}{cursor}")
        found |= {message["id"]: message["status"] for message in page["items"]}
        cursor = page["nextCursor"] and f"&cursor={page['nextCursor']}"
    return found


async def _versions(api: Api) -> list[Any]:
    versions = tables.message_versions
    return await api.rows(select(versions).order_by(versions.c.version))


async def _count(api: Api, message_id: str) -> None:
    row = {"org_id": api.org.org_id, "message_id": message_id}
    await api.execute(insert(tables.message_stats_hourly).values(**row, hour_ms=0, impressions=1))
    await api.execute(insert(tables.message_user_state).values(**row, subject="u:ada", impressions=1))
    impression = {"id": uuid.uuid4(), "subject": "u:ada", "occurred_ms": NOW_MS, "received_ms": NOW_MS}
    await api.execute(insert(tables.in_app_message_impressions).values(**row, **impression))
