"""The demo's host page: what is served, as what, under which policy, and that nothing else is."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from inapp.demo.host import PAGE_PATHS, HostConfig, HostUser, create_host_app

pytestmark = pytest.mark.anyio

HOST_FOLDER = Path(__file__).parents[2] / "inapp" / "demo" / "page"
SDK = "sendora.js"
CONFIG = HostConfig(
    edge_url="http://127.0.0.1:8701",
    public_key="pk_dev_example",
    org_id="0195c0de-0000-7000-8000-000000000001",
    admin_url="http://127.0.0.1:8700",
    users=[HostUser("user_1", "Ada", {"plan": "free"}), HostUser("user_2", "Bram")],
)


def client_of(folder: Path) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_host_app(CONFIG, folder)), base_url="http://host")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's, with something in place of the SDK, which may not be built."""
    copy = shutil.copytree(HOST_FOLDER, tmp_path / "page")
    (copy / SDK).write_text("var SendoraCloud;")
    return copy


@pytest.fixture
def files(folder: Path) -> dict[str, str]:
    """The text of each file, by name."""
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(folder) as client:
        yield client


def directives(response: httpx.Response) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in response.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in parts}


@pytest.mark.parametrize("path", PAGE_PATHS)
async def test_the_page_is_served_on_each_of_its_paths(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert 'id="export-button"' in response.text


async def test_every_asset_is_served_with_its_content_type(client: httpx.AsyncClient, files: dict[str, str]) -> None:
    expected = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}
    for name, text in files.items():
        response = await client.get(f"/assets/{name}")
        assert response.text == text
        assert response.headers["content-type"].split(";")[0] == expected[Path(name).suffix]
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_what_the_page_and_its_modules_refer_to_exists(client: httpx.AsyncClient, files: dict[str, str]) -> None:
    page = (await client.get("/")).text
    referred = {*re.findall(r'"(/assets/[^"]+)"', page)}
    referred |= {f"/assets/{name}" for name in re.findall(r'from "\./([^"]+)"', "".join(files.values()))}
    assert {"/assets/host.js", "/assets/host.css", "/assets/sendora.js", "/assets/panel.js"} <= referred
    for path in referred:
        assert (await client.get(path)).status_code == 200, path


async def test_without_the_sdk_the_page_says_what_to_do(folder: Path) -> None:
    (folder / SDK).unlink()
    async with client_of(folder) as client:
        for address in (*PAGE_PATHS, f"/assets/{SDK}"):
            response = await client.get(address)
            assert response.status_code == 503
            assert "run `make sdk`" in response.text


async def test_the_policy_allows_own_scripts_and_the_edge_and_nothing_inline(client: httpx.AsyncClient) -> None:
    for path in ("/", "/assets/host.js", "/config.json"):
        policy = directives(await client.get(path))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["connect-src"] == "'self' http://127.0.0.1:8701"
        assert "unsafe" not in " ".join(policy.values())


async def test_the_page_has_nothing_that_its_policy_would_block(
    client: httpx.AsyncClient, files: dict[str, str]
) -> None:
    page = (await client.get("/")).text
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page) == []
    for name, text in files.items():
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write", text), name


async def test_the_config_tells_the_page_all_it_needs(client: httpx.AsyncClient) -> None:
    assert (await client.get("/config.json")).json() == {
        "edgeUrl": "http://127.0.0.1:8701",
        "publicKey": "pk_dev_example",
        "orgId": "0195c0de-0000-7000-8000-000000000001",
        "adminUrl": "http://127.0.0.1:8700",
        "users": [
            {"userId": "user_1", "label": "Ada", "traits": {"plan": "free"}},
            {"userId": "user_2", "label": "Bram", "traits": {}},
        ],
    }


async def test_health_is_told(client: httpx.AsyncClient) -> None:
    response = await client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "path",
    [
        "/assets/..%2fhost.py",
        "/assets/%2e%2e/host.py",
        "/assets/%2e%2e%2f%2e%2e%2f__init__.py",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets/",
        "/host.py",
        "/unknown",
    ],
)
async def test_nothing_outside_the_folder_is_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404
