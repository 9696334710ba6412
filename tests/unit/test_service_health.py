import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from structlog.testing import capture_logs

from service.health import CheckResult, Health, health_app
from service.supervise import Supervisor, TaskDiedError

pytestmark = pytest.mark.anyio


async def good() -> CheckResult:
    return CheckResult(ok=True, detail={"revision": 7})


async def bad() -> CheckResult:
    return CheckResult(ok=False, detail={"ageSeconds": 90})


async def broken() -> CheckResult:
    raise ConnectionError("cannot reach redis://:hunter2@cache")


async def stuck() -> CheckResult:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(health_app("compiler", health))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_process_with_nothing_to_check_is_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok", "tasks": {}}
    assert (await client.get("/readyz")).json() == {"status": "ok", "checks": {}}


async def test_ready_shows_what_each_check_found(client: httpx.AsyncClient, health: Health) -> None:
    health.add("bundles", good)
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {"status": "ok", "checks": {"bundles": {"ok": True, "revision": 7}}}


async def test_one_failing_check_makes_it_503_and_shows_no_secret(client: httpx.AsyncClient, health: Health) -> None:
    health.add("bundles", bad)
    health.add("redis", broken)
    health.add("database", stuck, timeout_s=0.01)
    health.add("spool", good)
    async with asyncio.timeout(4):
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "failing",
        "checks": {
            "bundles": {"ok": False, "ageSeconds": 90},
            "redis": {"ok": False, "error": "ConnectionError"},
            "database": {"ok": False, "error": "timeout"},
            "spool": {"ok": True, "revision": 7},
        },
    }


async def test_a_check_is_logged_when_it_changes_and_not_each_time(health: Health) -> None:
    async def check() -> CheckResult:
        return await (good() if up else broken())

    health.add("redis", check)
    with capture_logs() as lines:
        for up in (True, False, False, True, True):  # noqa: B007
            await health.check()
    assert [line["event"] for line in lines] == ["check_failed", "check_recovered"]
    assert lines[0]["reason"] == "ConnectionError: cannot reach redis://:***@cache"


async def test_a_dead_task_makes_the_process_unhealthy(client: httpx.AsyncClient, health: Health) -> None:
    async def die() -> None:
        raise ValueError

    with pytest.raises(TaskDiedError):
        async with Supervisor(on_death=lambda: None) as tasks:
            health.watch(tasks)
            tasks.start("tail", stuck_task)
            assert (await client.get("/healthz")).json()["tasks"] == {"tail": "alive"}
            tasks.start("ship", die)
            await tasks.failed.wait()
            answer = await client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "failing", "tasks": {"tail": "alive", "ship": "dead"}}


async def stuck_task() -> None:
    await asyncio.Event().wait()


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient) -> None:
    await client.get("/healthz")
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'inapp_http_requests_total{method="GET",route="/healthz",status="200"}' in answer.text


async def test_the_health_app_is_served_while_its_work_goes_on_and_has_nothing_else(health: Health) -> None:
    @asynccontextmanager
    async def work() -> AsyncIterator[None]:
        ran.append("start")
        yield
        ran.append("stop")

    ran: list[str] = []
    app = health_app("recorder", health, work=work())
    async with app.router.lifespan_context(app):
        assert ran == ["start"]
    assert ran == ["start", "stop"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.get("/docs")).json()["error"]["code"] == "not_found"
        assert (await client.post("/healthz", content=b"x")).status_code == 413
