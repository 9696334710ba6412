"""Audiences: their rules, their members, and what keeps them from going."""

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import insert, select

from store import tables
from tests.support.admin_api import Api
from tests.support.recorder_world import World

pytestmark = pytest.mark.anyio


FREE = {"trait": "plan", "op": "eq", "value": "free"}
BANNER: dict[str, Any] = {"type": "banner", "content": {"body": "Hello"}}


async def test_an_audience_comes_back_with_its_exact_members_and_uses(api: Api) -> None:
    for number in range(12):
        await api.add_customer(f"u:free{number:02}", {"plan": "free"})
    await api.add_customer("u:pro", {"plan": "pro"})
    await api.add_customer("a:visitor", {"plan": "free"})
    other = await api.new_org()
    await other.add_customer("u:theirs", {"plan": "free"})
    made = await api.data("POST", "/audiences", {"name": "Free", "description": "d", "rule": FREE}, status=201)
    message = await api.data("POST", "/in-app-messages", {**BANNER, "audienceId": made["id"]})
    got = await api.data("GET", f"/audiences/{made['id']}")
    assert {name: got[name] for name in made} == made
    assert (got["name"], got["description"], got["rule"]) == ("Free", "d", FREE)
    assert got["memberCount"] == 13
    assert got["sample"] == [{"anonymousId": "visitor"}, *({"userId": f"free{number:02}"} for number in range(9))]
    assert got["usedBy"] == {"messages": [{"id": message["id"], "name": "banner"}], "audiences": []}


async def test_a_preview_counts_without_storing(api: Api) -> None:
    await api.add_customer("u:ada", {"plan": "free"})
    await api.add_customer("u:grace", {"plan": "pro"})
    viewer = await api.with_role("viewer")
    preview = await viewer.data("POST", "/audiences/preview", {"rule": {"not": FREE}})
    assert preview == {"count": 1, "sample": [{"userId": "grace"}]}
    assert (await api.data("GET", "/audiences"))["items"] == []


async def test_audiences_build_on_each_other_static_ones_too(api: Api) -> None:
    for user in ("ada", "grace", "linus"):
        await api.add_customer(f"u:{user}", {"plan": "free"})
    free = await api.data("POST", "/audiences", {"name": "Free", "rule": FREE})
    beta = await api.data("POST", "/audiences", {"name": "Beta"})
    await _list_member(api, beta["id"], "u:ada")
    rule = {"all": [{"audience": free["id"].upper()}, {"not": {"audience": beta["id"]}}]}
    assert (await api.data("POST", "/audiences/preview", {"rule": rule}))["count"] == 2
    both = await api.data("POST", "/audiences", {"name": "Both", "rule": rule})
    assert (await api.data("GET", f"/audiences/{both['id']}"))["memberCount"] == 2
    assert (await api.data("GET", f"/audiences/{free['id']}"))["usedBy"]["audiences"] == [
        {"id": both["id"], "name": "Both"}
    ]


async def test_every_problem_of_a_rule_is_in_one_answer(api: Api) -> None:
    other = await api.new_org()
    theirs = (await other.data("POST", "/audiences", {"name": "Theirs"}))["id"]
    rule = {"all": [{"trait": "x", "op": "near"}, {"any": [{"trait": "y", "op": "gt", "value": None}]}]}
    payload = {"name": "", "rule": rule, "color": "red"}
    problems = {
        ("/name", "too_short"),
        ("/rule/all/0/op", "unknown_op"),
        ("/rule/all/1/any/0/value", "wrong_type"),
        ("/color", "unknown_field"),
    }
    assert await api.problems("POST", "/audiences", payload) == problems
    unknown = {"any": [FREE, {"not": {"audience": theirs}}, {"audience": str(uuid.uuid4())}]}
    problems = {("/rule/any/1/not/audience", "audience_not_found"), ("/rule/any/2/audience", "audience_not_found")}
    assert await api.problems("POST", "/audiences", {"name": "A", "rule": unknown}) == problems
    assert await api.problems("POST", "/audiences/preview", {"rule": unknown}) == problems
    assert await api.problems("POST", "/audiences/preview", {}) == {("/rule", "missing_field")}
    event = {"event": "checkout.viewed", "count": {"op": "gte", "value": 3}, "within": "7d"}
    assert await api.problems("POST", "/audiences/preview", {"rule": event}) == {("/rule", "not_supported_yet")}


async def test_audiences_cannot_refer_to_each_other_in_a_circle(api: Api) -> None:
    first = await api.data("POST", "/audiences", {"name": "First", "rule": FREE})
    second = await api.data("POST", "/audiences", {"name": "Second", "rule": {"audience": first["id"]}})
    for target in (first, second):
        rule = {"any": [FREE, {"audience": target["id"]}]}
        assert await api.problems("PATCH", f"/audiences/{first['id']}", {"rule": rule}) == {("/rule", "audience_cycle")}


async def test_two_halves_of_a_circle_at_once_do_not_both_get_in(api: Api) -> None:
    first, second = [(await api.data("POST", "/audiences", {"name": n, "rule": FREE}))["id"] for n in "AB"]
    answers = await asyncio.gather(
        api.call("PATCH", f"/audiences/{first}", {"rule": {"audience": second}}),
        api.call("PATCH", f"/audiences/{second}", {"rule": {"audience": first}}),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 422]


async def test_audiences_that_grow_too_large_together_are_refused(api: Api) -> None:
    wide = {"any": [{**FREE, "value": f"v{number}"} for number in range(200)]}
    ids = [(await api.data("POST", "/audiences", {"name": f"A{n}", "rule": wide}))["id"] for n in range(6)]
    rule = {"any": [{"audience": id_} for id_ in ids]}
    assert await api.problems("POST", "/audiences", {"name": "All", "rule": rule}) == {("/rule", "rule_too_large")}


async def test_a_name_is_taken_once_in_an_org(api: Api) -> None:
    await api.data("POST", "/audiences", {"name": "A"})
    second = await api.data("POST", "/audiences", {"name": "B"})
    assert (await api.error("POST", "/audiences", {"name": "A"}, status=409))["code"] == "name_taken"
    assert (await api.error("PATCH", f"/audiences/{second['id']}", {"name": "A"}, status=409))["code"] == "name_taken"
    answers = await asyncio.gather(*(api.call("POST", "/audiences", {"name": "C"}) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    other = await api.new_org()
    await other.data("POST", "/audiences", {"name": "A"})


async def test_a_patch_replaces_the_rule_as_a_whole_and_announces_it(api: Api) -> None:
    made = await api.data("POST", "/audiences", {"name": "A", "description": "d", "rule": {"all": [FREE]}})
    path, before = f"/audiences/{made['id']}", await api.outbox_length()
    renamed = await api.data("PATCH", path, {"name": "B", "description": None})
    assert (renamed["name"], renamed["description"], renamed["rule"]) == ("B", "", {"all": [FREE]})
    assert await api.outbox_length() == before
    assert (await api.data("PATCH", path, {"rule": {"any": [FREE]}}))["rule"] == {"any": [FREE]}
    assert await api.outbox_length() == before + 1
    assert await api.problems("PATCH", path, {"rule": None, "name": None, "x": 1}) == {
        ("/rule", "audience_kind_fixed"),
        ("/name", "wrong_type"),
        ("/x", "unknown_field"),
    }
    static = await api.data("POST", "/audiences", {"name": "S"})
    assert await api.problems("PATCH", f"/audiences/{static['id']}", {"rule": FREE}) == {
        ("/rule", "audience_kind_fixed")
    }


async def test_an_audience_in_use_cannot_be_deleted_and_says_by_what(api: Api) -> None:
    who, without, when = [(await api.data("POST", "/audiences", {"name": n, "rule": FREE}))["id"] for n in "ABC"]
    referring = (await api.data("POST", "/audiences", {"name": "D", "rule": {"audience": who}}))["id"]
    payload = {**BANNER, "audienceId": who, "excludeAudienceIds": [without], "trigger": {"audienceId": when}}
    message = (await api.data("POST", "/in-app-messages", payload))["id"]
    by_message = ("used_by_message", f"banner ({message})")
    by_audience = ("used_by_audience", f"D ({referring})")
    for audience_id, uses in ((who, {by_message, by_audience}), (without, {by_message}), (when, {by_message})):
        error = await api.error("DELETE", f"/audiences/{audience_id}", status=409)
        assert error["code"] == "audience_in_use"
        assert {(detail["code"], detail["message"]) for detail in error["details"]} == uses
    await api.data("DELETE", f"/in-app-messages/{message}")
    for audience_id in (without, when, referring, who):
        await api.data("DELETE", f"/audiences/{audience_id}")
    assert (await api.data("GET", "/audiences"))["items"] == []


async def test_a_message_and_the_deletion_of_its_audience_at_once_do_not_both_happen(api: Api) -> None:
    for number in range(8):
        audience = (await api.data("POST", "/audiences", {"name": f"A{number}"}))["id"]
        written, deleted = await asyncio.gather(
            api.call("POST", "/in-app-messages", {**BANNER, "excludeAudienceIds": [audience]}),
            api.call("DELETE", f"/audiences/{audience}"),
        )
        assert (written.status_code, deleted.status_code) in {(201, 409), (422, 200)}


async def test_static_members_go_through_the_inbox(api: Api, world: World) -> None:
    audience = (await api.data("POST", "/audiences", {"name": "Beta"}))["id"]
    path = f"/audiences/{audience}/members"
    async with world.inbox_at_work():
        assert await api.data("POST", path, {"add": ["ada", "grace"]}, status=200) == {
            "accepted": True,
            "memberCount": 2,
        }
        await api.data("POST", path, {"add": ["linus"], "remove": ["ada"]}, status=200)
    listed = await api.data("GET", path)
    assert listed == {"items": [{"userId": "grace"}, {"userId": "linus"}], "nextCursor": None}
    got = await api.data("GET", f"/audiences/{audience}")
    assert (got["memberCount"], got["rule"]) == (2, None)


@pytest.mark.usefixtures("soon_away")
async def test_members_are_accepted_while_the_recorder_is_away(api: Api) -> None:
    audience = (await api.data("POST", "/audiences", {"name": "Beta"}))["id"]
    answer = await api.data("POST", f"/audiences/{audience}/members", {"add": ["ada"]}, status=202)
    assert answer == {"accepted": True, "memberCount": None}
    (row,) = await api.rows(select(tables.inbox))
    assert row.body == {"audienceId": audience, "add": ["u:ada"], "remove": []}


async def test_bad_changes_of_members_are_refused(api: Api) -> None:
    ruled = (await api.data("POST", "/audiences", {"name": "Free", "rule": FREE}))["id"]
    error = await api.error("POST", f"/audiences/{ruled}/members", {"add": ["ada"]}, status=409)
    assert error["code"] == "audience_has_rule"
    path = f"/audiences/{(await api.data('POST', '/audiences', {'name': 'Beta'}))['id']}/members"
    bad = {"add": ["", "x" * 257, 5, "a\0"], "remove": "ada"}
    assert await api.problems("POST", path, bad) == {
        ("/add/0", "too_short"),
        ("/add/1", "too_long"),
        ("/add/2", "wrong_type"),
        ("/add/3", "nul_character"),
        ("/remove", "wrong_type"),
    }
    numbered = [str(number) for number in range(10_001)]
    assert await api.problems("POST", path, {"add": numbered}) == {("/add", "too_long")}
    both = {"add": numbered[:6_000], "remove": numbered[5_999:]}
    assert await api.problems("POST", path, both) == {("", "too_long"), ("/remove", "duplicate")}
    assert await api.rows(select(tables.inbox)) == []


async def test_members_are_paged_in_the_order_of_their_ids(api: Api) -> None:
    for number in range(5):
        await api.add_customer(f"u:{number}", {"plan": "free"})
    path = f"/audiences/{(await api.data('POST', '/audiences', {'name': 'Free', 'rule': FREE}))['id']}/members"
    first = await api.data("GET", f"{path}?limit=3")
    second = await api.data("GET", f"{path}?limit=3&cursor={first['nextCursor']}")
    assert [item["userId"] for item in first["items"] + second["items"]] == ["0", "1", "2", "3", "4"]
    assert second["nextCursor"] is None


async def _list_member(api: Api, audience_id: str, subject: str) -> None:
    row = {"org_id": api.org.org_id, "audience_id": audience_id, "subject": subject}
    await api.execute(insert(tables.audience_members).values(**row))
