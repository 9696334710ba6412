"""Seeding the demo's org through the admin API. What is there already is left alone, so it may be run again."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from admin.orgs.schemas import Plan
from admin.orgs.service import create_org
from inapp.admin_client import AdminClient, AdminError
from inapp.console import step
from inapp.database import in_transaction
from inapp.demo import content
from service.clock import wall_now_ms

_ORG_NAME = "Acme Reports"
_PLAN: Plan = "pro"
_MOST = 200


@dataclass(frozen=True, slots=True)
class DemoOrg:
    """The seeded org and its keys, kept in the data folder so that the next run uses the same.

    `welcome_id`: the message that every customer gets; None until everything is seeded.
    """

    org_id: str
    secret_key: str
    public_key: str
    welcome_id: str | None = None


def demo_org(data_dir: Path, admin_url: str) -> DemoOrg:
    """The org of this data folder, made and filled where that has not been done. Raises AdminError."""
    kept = data_dir / "demo.json"
    org = _load(kept)
    if org is None or not _is_known(_client(admin_url, org)):
        org = _create(data_dir)
        _keep(kept, org)
    if org.welcome_id is None:
        with step(f"Seeding {content.CUSTOMERS} customers, audiences and messages"):
            org = replace(org, welcome_id=_seed(_client(admin_url, org)))
        _keep(kept, org)
    return org


def _client(admin_url: str, org: DemoOrg) -> AdminClient:
    return AdminClient(f"{admin_url}/api/v1/orgs/{org.org_id}", org.secret_key)


def _is_known(client: AdminClient) -> bool:
    """Whether the database still has the org: its data may have been removed, or DATABASE_URL changed."""
    try:
        client.call("GET", "")
    except AdminError:
        return False
    return True


def _create(data_dir: Path) -> DemoOrg:
    made = in_transaction(data_dir, lambda connection: create_org(connection, _ORG_NAME, _PLAN, wall_now_ms()))
    return DemoOrg(str(made.org_id), made.secret_key, made.public_key)


def _load(kept: Path) -> DemoOrg | None:
    try:
        return DemoOrg(**json.loads(kept.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _keep(kept: Path, org: DemoOrg) -> None:
    """Only for our eyes: it has a secret key."""
    kept.touch(mode=0o600)
    kept.write_text(json.dumps(asdict(org)))


def _seed(client: AdminClient) -> str:
    """Returns the id of the message that everybody gets."""
    known = _ids_by_name(client, "/audiences")
    for audience in content.AUDIENCES:
        if audience["name"] not in known:
            known[audience["name"]] = client.call("POST", "/audiences", audience)["id"]
    client.call("POST", "/customers/bulk", {"customers": content.customers()})
    client.call("POST", f"/audiences/{known[content.BETA_TESTERS]}/members", {"add": list(content.BETA_USER_IDS)})
    there = _ids_by_name(client, "/in-app-messages")
    for message in content.messages(known, datetime.now(UTC)):
        if message["name"] not in there:
            there[message["name"]] = client.call("POST", "/in-app-messages", message)["id"]
    return there[content.WELCOME]


def _ids_by_name(client: AdminClient, path: str) -> dict[str, str]:
    return {item["name"]: item["id"] for item in client.call("GET", f"{path}?limit={_MOST}")["items"]}
