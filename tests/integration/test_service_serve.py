"""`service.serve` as a process of its own: what it prints, how it stops, what it exits with."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.polling import eventually

PROGRAM = """
    import asyncio, contextlib, sys
    from fastapi import FastAPI, Request
    from service.connect import wait_until_ready
    from service.http import install_http, success
    from service.logs import configure_logs
    from service.serve import serve
    from service.supervise import Supervisor
    import structlog

    mode, port = sys.argv[1], int(sys.argv[2])
    log = structlog.get_logger()
    deadly = asyncio.Event()

    async def deadly_work():
        await deadly.wait()
        raise ValueError("lost the spool")

    async def unreachable():
        raise OSError("nobody answers")

    @contextlib.asynccontextmanager
    async def lifespan(app):
        async with Supervisor() as tasks:
            tasks.start("work", deadly_work)
            try:
                if mode == "waits":
                    await wait_until_ready("redis", unreachable)
                if mode == "dies_early":
                    deadly.set()
                    await asyncio.Event().wait()
                if mode == "broken":
                    raise RuntimeError("bad bundle folder")
                yield {"greeting": "hello"}
            finally:
                log.info("flushed")

    app = FastAPI(lifespan=lifespan)
    install_http(app, max_body_bytes=1000)

    @app.get("/")
    async def root(request: Request):
        return success(request.state.greeting)

    @app.get("/slow")
    async def slow():
        log.info("slow_started")
        await asyncio.sleep(0.5)
        return success("done")

    @app.get("/die")
    async def die():
        deadly.set()
        return success(None)

    @app.post("/raw")
    async def raw(request: Request):
        return success(len(await request.body()))

    configure_logs("probe", "info")
    serve(app, host="127.0.0.1", port=port, name="probe")
"""


class Process:
    """One run of PROGRAM; `lines` grows as it logs."""

    def __init__(self, program: Path, mode: str, port: int) -> None:
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, str(program), mode, str(port)]
        self.popen = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=env)
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr
        for line in self.popen.stderr:
            self.lines.append(json.loads(line))

    def line(self, event: str) -> dict[str, Any]:
        return eventually(lambda: next((line for line in self.lines if line["event"] == event), None) or {}, 20)

    def url(self) -> str:
        return str(self.line("listening")["url"])

    def ends(self) -> int:
        code = self.popen.wait(20)
        self._reader.join()
        return code

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    program = tmp_path / "probe.py"
    program.write_text(textwrap.dedent(PROGRAM))
    started: list[Process] = []

    def run(mode: str = "serves", port: int = 0) -> Process:
        started.append(Process(program, mode, port))
        return started[-1]

    yield run
    for process in started:
        process.popen.kill()
        process.ends()


def test_it_serves_on_a_free_port_with_the_state_of_its_lifespan(start: Callable[..., Process]) -> None:
    process = start()
    answer = httpx.get(process.url())
    assert answer.json()["data"] == "hello"
    assert "server" not in answer.headers
    assert process.line("request")["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_lets_a_request_in_flight_end(start: Callable[..., Process], stop: signal.Signals) -> None:
    process = start()
    answers: list[httpx.Response] = []
    url = process.url()
    request = threading.Thread(target=lambda: answers.append(httpx.get(f"{url}/slow")))
    request.start()
    process.line("slow_started")
    process.popen.send_signal(stop)
    request.join()
    assert answers[0].json()["data"] == "done"
    assert process.ends() == 0
    assert [event for event in process.events() if event in ("stopping", "request", "flushed", "stopped")] == [
        "stopping",
        "request",
        "flushed",
        "stopped",
    ]


def test_a_stop_signal_ends_a_process_that_waits_for_a_dependency(start: Callable[..., Process]) -> None:
    process = start("waits")
    assert process.line("waiting_for_dependency")["reason"] == "OSError: nobody answers"
    process.popen.terminate()
    assert process.ends() == 0
    assert "listening" not in process.events()
    assert process.events()[-2:] == ["flushed", "stopped"]
    assert "Traceback" not in str(process.lines)


def test_a_port_in_use_is_one_clear_line_and_exit_code_1(start: Callable[..., Process]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(port=port)
        assert process.ends() == 1
    (line,) = process.lines
    assert line["event"] == "cannot_listen"
    assert line["reason"] == f"cannot listen on 127.0.0.1:{port}: already in use"


@pytest.mark.parametrize("mode", ["serves", "dies_early"])
def test_a_task_that_dies_ends_the_process_with_exit_code_1(start: Callable[..., Process], mode: str) -> None:
    process = start(mode)
    if mode == "serves":
        httpx.get(f"{process.url()}/die")
    assert process.ends() == 1
    assert process.line("task_died")["reason"] == "ValueError: lost the spool"
    assert process.events()[-2:] == ["flushed", "stopped_by_task_death"]


def test_an_app_that_cannot_start_says_why_and_exits_with_1(start: Callable[..., Process]) -> None:
    process = start("broken")
    assert process.ends() == 1
    assert process.line("stopped_by_error")["reason"] == "RuntimeError: bad bundle folder"


def test_a_connection_stays_usable_after_a_413(start: Callable[..., Process]) -> None:
    url = start().url()
    with httpx.Client(base_url=url) as client:
        for content in (b"x" * 500_000, iter([b"x" * 400_000] * 5)):
            refused = client.post("/raw", content=content)
            assert refused.status_code == 413
            assert refused.json()["error"]["code"] == "payload_too_large"
            stream = refused.extensions["network_stream"]
            accepted = client.post("/raw", content=b"x" * 1000)
            assert accepted.json()["data"] == 1000
            assert accepted.extensions["network_stream"] is stream


def test_a_client_that_asks_before_sending_has_its_connection_closed(start: Callable[..., Process]) -> None:
    host, port = start().url().removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\nExpect: 100-continue\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
