"""The admin process as a whole: what it tells about itself, and a database that comes and goes."""

import asyncio
from importlib.metadata import version
from typing import Any

import pytest
from pydantic import BaseModel

from admin.answers import Answer
from admin.app import create_app
from inapp.embedded import EmbeddedPostgres
from service.openapi import DISTRIBUTION
from store import migrate
from tests.support.admin_api import Api, admin_api, admin_settings, serving
from tests.support.openapi import Operation, body_example, operations
from tests.support.polling import eventually_async

pytestmark = pytest.mark.anyio

MESSAGE = {"type": "banner", "content": {"body": "Hello"}}


async def test_it_tells_how_it_is(api: Api) -> None:
    assert (await api.client.get("/healthz")).json() == {"status": "ok", "tasks": {}}
    assert (await api.client.get("/readyz")).json() == {"status": "ok", "checks": {"database": {"ok": True}}}
    await api.call("GET", "")
    metrics = (await api.client.get("/metrics")).text
    assert 'inapp_http_requests_total{method="GET",route="/api/v1/orgs/{orgId}",status="200"}' in metrics
    assert (await api.client.get("/")).json()["data"]["docs"] == "/docs"
    assert (await api.client.get("/docs")).status_code == 200


async def test_every_operation_in_the_openapi_document_says_what_it_does(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    assert document["info"]["version"] == version(DISTRIBUTION)
    assert set(document["components"]["securitySchemes"]) == {"apiKey", "bearer"}
    for operation in operations(document):
        assert operation.spec["description"].endswith("."), operation.path
        for status in ("401", "403", "404"):
            schema = operation.spec["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorEnvelope"}


async def test_every_body_in_the_openapi_document_has_an_example_that_the_api_takes(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    ids = {
        resource: (await api.data("POST", f"/{resource}", new))["id"]
        for resource, new in (("audiences", {"name": "A"}), ("in-app-messages", MESSAGE))
    }
    with_body = [operation for operation in operations(document) if "requestBody" in operation.spec]
    assert len(with_body) == 11
    for method, path, spec in with_body:
        own = path.removeprefix("/api/v1/orgs/{orgId}").replace("{userId}", "ada")
        if "{id}" in own:
            own = own.replace("{id}", ids[own.split("/")[1]])
        answer = await api.call(method, own, body_example(Operation(method, path, spec), document))
        assert answer.is_success, (own, answer.text)
        assert answer.json()["data"].get("rejected", []) == []


async def test_every_answer_in_the_openapi_document_has_an_example_of_its_own_shape(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    answers = [model for model in _subclasses(Answer) if "[" not in model.__name__]
    for model in answers:
        extra: Any = model.model_config.get("json_schema_extra") or {}
        for example in extra.get("examples", []):
            assert model.model_validate(example).model_dump(mode="json", by_alias=True) == example
    named = {model.__name__ for model in answers if model.model_config.get("json_schema_extra")}
    for method, path, spec in operations(document):
        status = next(status for status in spec["responses"] if status.startswith("2"))
        schema = spec["responses"][status]["content"]["application/json"]["schema"]
        shown = schema["$ref"].rpartition("/")[2].strip("_").split("_")[-1].removesuffix("_")
        assert shown in named, (method, path, shown)


def _subclasses(model: type[BaseModel]) -> list[type[BaseModel]]:
    direct = model.__subclasses__()
    return [*direct, *(found for each in direct for found in _subclasses(each))]


async def test_every_reference_in_the_openapi_document_leads_somewhere(api: Api) -> None:
    answer = await api.client.get("/openapi.json")
    schemas = answer.json()["components"]["schemas"]
    named = {part.split('"')[0] for part in answer.text.split('"$ref":"#/components/schemas/')[1:]}
    assert named and named <= schemas.keys()


async def test_unknown_paths_are_answered_in_the_envelope(api: Api) -> None:
    assert (await api.error("GET", "!/nope", status=404))["code"] == "not_found"
    assert (await api.error("PUT", "/in-app-messages", {}, status=405))["code"] == "method_not_allowed"


async def test_it_waits_for_a_database_and_outlives_its_absence(own_postgres: EmbeddedPostgres) -> None:
    url = own_postgres.url
    await migrate.upgrade_async(url)
    await asyncio.to_thread(own_postgres.stop)
    starting = asyncio.create_task(_first_answer(url))
    await asyncio.sleep(0.3)
    assert not starting.done()
    await asyncio.to_thread(own_postgres.start)
    assert await starting == 401

    async with admin_api(url) as api:
        await asyncio.to_thread(own_postgres.stop)
        answer = await api.call("GET", "/in-app-messages")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert (await api.client.get("/readyz")).status_code == 503
        assert (await api.client.get("/healthz")).status_code == 200
        await asyncio.to_thread(own_postgres.start)

        async def works() -> bool:
            return (await api.call("GET", "/in-app-messages")).status_code == 200

        assert await eventually_async(works)


async def _first_answer(url: str) -> int:
    async with serving(create_app(admin_settings(url))) as (client, _):
        return (await client.get("/api/v1/orgs/x")).status_code
