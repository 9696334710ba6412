"""The admin process as a whole: what it tells about itself, and a database that comes and goes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from admin.app import create_app
from inapp.embedded import EmbeddedPostgres
from store import migrate
from tests.support.admin_api import Api, admin_api, admin_settings, serving
from tests.support.polling import eventually_async

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with admin_api(database_url) as api:
        yield api


async def test_it_tells_how_it_is(api: Api) -> None:
    assert (await api.client.get("/healthz")).json() == {"status": "ok", "tasks": {}}
    assert (await api.client.get("/readyz")).json() == {"status": "ok", "checks": {"database": {"ok": True}}}
    await api.call("GET", "")
    metrics = (await api.client.get("/metrics")).text
    assert 'inapp_http_requests_total{method="GET",route="/api/v1/orgs/{orgId}",status="200"}' in metrics
    assert (await api.client.get("/")).json()["data"]["docs"] == "/docs"
    assert (await api.client.get("/docs")).status_code == 200


async def test_the_openapi_document_has_an_example_that_works_and_the_error_envelope(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    create = document["paths"]["/api/v1/orgs/{orgId}/in-app-messages"]["post"]
    example = create["requestBody"]["content"]["application/json"]["schema"]["examples"][0]
    assert example["frequencyCap"]["maxImpressions"] == 3
    await api.data("POST", "/in-app-messages", example, status=201)
    for status in ("401", "403", "404", "422"):
        schema = create["responses"][status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorEnvelope"}
    assert set(document["components"]["securitySchemes"]) == {"apiKey", "bearer"}


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
