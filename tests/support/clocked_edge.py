"""An edge whose clock is the number of milliseconds in a file: `python -m tests.support.clocked_edge FILE`."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from edge.app import create_app
from edge.settings import EdgeSettings
from inapp.embedded.ports import free_port
from service.serve import serve
from service.settings import load_settings
from tests.support.loop import Loop, Org
from tests.support.processes import Process

_COMMAND = (sys.executable, "-m", "tests.support.clocked_edge")
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class ClockedEdge:
    """Such an edge as a process beside those of a loop. Its clock stands still until it is set."""

    process: Process
    url: str
    clock: Path

    def set_clock(self, now_ms: int) -> None:
        self.clock.write_text(str(now_ms))

    def post(self, org: Org, path: str, **body: Any) -> dict[str, Any]:
        content: Mapping[str, Any] = {"apiKey": org.public_key, **body}
        answer = httpx.post(f"{self.url}/api/v1/{path}", json=content, headers={"Content-Type": "text/plain"})
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def fetch(self, org: Org, **who: Any) -> dict[str, Any]:
        return self.post(org, "in-app-messages/fetch", **who)

    def fetched_ids(self, org: Org, **who: Any) -> list[str]:
        return [message["id"] for message in self.fetch(org, **who)["messages"]]

    def track(self, org: Org, event_type: str, **who: Any) -> None:
        assert self.post(org, "events", eventType=event_type, **who) == {"accepted": 1, "rejected": []}


def start_clocked_edge(loop: Loop, folder: Path, now_ms: int) -> ClockedEdge:
    """Ready when it returns; the loop's processes are stopped, and this one with them, by their owner."""
    port, clock = free_port(), folder / "clock"
    clock.write_text(str(now_ms))
    own = {"INAPP_PORT": str(port), "INAPP_EDGE_DIR": str(folder / "edge"), "PYTHONPATH": str(_ROOT)}
    process = loop.processes.start(str(clock), env={**loop.environment, **own}, name="clocked-edge", command=_COMMAND)
    edge = ClockedEdge(process, f"http://127.0.0.1:{port}", clock)
    process.wait_ready(edge.url)
    return edge


def main(clock: Path) -> None:
    settings = load_settings(EdgeSettings)
    app = create_app(settings, lambda: int(clock.read_text()))
    serve(app, host=settings.host, port=settings.port, name="edge")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
