"""`inapp demo`: what happens once everything runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from inapp.admin_client import AdminError
from inapp.console import fail, out
from inapp.demo import content
from inapp.demo.host import HostConfig, HostUser, create_host_app
from inapp.demo.seed import DemoOrg, demo_org
from inapp.embedded.ports import HOST
from inapp.local import Local
from inapp.ready import Addresses, write_ready


def run_demo(local: Local, ready_file: Path | None) -> None:
    """Seeds, serves the host page, prints what to do, and watches until Ctrl-C."""
    try:
        org = demo_org(local.data_dir, local.addresses.admin)
    except AdminError as error:
        fail(f"Seeding failed: {error}")
    page = f"http://localhost:{local.page_port}"
    with _served(_host_config(local.addresses, org), local.page_port):
        _print_tour(local.addresses, org, page)
        if ready_file is not None:
            keys = {"orgId": org.org_id, "secretKey": org.secret_key, "publicKey": org.public_key}
            write_ready(ready_file, {**local.addresses.as_fields(), "page": page, **keys})
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


def _print_tour(addresses: Addresses, org: DemoOrg, page: str) -> None:
    out.print(f"\n[bold]The page with messages   [link={page}]{page}[/link][/]")
    out.print(f"Admin API                {addresses.admin}/docs")
    out.print(f"Edge API                 {addresses.edge}/docs")
    out.print("\n[bold]Step by step, in another terminal[/]")
    for title, command in _steps(addresses, org):
        out.print(f"\n[cyan]# {title}[/]")
        out.print(command, markup=False)
    out.print("\nCtrl-C stops everything; the next start keeps the data.\n")


def _steps(addresses: Addresses, org: DemoOrg) -> list[tuple[str, str]]:
    names = (
        f"ORG={org.org_id}",
        f"ADMIN={addresses.admin}/api/v1/orgs/$ORG",
        f"EDGE={addresses.edge}/api/v1",
        f"SECRET={org.secret_key}",
        f"PUBLIC={org.public_key}",
        f"MESSAGE={org.welcome_id}",
    )
    headers = '-H "X-API-Key: $SECRET" -H "Content-Type: application/json"'
    ada = """-d '{"apiKey":"'$PUBLIC'","userId":"ada"}'"""
    message = '{"type":"banner","content":{"title":"Hello","body":"From my terminal"},"priority":90}'
    return [
        ("Where it is. The secret key is for servers, the public key for apps", "\n".join(names)),
        ("Write a message; it is live at once", f"curl -s $ADMIN/in-app-messages {headers} -d '{message}'"),
        ("What does Ada get?", f"curl -s $EDGE/in-app-messages/fetch {ada}"),
        ("She saw one of them", f"curl -s $EDGE/in-app-messages/$MESSAGE/impressions {ada}"),
        ("She clicked it", f"curl -s $EDGE/in-app-messages/$MESSAGE/clicks {ada}"),
        ("A moment later: count", f"curl -s $ADMIN/in-app-messages/stats {headers}"),
    ]
