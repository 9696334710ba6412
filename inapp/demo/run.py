"""`inapp demo`: what happens once everything runs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from rich.markup import escape

from inapp.console import fail, out
from inapp.demo import content
from inapp.demo.host import HostConfig, HostUser, create_host_app
from inapp.demo.http import SeedError
from inapp.demo.seed import DemoOrg, demo_org
from inapp.embedded.ports import HOST, free_port, is_free
from inapp.local import Addresses, Local, LocalError


def run_demo(local: Local, host_port: int, ready_file: Path | None) -> None:
    """Seeds, serves the host page, prints what to do, and watches until Ctrl-C."""
    port = host_port or free_port()
    if not is_free(port):
        raise LocalError(f"Port {port} is in use. Choose another one with --host-port.")
    try:
        org = demo_org(local.data_dir, local.addresses.admin)
    except SeedError as error:
        fail(f"Seeding failed: {error}")
    page = f"http://localhost:{port}"
    with _served(_host_config(local.addresses, org), port):
        if ready_file is not None:
            _write_ready(ready_file, local.addresses, org, page)
        _print_tour(local.addresses, org, page)
        local.watch()


def _host_config(addresses: Addresses, org: DemoOrg) -> HostConfig:
    stars = [HostUser(user_id, str(traits["name"]), traits) for user_id, traits in content.STARS.items()]
    return HostConfig(addresses.edge, org.public_key, org.org_id, addresses.admin, stars)


@contextmanager
def _served(config: HostConfig, port: int) -> Iterator[None]:
    """The host page, from a thread: a few static files need no process of their own."""
    server = uvicorn.Server(uvicorn.Config(create_host_app(config), host=HOST, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, name="host-page", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(5)


def _write_ready(path: Path, addresses: Addresses, org: DemoOrg, page: str) -> None:
    fields = json.loads(addresses.as_json())
    fields |= {"page": page, "orgId": org.org_id, "secretKey": org.secret_key, "publicKey": org.public_key}
    part = path.with_name(path.name + ".part")
    part.touch(mode=0o600)
    part.write_text(json.dumps(fields))
    part.replace(path)


def _print_tour(addresses: Addresses, org: DemoOrg, page: str) -> None:
    api = f"{addresses.admin}/api/v1/orgs/{org.org_id}"
    edge = f"{addresses.edge}/api/v1"
    out.print(
        f"""
[bold]The page with messages   [link={page}]{page}[/link][/]
Admin API                {addresses.admin}/docs
Edge API                 {addresses.edge}/docs

Org          {org.org_id}
Secret key   {org.secret_key}   [dim]for the admin API, keep it on servers[/]
Public key   {org.public_key}   [dim]for apps[/]

[bold]Step by step, in another terminal[/]"""
    )
    for title, command in _steps(api, edge, org):
        out.print(f"\n[cyan]# {title}[/]")
        out.print(escape(command))
    out.print("\nCtrl-C stops everything; the next start keeps the data.\n")


def _steps(api: str, edge: str, org: DemoOrg) -> list[tuple[str, str]]:
    secret = f"-H 'X-API-Key: {org.secret_key}' -H 'Content-Type: application/json'"
    public = f'"apiKey":"{org.public_key}","userId":"ada"'
    message = '{"type":"banner","content":{"title":"Hello","body":"From my terminal"},"priority":90}'
    return [
        ("Write a message; it is live at once", f"curl -s {api}/in-app-messages {secret} -d '{message}'"),
        ("What does Ada get? (take an id from here)", f"curl -s {edge}/in-app-messages/fetch -d '{{{public}}}'"),
        ("She saw it", f"curl -s {edge}/in-app-messages/MESSAGE_ID/impressions -d '{{{public}}}'"),
        ("She clicked it", f"curl -s {edge}/in-app-messages/MESSAGE_ID/clicks -d '{{{public}}}'"),
        ("Count", f"curl -s {api}/in-app-messages/stats {secret}"),
    ]
