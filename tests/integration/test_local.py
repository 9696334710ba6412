"""Everything on one machine: what is started is stopped, and what dies comes back."""

import json
import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from inapp.embedded import EmbeddedRedis
from inapp.embedded.processes import command_line, read_pid
from inapp.local import Local, LocalError
from tests.support.polling import eventually
from tests.support.processes import Process, Processes


def up(processes: Processes, data_dir: Path, *options: str) -> Process:
    ports = options or ("--admin-port", "0", "--edge-port", "0")
    return processes.start("up", *ports, "--data-dir", str(data_dir / "up"), "--ready-file", str(data_dir / "ready"))


def running_on(data_dir: Path) -> list[str]:
    """The command lines that name the folder, but for the tests' own."""
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(data_dir / "up") in line and "pytest" not in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_servers_start_leaves_nothing_running(
    number: signal.Signals, processes: Processes, data_dir: Path
) -> None:
    process = up(processes, data_dir)
    eventually((data_dir / "up" / "redis" / "lock").exists)
    process.popen.send_signal(number)
    assert process.wait(30) == 130, process.output
    assert "Traceback" not in process.output
    assert running_on(data_dir) == []


def test_a_killed_redis_and_a_killed_process_come_back(processes: Processes, data_dir: Path) -> None:
    process = up(processes, data_dir)
    eventually((data_dir / "ready").exists, timeout=60)
    redis = EmbeddedRedis(data_dir / "up" / "redis")
    killed = read_pid(redis.pid_file())
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: (pid := read_pid(redis.pid_file())) not in (None, killed) and command_line(pid or 0))
    edge = read_pid(data_dir / "up" / "logs" / "edge.pid")
    assert edge is not None
    os.kill(edge, signal.SIGKILL)
    eventually(lambda: "edge ended with code -9" in process.output)
    eventually(lambda: answers_ready(ready_edge(data_dir)), timeout=30)
    assert process.stop() == 0, process.output
    assert running_on(data_dir) == []


def ready_edge(data_dir: Path) -> str:
    return str(json.loads((data_dir / "ready").read_text())["edge"])


def answers_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_one_port_cannot_be_given_twice(data_dir: Path) -> None:
    with pytest.raises(LocalError, match="different ports"), Local(data_dir / "up", 25_999, 25_999):
        pass
