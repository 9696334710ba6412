"""Audiences: their rules, their members, and what keeps them from going."""

import asyncio
import json
import uuid
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from store import tables
from tests.support.admin_api import NOW_MS, Api
from tests.support.gathering import gather
from tests.support.recorder_world import World, at_work
from wire.features import MOST_FEATURES

pytestmark = pytest.mark.anyio


FREE = {"trait": "plan", "op": "eq", "value": "free"}
OFTEN = {"event": "report.exported", "count": {"op": "gte", "value": 3}, "within": "7d"}
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
    used_by = {"id": message["id"], "name": "banner", "archived": False}
    assert got["usedBy"] == {"messages": [used_by], "audiences": []}


async def test_a_preview_counts_without_storing(api: Api) -> None:
    await api.add_customer("u:ada", {"plan": "free"})
    await api.add_customer("u:grace", {"plan": "pro"})
    viewer = await api.with_role("viewer")
    preview = await viewer.data("POST", "/audiences/preview", {"rule": {"not": FREE}})
    assert preview == {"count": 1, "exact": True, "sampled": None, "sample": [{"userId": "grace"}]}
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
    where = [{"property": "pages", "op": "near"}, {"trait": "x", "op": "eq", "value": 1}]
    event = {"event": "", "where": where, "count": {"op": "gte", "value": 501}, "within": "366d", "since": 1}
    assert await api.problems("POST", "/audiences", {"name": "A", "rule": {"not": event}}) == {
        ("/rule/not/event", "invalid_event_type"),
        ("/rule/not/where/0/op", "unknown_op"),
        ("/rule/not/where/1", "unknown_rule"),
        ("/rule/not/count/value", "out_of_range"),
        ("/rule/not/within", "invalid_duration"),
        ("/rule/not/since", "unknown_field"),
    }
    beside = {"all": [OFTEN, {"audience": str(uuid.uuid4())}]}
    assert await api.problems("POST", "/audiences", {"name": "A", "rule": beside}) == {
        ("/rule/all/1/audience", "audience_not_found")
    }


async def test_an_audience_over_events_is_preparing_until_they_are_gathered(api: Api) -> None:
    plain = await api.data("POST", "/audiences", {"name": "Plain", "rule": FREE})
    static = await api.data("POST", "/audiences", {"name": "Static"})
    often = await api.data("POST", "/audiences", {"name": "Often", "rule": {"all": [FREE, OFTEN]}})
    upon = await api.data("POST", "/audiences", {"name": "Upon", "rule": {"not": {"audience": often["id"]}}})
    assert [(made["status"], made["progress"]) for made in (plain, static)] == [("ready", 100)] * 2
    assert [(made["status"], made["progress"]) for made in (often, upon)] == [("preparing", 0)] * 2
    await gather(api, OFTEN, ready=0, done=2, total=5)
    listed = {
        item["name"]: (item["status"], item["progress"]) for item in (await api.data("GET", "/audiences"))["items"]
    }
    assert listed == {
        "Plain": ("ready", 100),
        "Static": ("ready", 100),
        "Often": ("preparing", 40),
        "Upon": ("preparing", 40),
    }
    got = await api.data("GET", f"/audiences/{upon['id']}")
    assert (got["status"], got["progress"]) == ("preparing", 40)
    await gather(api, OFTEN, ready=3, done=5, total=5)
    for audience_id in (often["id"], upon["id"]):
        got = await api.data("GET", f"/audiences/{audience_id}")
        assert (got["status"], got["progress"]) == ("ready", 100)


async def test_progress_is_that_of_what_is_the_furthest_behind(api: Api) -> None:
    rule = {
        "any": [
            OFTEN,
            {"event": "a"},
            {"event": "b"},
            {"event": "c"},
            {"event": "d", "count": {"op": "lt", "value": 0}},
        ]
    }
    made = await api.data("POST", "/audiences", {"name": "A", "rule": rule})
    await gather(api, OFTEN, ready=3, done=9, total=9)
    await gather(api, {"event": "a"}, ready=0, done=8, total=10)
    await gather(api, {"event": "b"}, ready=0, done=5, total=10)
    path = f"/audiences/{made['id']}"
    assert (await api.data("GET", path))["progress"] == 0
    await gather(api, {"event": "c"}, ready=0, done=9, total=10)
    assert (await api.data("GET", path))["progress"] == 50
    await gather(api, {"event": "b"}, ready=1, done=10, total=10)
    assert (await api.data("GET", path))["progress"] == 80


async def test_a_rule_that_asks_for_more_of_what_is_gathered_already_is_preparing_anew(api: Api) -> None:
    await gather(api, {"event": "a"}, ready=1, done=1, total=1)
    few = await api.data("POST", "/audiences", {"name": "Few", "rule": {"event": "a"}})
    assert (few["status"], few["progress"]) == ("ready", 100)
    more = {"event": "a", "count": {"op": "gte", "value": 4}}
    changed = await api.data("PATCH", f"/audiences/{few['id']}", {"rule": more})
    assert (changed["status"], changed["progress"]) == ("preparing", 0)
    back = await api.data("PATCH", f"/audiences/{few['id']}", {"rule": {"event": "a"}})
    assert (back["status"], back["progress"]) == ("ready", 100)


async def test_what_all_audiences_ask_about_events_has_a_bound(api: Api) -> None:
    def asking(first: int, last: int, count: int = 1) -> dict[str, Any]:
        return {"any": [{"event": f"e{n}", "count": {"op": "gte", "value": count}} for n in range(first, last)]}

    first = await api.data("POST", "/audiences", {"name": "A", "rule": asking(0, 150)})
    await api.data("POST", "/audiences", {"name": "B", "rule": asking(100, MOST_FEATURES)})
    refused = {("/rule", "too_many_features")}
    one_more = {"event": "another"}
    assert await api.problems("POST", "/audiences", {"name": "C", "rule": one_more}) == refused
    assert await api.problems("POST", "/audiences/preview", {"rule": one_more}) == refused
    assert await api.problems("PATCH", f"/audiences/{first['id']}", {"rule": asking(201, 302)}) == refused
    await api.data("PATCH", f"/audiences/{first['id']}", {"rule": asking(0, 10, 490)})
    assert await api.problems("POST", "/audiences", {"name": "C", "rule": one_more}) == refused
    other = await api.new_org()
    await other.data("POST", "/audiences", {"name": "C", "rule": one_more})


async def test_a_rule_that_cannot_be_read_leaves_the_others_alone(api: Api) -> None:
    await api.add_customer("u:ada", {"plan": "free"})
    good = await api.data("POST", "/audiences", {"name": "Good", "rule": FREE})
    bad = await api.data("POST", "/audiences", {"name": "Bad", "rule": FREE})
    upon = await api.data("POST", "/audiences", {"name": "Upon", "rule": {"audience": bad["id"]}})
    unreadable = '{"any": [' + "[" * 2_000 + "]" * 2_000 + "]}"
    for stored in ('{"near": 1}', '"text"', unreadable):
        await api.execute(
            text("UPDATE audiences SET rule = CAST(:rule AS jsonb) WHERE name = 'Bad'").bindparams(rule=stored)
        )
        listed = (await api.data("GET", "/audiences"))["items"]
        assert {item["name"]: bool(item["problems"]) for item in listed} == {"Good": False, "Bad": True, "Upon": True}
        assert (await api.data("GET", f"/audiences/{good['id']}"))["memberCount"] == 1
        for broken in (bad, upon):
            got = await api.data("GET", f"/audiences/{broken['id']}")
            assert (got["memberCount"], got["exact"], got["sample"]) == (None, False, [])
            for path in ("members", "members/ada"):
                error = await api.error("GET", f"/audiences/{broken['id']}/{path}", status=409)
                assert error["code"] == "audience_unusable"
        assert (await api.data("POST", "/audiences/preview", {"rule": {"audience": good["id"]}}))["count"] == 1
        for broken in (bad, upon):
            assert await api.problems("POST", "/audiences/preview", {"rule": {"audience": broken["id"]}}) == {
                ("/rule", "audience_broken")
            }
        assert (await api.data("PATCH", f"/audiences/{bad['id']}", {"description": stored[:9]}))["problems"]
        another = await api.data("POST", "/audiences", {"name": "Another", "rule": {"all": [OFTEN]}})
        await api.data("DELETE", f"/audiences/{another['id']}")
    mended = await api.data("PATCH", f"/audiences/{bad['id']}", {"rule": FREE})
    assert (mended["problems"], mended["rule"]) == ([], FREE)
    assert (await api.data("GET", f"/audiences/{upon['id']}"))["memberCount"] == 1


async def test_true_in_place_of_1_is_a_change(api: Api) -> None:
    rule = {"trait": "beta", "op": "eq", "value": 1}
    made = await api.data("POST", "/audiences", {"name": "A", "rule": rule})
    changed = await api.data("PATCH", f"/audiences/{made['id']}", {"rule": {**rule, "value": True}})
    assert changed["rule"]["value"] is True
    assert (await api.data("GET", f"/audiences/{made['id']}"))["rule"]["value"] is True


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


async def test_an_archived_message_keeps_its_audiences(api: Api) -> None:
    audience = (await api.data("POST", "/audiences", {"name": "A"}))["id"]
    message = (await api.data("POST", "/in-app-messages", {**BANNER, "excludeAudienceIds": [audience]}))["id"]
    await api.data("POST", f"/in-app-messages/{message}/archive")
    error = await api.error("DELETE", f"/audiences/{audience}", status=409)
    assert [detail["message"] for detail in error["details"]] == [f"banner ({message}), archived"]
    assert "delete those that are archived" in error["message"]
    (use,) = (await api.data("GET", f"/audiences/{audience}"))["usedBy"]["messages"]
    assert use["archived"] is True
    await api.data("DELETE", f"/in-app-messages/{message}")
    await api.data("DELETE", f"/audiences/{audience}")


async def test_a_rule_comes_back_in_the_order_in_which_people_write_one(api: Api) -> None:
    where = [{"property": "b", "op": "eq", "value": 1}]
    rule = {
        "all": [
            {"event": "a", "where": where, "count": {"op": "gte", "value": 3}, "within": "7d"},
            {"not": {"trait": "plan", "op": "eq", "value": "free"}},
        ]
    }
    made = await api.data("POST", "/audiences", {"name": "A", "rule": rule})
    listed = (await api.data("GET", "/audiences"))["items"][0]
    patched = await api.data("PATCH", f"/audiences/{made['id']}", {"description": "d"})
    for answer in (made, listed, patched, await api.data("GET", f"/audiences/{made['id']}")):
        assert json.dumps(answer["rule"]) == json.dumps(rule)
    unreadable = {"value": 1, "op": "eq"}
    await api.execute(text("UPDATE audiences SET rule = CAST(:rule AS jsonb)").bindparams(rule=json.dumps(unreadable)))
    assert (await api.data("GET", f"/audiences/{made['id']}"))["rule"] == unreadable


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
    async with at_work(world.inbox):
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


async def test_who_is_in_an_audience_and_which_conditions_decide_it(api: Api) -> None:
    for user, plan in (("ada", "free"), ("grace", "pro"), ("a/b", "free")):
        await api.add_customer(f"u:{user}", {"plan": plan})
    await api.add_customer("a:visitor", {"plan": "free"})
    for number in range(3):
        await _add_event(api, "u:ada", "report.exported", NOW_MS - number)
    await _add_event(api, "u:grace", "report.exported", NOW_MS)
    made = await api.data("POST", "/audiences", {"name": "A", "rule": {"all": [FREE, OFTEN]}})
    path = f"/audiences/{made['id']}/members"
    assert (await api.data("GET", f"{path}/ada")) == {
        "member": True,
        "conditions": [
            {"pointer": "/all/0", "condition": FREE, "holds": True, "decides": True},
            {"pointer": "/all/1", "condition": OFTEN, "holds": True, "decides": True},
        ],
    }
    other = await api.data("GET", f"{path}/a/b")
    assert (other["member"], [(each["holds"], each["decides"]) for each in other["conditions"]]) == (
        False,
        [(True, False), (False, True)],
    )
    for user in ("nobody", "visitor", "%00", "x" * 300, ""):
        assert (await api.error("GET", f"{path}/{user}", status=404))["code"] == "not_found"
    assert (await api.data("GET", path))["items"] == [{"userId": "ada"}]
    elsewhere = await api.new_org()
    await elsewhere.error("GET", f"{path}/ada", status=404)


async def test_a_reference_to_an_audience_is_one_condition(api: Api) -> None:
    await api.add_customer("u:ada", {"plan": "free"})
    static = (await api.data("POST", "/audiences", {"name": "Static"}))["id"]
    await _list_member(api, static, "u:ada")
    rule = {"not": {"audience": static}}
    made = (await api.data("POST", "/audiences", {"name": "A", "rule": rule}))["id"]
    assert await api.data("GET", f"/audiences/{made}/members/ada") == {
        "member": False,
        "conditions": [{"pointer": "/not", "condition": {"audience": static}, "holds": True, "decides": True}],
    }


async def test_a_list_says_who_is_on_it(api: Api) -> None:
    await api.add_customer("u:ada")
    static = (await api.data("POST", "/audiences", {"name": "Static"}))["id"]
    path = f"/audiences/{static}/members"
    assert await api.data("GET", f"{path}/ada") == {"member": False, "conditions": []}
    await _list_member(api, static, "u:not-yet-known")
    assert await api.data("GET", f"{path}/not-yet-known") == {"member": True, "conditions": []}
    await api.error("GET", f"{path}/nobody", status=404)


async def test_events_count_in_previews_and_lists_of_members(api: Api) -> None:
    for user in ("ada", "grace"):
        await api.add_customer(f"u:{user}")
    await _add_event(api, "u:ada", "report.exported", NOW_MS - 7 * 24 * 3_600_000)
    once = {"event": "report.exported", "within": "7d"}
    assert (await api.data("POST", "/audiences/preview", {"rule": once}))["sample"] == [{"userId": "ada"}]
    api.clock.now_ms += 1
    assert (await api.data("POST", "/audiences/preview", {"rule": once}))["count"] == 0
    never = {"event": "report.exported", "count": {"op": "eq", "value": 0}}
    assert (await api.data("POST", "/audiences/preview", {"rule": never}))["sample"] == [{"userId": "grace"}]


async def test_what_takes_too_long_is_estimated_or_said_to(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        await api.add_customer(f"u:{number:02}", {"plan": "free" if number % 2 else "pro"})
    path = f"/audiences/{(await api.data('POST', '/audiences', {'name': 'A', 'rule': FREE}))['id']}"
    slow = text("(SELECT pg_sleep(0.3)) IS NOT NULL")
    monkeypatch.setattr("admin.audiences.member_queries.EXACT_TIMEOUT_MS", 50)
    monkeypatch.setattr("admin.audiences.member_service.EXACT_TIMEOUT_MS", 50)
    monkeypatch.setattr("admin.audiences.member_queries.rule_condition", lambda *_args, **_kwargs: slow)
    error = await api.error("GET", f"{path}/members", status=503)
    assert error["code"] == "query_timed_out"
    got = await api.data("GET", path)
    assert (got["exact"], got["memberCount"], got["sample"]) == (False, 20, [])
    assert got["sampled"] == 20
    assert got["usedBy"] == {"messages": [], "audiences": []}
    monkeypatch.undo()
    assert (await api.data("GET", path))["memberCount"] == 10


async def _add_event(api: Api, subject: str, type_: str, at_ms: int) -> None:
    row = {"org_id": api.org.org_id, "id": uuid.uuid4(), "subject": subject, "type": type_}
    moments = {"occurred_ms": at_ms, "received_ms": at_ms}
    await api.execute(insert(tables.events).values(**row, **moments, properties={}, context={}))


async def _list_member(api: Api, audience_id: str, subject: str) -> None:
    row = {"org_id": api.org.org_id, "audience_id": audience_id, "subject": subject}
    await api.execute(insert(tables.audience_members).values(**row))
