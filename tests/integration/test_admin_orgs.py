"""An org: its settings, its keys, and the log of what was done in it."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from admin.audit.service import Actor
from admin.errors import not_found
from admin.keys.service import revoke_key
from admin.orgs.service import create_org, set_plan
from service.errors import ApiError
from store import tables
from tests.support.admin_api import NOW_MS, Api
from wire import apikeys

pytestmark = pytest.mark.anyio


NOBODY = UUID(int=1)
BANNER: dict[str, Any] = {"type": "banner", "content": {"body": "Hello"}}


async def test_a_new_org_has_one_key_of_each_kind(api: Api) -> None:
    org = await api.data("GET", "")
    assert org == {
        "id": str(api.org.org_id),
        "name": "Acme",
        "plan": "starter",
        "appSchemes": [],
        "requireIdentityToken": False,
        "hasIdentitySecret": False,
    }
    keys = await api.data("GET", "/keys")
    assert [(key["kind"], key["env"], key["role"]) for key in keys] == [("sk", "prod", "admin"), ("pk", "prod", None)]
    for text in (api.org.secret_key, api.org.public_key):
        parsed = apikeys.parse(text)
        assert parsed is not None and parsed.org_id == api.org.org_id


async def test_no_org_is_made_with_a_bad_name_or_plan(api: Api) -> None:
    for name, plan, pointer in (("", "free", "/name"), ("A\0", "free", "/name"), ("A", "gold", "/plan")):
        async with api.engine.begin() as connection:
            with pytest.raises(ApiError) as raised:
                await create_org(connection, name, plan, NOW_MS)  # type: ignore[arg-type]
        assert [problem.pointer for problem in raised.value.details] == [pointer]
    assert len(await api.rows(select(tables.orgs))) == 1


async def test_the_command_line_sets_the_plan(api: Api) -> None:
    async with api.engine.begin() as connection:
        org = await set_plan(connection, api.org.org_id, "pro", NOW_MS)
        with pytest.raises(ApiError):
            await set_plan(connection, api.org.org_id, "gold", NOW_MS)  # type: ignore[arg-type]
        with pytest.raises(ApiError) as raised:
            await set_plan(connection, NOBODY, "pro", NOW_MS)
    assert (org.plan, raised.value.status) == ("pro", not_found().status)
    newest = (await api.data("GET", "/audit-log"))["items"][0]
    assert (newest["actor"], newest["keyId"], newest["changes"]) == ("cli", None, {"plan": ["starter", "pro"]})


async def test_an_orgs_settings_are_merged(api: Api) -> None:
    changed = await api.data("PATCH", "", {"name": "Acme 2", "appSchemes": ["acme", "acme-beta+1.0"]})
    assert (changed["name"], changed["appSchemes"]) == ("Acme 2", ["acme", "acme-beta+1.0"])
    assert await api.data("PATCH", "", {}) == changed
    assert await api.data("PATCH", "", {"appSchemes": []}) == {**changed, "appSchemes": []}
    assert await api.data("GET", "") == {**changed, "appSchemes": []}


async def test_every_problem_of_an_orgs_settings_is_in_one_answer(api: Api) -> None:
    schemes = ["Acme", "a", "x" * 33, "javascript", "data", "vbscript", "file", "blob", "about", "http", "https", "1a"]
    payload = {"name": " ", "plan": "pro", "requireIdentityToken": True, "appSchemes": schemes}
    problems = await api.problems("PATCH", "", payload)
    assert {(pointer, code) for pointer, code in problems if "appSchemes" not in pointer} == {
        ("/name", "blank"),
        ("/plan", "unknown_field"),
        ("/requireIdentityToken", "identity_secret_missing"),
    }
    assert {pointer for pointer, _ in problems if "appSchemes" in pointer} == {
        f"/appSchemes/{index}" for index in range(len(schemes))
    }


@pytest.mark.parametrize(
    "schemes",
    [
        ("chrome", "content", "feed", "filesystem", "ftp", "intent", "jar", "mailto", "ms-msdt", "resource"),
        ("search-ms", "smb", "sms", "tel", "view-source", "ws", "wss"),
    ],
)
async def test_schemes_that_are_no_apps_own_are_refused_saying_what_one_is(api: Api, schemes: tuple[str, ...]) -> None:
    error = await api.error("PATCH", "", {"appSchemes": ["acme", *schemes]}, status=422)
    expected = [(f"/appSchemes/{index}", "scheme_not_allowed") for index in range(1, len(schemes) + 1)]
    assert [(problem["pointer"], problem["code"]) for problem in error["details"]] == expected
    assert all("acme://" in problem["message"] for problem in error["details"])


async def test_tokens_can_be_required_once_there_is_a_secret_shown_once(api: Api) -> None:
    before = await api.outbox_length()
    secret = (await api.data("POST", "/identity-secret", status=201))["identitySecret"]
    org = await api.data("PATCH", "", {"requireIdentityToken": True})
    assert (org["requireIdentityToken"], org["hasIdentitySecret"]) == (True, True)
    assert await api.outbox_length() == before + 2
    second = (await api.data("POST", "/identity-secret"))["identitySecret"]
    assert len(secret) == 64 and second != secret
    (row,) = await api.rows(select(tables.orgs))
    assert row.identity_secret == second
    for path in ("", "/audit-log"):
        assert second not in (await api.call("GET", path)).text


async def test_a_key_is_shown_once_and_stored_as_a_digest(api: Api) -> None:
    new = {"kind": "sk", "env": "staging", "role": "viewer", "name": "CI"}
    made = await api.data("POST", "/keys", new, status=201)
    assert {name: made[name] for name in new} == new
    assert made["key"].startswith("sk_staging_") and made["key"].endswith(made["hint"])
    assert (await api.using(made["key"]).call("GET", "")).status_code == 200
    listed = (await api.call("GET", "/keys")).text + (await api.call("GET", "/audit-log")).text
    assert made["key"] not in listed and apikeys.digest(made["key"]).hex() not in listed
    rows = await api.rows(select(tables.api_keys.c.digest).where(tables.api_keys.c.name == "CI"))
    assert [row.digest for row in rows] == [apikeys.digest(made["key"])]


async def test_bad_keys_are_refused(api: Api) -> None:
    assert await api.problems("POST", "/keys", {"kind": "sk", "name": "", "env": "qa", "x": 1}) == {
        ("/name", "too_short"),
        ("/env", "unknown_value"),
        ("/role", "role_missing"),
        ("/x", "unknown_field"),
    }
    public = {"kind": "pk", "name": "App", "role": "admin"}
    assert await api.problems("POST", "/keys", public) == {("/role", "role_not_allowed")}
    assert await api.problems("POST", "/keys", {"kind": "xk", "name": "A", "role": "boss"}) == {
        ("/kind", "unknown_value"),
        ("/role", "unknown_value"),
    }


async def test_only_public_keys_change_what_is_published(api: Api) -> None:
    before = await api.outbox_length()
    secret = await api.data("POST", "/keys", {"kind": "sk", "role": "viewer", "name": "A"})
    await api.data("DELETE", f"/keys/{secret['id']}")
    assert await api.outbox_length() == before
    public = await api.data("POST", "/keys", {"kind": "pk", "name": "B"})
    assert await api.outbox_length() == before + 1
    revoked = await api.data("DELETE", f"/keys/{public['id']}")
    assert revoked["revokedAt"] == "2026-05-28T20:26:40.000Z"
    assert await api.outbox_length() == before + 2
    api.clock.now_ms += 1000
    assert await api.data("DELETE", f"/keys/{public['id']}") == revoked
    assert await api.outbox_length() == before + 2


async def test_the_last_admin_key_stays_even_when_two_are_revoked_at_once(api: Api) -> None:
    await api.with_role("editor")
    await api.with_role("admin")
    admins = [key["id"] for key in await api.data("GET", "/keys") if key["role"] == "admin"]

    async def revoke(key_id: Any) -> str:
        try:
            async with api.engine.begin() as connection:
                await revoke_key(connection, Actor.cli(api.org.org_id), UUID(key_id), NOW_MS)
        except ApiError as error:
            return error.code
        return "revoked"

    assert sorted(await asyncio.gather(*map(revoke, admins))) == ["last_admin_key", "revoked"]


@pytest.mark.usefixtures("soon_away")
async def test_every_write_is_in_the_audit_log_with_who_and_what(api: Api) -> None:
    message = await api.data("POST", "/in-app-messages", {**BANNER, "draft": True})
    path = f"/in-app-messages/{message['id']}"
    editor = await api.with_role("editor")
    await editor.data("PATCH", path, {"priority": 60, "active": False})
    await api.data("POST", f"{path}/publish")
    await api.data("POST", f"{path}/archive")
    await api.data("DELETE", path)
    audience = (await api.data("POST", "/audiences", {"name": "A"}))["id"]
    await api.data("PATCH", f"/audiences/{audience}", {"description": "d"})
    await api.data("POST", f"/audiences/{audience}/members", {"add": ["ada"]})
    await api.data("DELETE", f"/audiences/{audience}")
    await api.data("PUT", "/customers/ada", {"traits": {"email": "ada@example.com"}})
    await api.data("POST", "/customers/bulk", {"customers": [{"userId": "ada"}]})
    await api.data("DELETE", "/customers/ada")
    await api.data("POST", "/events", {"events": [{"eventType": "x", "userId": "ada"}]})
    await api.data("PATCH", "", {"name": "Acme 2"})
    await api.data("POST", "/identity-secret")
    key = await api.data("POST", "/keys", {"kind": "pk", "name": "B"})
    answer = await api.call("DELETE", f"/keys/{key['id']}")

    log = await api.data("GET", "/audit-log?limit=200")
    entries = log["items"]
    assert [entry["action"] for entry in reversed(entries)] == [
        *("org.create", "key.create", "key.create"),
        *("message.create", "key.create", "message.update", "message.publish", "message.archive", "message.delete"),
        *("audience.create", "audience.update", "audience.members", "audience.delete"),
        *("customer.upsert", "customer.import", "customer.erase", "event.track"),
        *("org.update", "org.identity_secret", "key.create", "key.revoke"),
    ]
    by_action = {entry["action"]: entry for entry in entries}
    update = by_action["message.update"]
    assert update["changes"] == {"priority": [50, 60], "active": [True, False]}
    assert update["target"] == {"type": "message", "id": message["id"]}
    assert update["actor"] == f"editor (…{editor.key[-4:]})"
    assert entries[0]["requestId"] == answer.headers["X-Request-Id"]
    assert by_action["message.create"]["changes"]["content"][0] is None
    assert by_action["message.delete"]["changes"]["name"] == ["banner", None]
    assert by_action["org.update"]["changes"] == {"name": ["Acme", "Acme 2"]}
    assert "ada@example.com" not in (await api.call("GET", "/audit-log?limit=200")).text


async def test_a_refused_write_is_not_in_the_log(api: Api) -> None:
    before = await api.data("GET", "/audit-log")
    await api.problems("POST", "/in-app-messages", {**BANNER, "priority": 101})
    await api.error("DELETE", f"/in-app-messages/{NOBODY}", status=404)
    assert await api.data("GET", "/audit-log") == before


async def test_the_log_is_paged_and_of_one_org(api: Api) -> None:
    other = await api.new_org()
    await other.data("POST", "/audiences", {"name": "Theirs"})
    first = await api.data("GET", "/audit-log?limit=2")
    second = await api.data("GET", f"/audit-log?limit=2&cursor={first['nextCursor']}")
    assert [entry["action"] for entry in first["items"] + second["items"]] == ["key.create", "key.create", "org.create"]
    assert second["nextCursor"] is None
