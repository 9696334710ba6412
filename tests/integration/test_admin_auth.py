"""Who may do what: keys, orgs, roles and plans."""

import uuid

import pytest

from admin.orgs.service import set_plan
from tests.support.admin_api import Api

pytestmark = pytest.mark.anyio


BANNER = {"type": "banner", "content": {"body": "Hello"}}


async def test_takes_the_key_from_either_header(api: Api) -> None:
    url = f"/api/v1/orgs/{api.org.org_id}"
    for headers in ({"X-API-Key": api.key}, {"Authorization": f"Bearer {api.key}"}):
        assert (await api.client.get(url, headers=headers)).status_code == 200


async def test_refuses_what_is_no_key(api: Api) -> None:
    for key in ("", "nonsense", "sk_prod_short", "pk_prod_short"):
        error = await api.using(key).error("GET", "/in-app-messages", status=401)
        assert error["code"] == "invalid_api_key"


async def test_refuses_a_key_with_a_wrong_secret_and_does_not_repeat_it(api: Api) -> None:
    wrong = api.key[:-4] + ("aaaa" if api.key[-4:] != "aaaa" else "bbbb")
    answer = await api.using(wrong).call("GET", "/in-app-messages")
    assert answer.status_code == 401
    assert wrong not in answer.text
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_revoked_key_is_refused_and_the_others_go_on(api: Api) -> None:
    second = await api.with_role("admin")
    keys = await api.data("GET", "/keys")
    first_id = next(key["id"] for key in keys if key["name"] == "First secret key")
    await second.data("DELETE", f"/keys/{first_id}")
    assert (await api.error("GET", "", status=401))["code"] == "invalid_api_key"
    assert await second.data("GET", "")


async def test_a_public_key_is_told_to_stay_on_the_edge(api: Api) -> None:
    error = await api.using(api.org.public_key).error("GET", "/in-app-messages", status=403)
    assert error["code"] == "public_key_on_admin"


async def test_another_orgs_path_is_answered_like_an_invented_one(api: Api) -> None:
    other = await api.new_org()
    answers = []
    for org_id in (str(other.org.org_id), str(uuid.uuid4()), "acme", "0"):
        for method, path, body in (("GET", "/in-app-messages", None), ("POST", "/in-app-messages", BANNER)):
            answers.append(await api.error(method, f"!/api/v1/orgs/{org_id}{path}", body, status=404))
    assert all(answer == answers[0] for answer in answers)


async def test_another_orgs_things_are_answered_like_invented_ones(api: Api) -> None:
    other = await api.new_org()
    message = await other.data("POST", "/in-app-messages", BANNER)
    audience = await other.data("POST", "/audiences", {"name": "Theirs"})
    key = (await other.data("GET", "/keys"))[0]
    there = {"/in-app-messages": message["id"], "/audiences": audience["id"], "/keys": key["id"]}
    for method, path in await _operations(api):
        prefix = path.split("/{id}")[0]
        if "{id}" not in path:
            continue
        theirs = await api.error(method, path.replace("{id}", there[prefix]), {}, status=404)
        invented = await api.error(method, path.replace("{id}", str(uuid.uuid4())), {}, status=404)
        assert theirs == invented, (method, path)
        assert await api.error(method, path.replace("{id}", "no-id"), {}, status=404) == invented
    assert (await other.data("GET", f"/in-app-messages/{message['id']}")) == message


async def test_every_operation_asks_for_a_key(api: Api) -> None:
    operations = await _operations(api)
    assert len(operations) > 25
    for method, path in operations:
        filled = path.replace("{id}", str(uuid.uuid4())).replace("{userId}", "ada")
        assert (await api.using("").error(method, filled, {}, status=401))["code"] == "invalid_api_key"


async def test_a_viewer_reads_everything_and_writes_nothing(api: Api) -> None:
    viewer = await api.with_role("viewer")
    for method, path in await _operations(api):
        filled = path.replace("{id}", str(uuid.uuid4())).replace("{userId}", "ada")
        answer = await viewer.call(method, filled, {})
        if method == "GET" or path == "/audiences/preview":
            assert answer.status_code in (200, 404, 422), (method, path, answer.text)
        else:
            assert answer.status_code == 403, (method, path, answer.text)
            assert answer.json()["error"]["code"] == "role_required"


async def test_an_editor_writes_everything_but_keys_and_org_settings(api: Api) -> None:
    editor = await api.with_role("editor")
    refused = set()
    for method, path in await _operations(api):
        filled = path.replace("{id}", str(uuid.uuid4())).replace("{userId}", "")
        answer = await editor.call(method, filled, {})
        if answer.status_code == 403:
            refused.add((method, path))
            assert answer.json()["error"]["code"] == "role_required"
    assert refused == {("PATCH", ""), ("POST", "/identity-secret"), ("POST", "/keys"), ("DELETE", "/keys/{id}")}


async def test_on_the_free_plan_messages_can_be_read_but_not_written(api: Api) -> None:
    message = await api.data("POST", "/in-app-messages", BANNER)
    path = f"/in-app-messages/{message['id']}"
    async with api.engine.begin() as connection:
        await set_plan(connection, api.org.org_id, "free", api.clock())
    writes = [
        ("POST", "/in-app-messages"),
        ("PATCH", path),
        ("DELETE", path),
        ("POST", f"{path}/publish"),
        ("POST", f"{path}/archive"),
    ]
    for method, written in writes:
        assert (await api.error(method, written, BANNER, status=403))["code"] == "plan_required"
    assert await api.data("GET", path) == message
    assert (await api.data("GET", "/in-app-messages/stats"))["active"] == 1
    assert await api.data("POST", "/audiences", {"name": "Still allowed"})


async def _operations(api: Api) -> list[tuple[str, str]]:
    """Every (method, path) below an org, as the API describes itself."""
    document = (await api.call("GET", "!/openapi.json")).json()
    prefix = "/api/v1/orgs/{orgId}"
    return [
        (method.upper(), path.removeprefix(prefix))
        for path, operations in document["paths"].items()
        for method in operations
    ]
