"""The four processes, started as four, and the calls that people and SDKs make to them."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from inapp.embedded.ports import free_port
from tests.support.polling import eventually
from tests.support.processes import Process, Processes

NAMES = ("admin", "compiler", "recorder", "edge")


@dataclass(frozen=True, slots=True)
class Org:
    org_id: str
    secret_key: str
    public_key: str


@dataclass(slots=True)
class Loop:
    """Four running processes on one database and one Redis."""

    processes: Processes
    environment: Mapping[str, str]
    data_dir: Path
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in NAMES})
    running: dict[str, Process] = field(default_factory=dict)

    def start(self) -> None:
        """All four, ready."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        for name in NAMES:
            self.launch_one(name)

    def launch_one(self, name: str) -> None:
        own = {"INAPP_PORT": str(self.ports[name]), "INAPP_EDGE_DIR": str(self.data_dir / name)}
        self.running[name] = self.processes.start(name, env={**self.environment, **own})

    def wait_ready(self) -> None:
        for name, process in self.running.items():
            process.wait_ready(self.url(name))

    def all_run(self) -> bool:
        return all(process.popen.poll() is None for process in self.running.values())

    def wait_answering(self, name: str) -> None:
        """Until it answers at all, ready or not."""
        eventually(lambda: answers(f"{self.url(name)}/healthz"), timeout=30)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Without the process inside the block. It always goes on after it: SIGTERM cannot end one that is frozen."""
        process = self.running[name].popen
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def create_org(self, name: str = "Acme") -> Org:
        made = json.loads(self.command("org", "create", name, "--json"))
        return Org(made["orgId"], made["secretKey"], made["publicKey"])

    def command(self, *arguments: str) -> str:
        """What a command of ours prints; it must succeed."""
        process = self.processes.start(*arguments, env=self.environment)
        assert process.wait() == 0, process.output
        return process.output

    def admin(self, org: Org, method: str, path: str, body: object = None, *, key: str | None = None) -> httpx.Response:
        """`path` below the org's own URL."""
        return httpx.request(
            method,
            f"{self.url('admin')}/api/v1/orgs/{org.org_id}{path}",
            json=body,
            headers={"X-API-Key": key or org.secret_key},
        )

    def post_message(self, org: Org, **fields: Any) -> dict[str, Any]:
        """A banner, published, unless the fields say otherwise."""
        body: dict[str, Any] = {"type": "banner", "content": {"title": "Hello", "body": "World"}} | fields
        answer = self.admin(org, "POST", "/in-app-messages", body)
        assert answer.status_code == 201, answer.text
        message: dict[str, Any] = answer.json()["data"]
        return message

    def edge(self, path: str, body: Mapping[str, Any], org: Org | None = None) -> httpx.Response:
        """As the web SDK does: text/plain with the key in the body."""
        content = dict(body) if org is None else {"apiKey": org.public_key, **body}
        url = f"{self.url('edge')}/api/v1/{path}"
        return httpx.post(url, json=content, headers={"Content-Type": "text/plain"})

    def fetch(self, org: Org, **fields: Any) -> dict[str, Any]:
        answer = self.edge("in-app-messages/fetch", {"userId": "ada", **fields}, org)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def fetched_ids(self, org: Org, **fields: Any) -> list[str]:
        return [message["id"] for message in self.fetch(org, **fields)["messages"]]

    def wait_visible(self, org: Org, message: Mapping[str, Any], *, timeout: float = 5.0, **fields: Any) -> None:
        eventually(lambda: message["id"] in self.fetched_ids(org, **fields), timeout)

    def wait_gone(self, org: Org, message: Mapping[str, Any], *, timeout: float = 5.0, **fields: Any) -> None:
        eventually(lambda: message["id"] not in self.fetched_ids(org, **fields), timeout)

    def stats(self, org: Org) -> dict[str, Any]:
        answer = self.admin(org, "GET", "/in-app-messages/stats")
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data


def answers(url: str) -> bool:
    try:
        return bool(httpx.get(url).status_code)
    except httpx.TransportError:
        return False
