"""`/docs` of an API, and the document behind it."""

import re
from collections.abc import AsyncIterator
from importlib.metadata import version

import httpx
import pytest

from service.openapi import DISTRIBUTION, described_app

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = described_app("Title", "Description.")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_the_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    references = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)|url:\s*["']([^"']+)""", page.text)
    addresses = {one or other for one, other in references}
    assert addresses == {
        "docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "docs/favicon-32x32.png", "openapi.json",
    }  # fmt: skip
    assert "//" not in re.sub(r"^\s*//.*|<!--.*?-->", "", page.text, flags=re.MULTILINE)
    for address in addresses:
        assert (await client.get(f"/{address}")).status_code == 200


async def test_the_files_say_what_they_are(client: httpx.AsyncClient) -> None:
    types = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
    for name, media_type in types.items():
        answer = await client.get(f"/docs/{name}")
        assert answer.headers["Content-Type"].startswith(media_type)
        assert len(answer.content) > 100
    assert (await client.get("/docs/other.js")).status_code == 404


async def test_the_document_has_the_version_of_the_package(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["info"] == {"title": "Title", "description": "Description.", "version": version(DISTRIBUTION)}
    assert document["paths"] == {}
