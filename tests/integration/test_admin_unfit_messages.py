"""Messages stored in a form that no author can give them: shown, mended and removed all the same."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.admin_api import Api

pytestmark = pytest.mark.anyio

BANNER: dict[str, Any] = {"type": "banner", "content": {"body": "Hello"}, "name": "Greeting"}
DEEP = "[" * 300 + "]" * 300
PROBLEM = {"pointer": "/content/body", "code": "missing_field", "message": "This is required."}

UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "content='5'": ({"content": None, "renderSlot": "banner:top"}, "/content"),
    "content='[1]'": ({"content": None}, "/content"),
    "content='null'": ({"content": None}, "/content"),
    "content='{}'": ({"content": {}}, "/content/body"),
    "content='{\"body\":1e400}'": ({"content": None}, "/content"),
    f'content=\'{{"body":"x","ctaUrl":{DEEP}}}\'': ({"content": None}, "/content"),
    'content=\'{"body":"x","ctaUrl":7}\'': ({"content": {"body": "x", "ctaUrl": 7}}, "/content/ctaUrl"),
    "appearance='null'": ({"appearance": None, "renderSlot": None}, "/appearance"),
    "appearance='[]'": ({"appearance": None, "renderSlot": None}, "/appearance"),
    "trigger='[]'": ({"trigger": None}, "/trigger"),
    "trigger='{\"delaySeconds\":1.5}'": ({"trigger": {"delaySeconds": 1.5}}, "/trigger/delaySeconds"),
    "frequency_cap='\"x\"'": ({"frequencyCap": None}, "/frequencyCap"),
    "type='zzz'": ({"type": None, "renderSlot": None}, "/type"),
    "starts_ms=9223372036854775807": ({"startsAt": "9999-12-31T23:59:59.999Z", "status": "scheduled"}, "/startsAt"),
    "starts_ms=(-9223372036854775808)": ({"startsAt": "0001-01-01T00:00:00.000Z", "status": "live"}, "/startsAt"),
    "ends_ms=9223372036854775807": ({"endsAt": "9999-12-31T23:59:59.999Z", "status": "live"}, "/endsAt"),
    "ends_ms=(-9223372036854775808)": ({"endsAt": "0001-01-01T00:00:00.000Z", "status": "ended"}, "/endsAt"),
}
MENDED: dict[str, dict[str, Any]] = {
    "/content": {"content": {"body": "Mended", "ctaUrl": None}},
    "/appearance": {"appearance": {"position": "bottom"}},
    "/trigger": {"trigger": {"eventType": "a", "delaySeconds": 2}},
    "/frequencyCap": {"frequencyCap": {"maxImpressions": 1}},
    "/type": {"type": "modal"},
    "/startsAt": {"startsAt": None},
    "/endsAt": {"endsAt": None},
}


async def stored(api: Api, change: str, **fields: Any) -> str:
    """The path of a message, among others, whose row was then changed."""
    path = f"/in-app-messages/{(await api.data('POST', '/in-app-messages', {**BANNER, **fields}))['id']}"
    escaped = change.replace(":", r"\:")
    await api.execute(text(f"UPDATE in_app_messages SET {escaped} WHERE id = '{path.rpartition('/')[2]}'"))
    await api.data("POST", "/in-app-messages", BANNER)
    return path


@pytest.mark.parametrize("change", UNFIT, ids=lambda change: change[:30])
async def test_an_unfit_message_is_shown_as_far_as_it_can_be_read_and_says_what_is_wrong(api: Api, change: str) -> None:
    shown, pointer = UNFIT[change]
    path = await stored(api, change)
    message = await api.data("GET", path)
    assert {name: message[name] for name in shown} == shown
    assert (message["name"], message["active"], message["priority"]) == ("Greeting", True, 50)
    assert [problem["pointer"] for problem in message["problems"]] == [pointer]
    listed = (await api.data("GET", "/in-app-messages"))["items"]
    assert [len(listed), listed[1]] == [2, message]
    assert (await api.data("GET", f"{path}/stats"))["impressions"] == 0


@pytest.mark.parametrize("change", UNFIT, ids=lambda change: change[:30])
async def test_an_unfit_message_can_be_mended_by_giving_what_is_wrong(api: Api, change: str) -> None:
    _, pointer = UNFIT[change]
    path = await stored(api, change)
    if pointer != "/appearance":
        assert {found for found, _ in await api.problems("PATCH", path, {"priority": 7})} == {pointer}
    mended = await api.data("PATCH", path, MENDED["/" + pointer.split("/")[1]] | {"priority": 7})
    assert (mended["problems"], mended["priority"], mended["version"]) == ([], 7, 2)
    assert await api.data("GET", path) == mended
    assert await api.data("PATCH", path, {"name": "Again"}) == {**mended, "name": "Again", "version": 3}


@pytest.mark.parametrize("change", UNFIT, ids=lambda change: change[:30])
async def test_an_unfit_message_can_be_paused_archived_and_deleted(api: Api, change: str) -> None:
    path = await stored(api, change)
    before = await api.outbox_length()
    paused = await api.data("PATCH", path, {"active": False})
    assert (paused["active"], paused["version"]) == (False, 1)
    assert (await api.data("POST", f"{path}/archive"))["status"] == "archived"
    await api.data("DELETE", path)
    await api.error("GET", path, status=404)
    assert await api.outbox_length() == before + 3
    actions = [entry["action"] for entry in (await api.data("GET", "/audit-log"))["items"]]
    assert actions[:3] == ["message.delete", "message.archive", "message.update"]


@pytest.mark.parametrize("change", UNFIT, ids=lambda change: change[:30])
async def test_an_unfit_draft_can_be_published_without_harm(api: Api, change: str) -> None:
    path = await stored(api, change, draft=True)
    assert (await api.data("POST", f"{path}/publish"))["problems"]


async def test_only_a_plain_pause_goes_without_the_checks(api: Api) -> None:
    path = await stored(api, "content='5'")
    for patch in ({"active": True}, {"active": False, "priority": 1}, {}):
        assert await api.problems("PATCH", path, patch) == {("/content", "wrong_type")}
    assert ("/active", "wrong_type") in await api.problems("PATCH", path, {"active": 0})


async def test_what_the_compiler_found_is_shown_before_anything_else(api: Api) -> None:
    path = await stored(api, f"content='5', problems='{json.dumps([PROBLEM])}'")
    assert (await api.data("GET", path))["problems"] == [PROBLEM]


@pytest.mark.parametrize("problems", ["5", "[1]", '[{"pointer":1e400}]', "null"])
async def test_problems_that_nobody_can_read_are_found_anew(api: Api, problems: str) -> None:
    sound = await stored(api, f"problems='{problems}'")
    unfit = await stored(api, f"content='5', problems='{problems}'")
    assert (await api.data("GET", sound))["problems"] == []
    assert [problem["pointer"] for problem in (await api.data("GET", unfit))["problems"]] == ["/content"]


@pytest.mark.parametrize("created_ms", [2**63 - 1, -(2**63)])
async def test_a_message_of_an_impossible_time_is_listed_and_paged_over(api: Api, created_ms: int) -> None:
    for _ in range(2):
        await api.data("POST", "/in-app-messages", BANNER)
    await api.execute(text(f"UPDATE in_app_messages SET created_ms = {created_ms}, updated_ms = created_ms"))
    await api.data("POST", "/in-app-messages", BANNER)
    seen, cursor = [], ""
    while cursor is not None:
        page = await api.data("GET", f"/in-app-messages?limit=1{cursor and '&cursor='}{cursor}")
        seen += page["items"]
        cursor = page["nextCursor"]
    assert len({message["id"] for message in seen}) == 3
    assert {message["createdAt"][:4] for message in seen} == {"2026", "9999" if created_ms > 0 else "0001"}


async def test_a_tooltip_without_its_anchor_has_no_place(api: Api) -> None:
    path = await stored(api, "type='tooltip', appearance='{}'")
    message = await api.data("GET", path)
    assert (message["type"], message["renderSlot"], message["appearance"]) == ("tooltip", None, {})


async def test_a_blank_title_does_not_make_a_name_that_is_refused_later(api: Api) -> None:
    made = await api.data("POST", "/in-app-messages", {"type": "banner", "content": {"title": "  ", "body": "x"}})
    assert (made["name"], made["problems"]) == ("banner", [])
    assert (await api.data("PATCH", f"/in-app-messages/{made['id']}", {"priority": 1}))["priority"] == 1
