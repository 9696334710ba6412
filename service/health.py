"""GET /healthz, /readyz and /metrics: plain JSON outside the API's envelope, for machines that run processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.http import install_http
from service.logs import one_line
from service.metrics import exposition
from service.supervise import Supervisor

log = structlog.get_logger("health")


@dataclass(frozen=True)
class CheckResult:
    """What a check found; `detail` is shown to anyone who can reach /readyz, so it holds no secret."""

    ok: bool
    detail: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[], Awaitable[CheckResult]]


class Health:
    """The checks of one process. A check that raises or outlasts its timeout is not ok."""

    def __init__(self) -> None:
        self._checks: dict[str, tuple[Check, float]] = {}
        self._was_ok: dict[str, bool] = {}
        self._supervisor: Supervisor | None = None

    def add(self, name: str, check: Check, *, timeout_s: float = 2.0) -> None:
        """/readyz answers 200 only while every check added here is ok."""
        self._checks[name] = (check, timeout_s)

    def watch(self, supervisor: Supervisor) -> None:
        """/healthz answers 200 only while every task of `supervisor` runs."""
        self._supervisor = supervisor

    def tasks(self) -> dict[str, bool]:
        """Task name → whether it runs."""
        return self._supervisor.alive() if self._supervisor else {}

    async def check(self) -> dict[str, CheckResult]:
        """Runs every check at once; logs `check_failed` and `check_recovered` when one changes."""
        results = await asyncio.gather(*(self._run(name) for name in self._checks))
        return dict(zip(self._checks, results, strict=True))

    async def _run(self, name: str) -> CheckResult:
        check, timeout_s = self._checks[name]
        reason = None
        try:
            result = await asyncio.wait_for(check(), timeout_s)
        except TimeoutError:
            result, reason = CheckResult(False, {"error": "timeout"}), f"no answer in {timeout_s} s"
        except Exception as error:
            result, reason = CheckResult(False, {"error": type(error).__name__}), one_line(error)
        self._log_change(name, result, reason)
        return result

    def _log_change(self, name: str, result: CheckResult, reason: str | None) -> None:
        was_ok = self._was_ok.get(name, True)
        self._was_ok[name] = result.ok
        if was_ok and not result.ok:
            log.warning("check_failed", check=name, reason=reason, detail=dict(result.detail))
        elif result.ok and not was_ok:
            log.info("check_recovered", check=name)


def health_routes(health: Health) -> APIRouter:
    """The three routes.

    `/healthz` → `{"status":"ok"|"failing","tasks":{name:"alive"|"dead"}}`; `/readyz` →
    `{"status":…,"checks":{name:{"ok":bool,…detail}}}`; both 503 when failing. `/metrics` → Prometheus text.
    Where several processes share a port, the first two speak for the one that took the request, `/metrics` for all.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> Response:
        tasks = health.tasks()
        return _answer(all(tasks.values()), "tasks", {n: "alive" if alive else "dead" for n, alive in tasks.items()})

    @router.get("/readyz")
    async def readyz() -> Response:
        results = await health.check()
        checks = {name: {"ok": result.ok, **result.detail} for name, result in results.items()}
        return _answer(all(result.ok for result in results.values()), "checks", checks)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router


def _answer(ok: bool, key: str, value: Mapping[str, Any]) -> Response:
    body = orjson.dumps({"status": "ok" if ok else "failing", key: value}, default=str)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(body, 200 if ok else 503, headers=headers)


def health_app(name: str, health: Health, *, work: AbstractAsyncContextManager[object] | None = None) -> FastAPI:
    """The whole HTTP side of a process without an API of its own; `work` is entered while it is served."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with work or nullcontext():
            yield

    app = FastAPI(title=name, lifespan=lifespan, openapi_url=None)
    install_http(app, max_body_bytes=0)
    app.include_router(health_routes(health))
    return app
