"""Logs are read by more people than may know an org's secrets."""

import hashlib
import hmac
import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from inapp.embedded import EmbeddedPostgres, EmbeddedRedis
from inapp.embedded.processes import read_pid
from tests.support.polling import eventually
from tests.support.processes import Process, Processes


def test_nothing_that_is_printed_has_a_secret_in_it_whatever_happens(processes: Processes, data_dir: Path) -> None:
    place, ready_file = data_dir / "up", data_dir / "ready.json"
    up = start(processes, place, ready_file)
    ready = json.loads(ready_file.read_text())
    create = processes.start("org", "create", "Acme", "--json", "--data-dir", str(place))
    assert create.wait() == 0, create.output
    org = json.loads(create.output)
    identity_secret = use(ready, org)
    eventually(lambda: "org_published" in printed(up, place))

    for server in (EmbeddedPostgres(place / "postgres"), EmbeddedRedis(place / "redis")):
        pid = read_pid(server.pid_file())
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    # Answered or not: `up` is about to bring the servers back.
    httpx.get(admin_url(ready, org), headers={"X-API-Key": org["secretKey"]}, timeout=20)
    for name in ("compiler", "recorder", "edge"):
        eventually(lambda name=name: "retry" in (place / "logs" / f"{name}.log").read_text())  # type: ignore[misc]
    up.stop()

    logs = printed(up, place)
    password = (place / "postgres" / "password").read_text().strip()
    assert password in ready["databaseUrl"]
    assert org["orgId"] in logs
    for secret in (org["secretKey"], org["secretKey"][-32:], password, identity_secret):
        assert [line for line in logs.splitlines() if secret in line] == []


def start(processes: Processes, place: Path, ready_file: Path) -> Process:
    options = ("--admin-port", "0", "--edge-port", "0", "--data-dir", str(place), "--ready-file", str(ready_file))
    up = processes.start("up", *options, env={"INAPP_LOG_LEVEL": "debug"})

    def ready() -> bool:
        assert up.popen.poll() is None or pytest.fail(up.output)
        return ready_file.exists()

    eventually(ready, timeout=90)
    return up


def printed(up: Process, place: Path) -> str:
    """By `inapp up`, the four processes and the servers."""
    logs = sorted(place.rglob("*.log"))
    assert {"admin", "compiler", "recorder", "edge"} <= {log.stem for log in logs}
    return "\n".join([up.output, *(log.read_text(errors="replace") for log in logs)])


def use(ready: dict[str, str], org: dict[str, str]) -> str:
    """Calls, good and bad, in which every secret is sent; returns the org's identity secret."""
    with httpx.Client(headers={"X-API-Key": org["secretKey"]}) as admin:
        url = admin_url(ready, org)
        identity_secret: str = admin.post(f"{url}/identity-secret").json()["data"]["identitySecret"]
        assert admin.patch(url, json={"requireIdentityToken": True}).status_code == 200
        message = {"type": "banner", "content": {"body": "Hello"}}
        assert admin.post(f"{url}/in-app-messages", json=message).status_code == 201
        assert admin.patch(url, json={"identitySecret": identity_secret}).status_code == 422
        assert admin.post(f"{url}/in-app-messages?key={org['secretKey']}", json={}).status_code == 422

    def fetch(**body: Any) -> int:
        return httpx.post(f"{ready['edge']}/api/v1/in-app-messages/fetch", json=body).status_code

    token = hmac.new(identity_secret.encode(), b"ada", hashlib.sha256).hexdigest()
    ada = {"apiKey": org["publicKey"], "userId": "ada"}
    eventually(lambda: fetch(**ada, identityToken=token) == 200)
    eventually(lambda: fetch(**ada, identityToken=identity_secret) in (401, 403))
    assert fetch(apiKey=org["secretKey"], userId="ada") == 403
    return identity_secret


def admin_url(ready: dict[str, str], org: dict[str, str]) -> str:
    return f"{ready['admin']}/api/v1/orgs/{org['orgId']}"
