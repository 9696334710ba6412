"""`inapp key`: making, listing and revoking an org's API keys."""

import json
from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audit.service import Actor
from admin.keys import service
from admin.keys.schemas import CreatedKey, Key
from admin.orgs.service import get_org
from inapp.console import out, print_rows
from inapp.database import in_transaction
from inapp.options import DEFAULT_DATA_DIR, AsJson, DataDir, KeyId, OrgId
from service.clock import wall_now_ms

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command()
def create(
    org_id: OrgId,
    kind: Annotated[str, typer.Option(help="pk (public, for apps) or sk (secret, for the admin API).")],
    name: Annotated[str, typer.Option(help="What it is for.")],
    env: Annotated[str, typer.Option(help="prod, staging or dev.")] = "prod",
    role: Annotated[str | None, typer.Option(help="Of a secret key: admin, editor or viewer.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a key, whose text is shown this once."""

    async def work(connection: AsyncConnection) -> CreatedKey:
        await get_org(connection, org_id)
        fields: dict[str, Any] = {"kind": kind, "env": env, "name": name} | ({"role": role} if role else {})
        return await service.create_key(connection, Actor.cli(org_id), fields, wall_now_ms())

    key = in_transaction(data_dir, work)
    if as_json:
        typer.echo(json.dumps({"id": str(key.id), "key": key.key}))
        return
    out.print(f"{key.key}  [dim]id {key.id}[/]")
    out.print("[yellow]Keep it now: its text is stored nowhere and cannot be shown again.[/]")


@app.command("list")
def list_keys(org_id: OrgId, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List an org's keys, the revoked ones too."""
    listed = in_transaction(data_dir, lambda connection: service.list_keys(connection, org_id))
    print_rows(map(_row, listed), ("Id", "Name", "Kind", "Env", "Role", "Ends with", "Made", "Revoked"))


@app.command()
def revoke(
    org_id: OrgId,
    key_id: KeyId,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Revoke a key: it is refused from then on, on the edge within a second."""
    key = in_transaction(
        data_dir, lambda connection: service.revoke_key(connection, Actor.cli(org_id), key_id, wall_now_ms())
    )
    out.print(f"Revoked {escape(key.name)} (…{key.hint}).")


def _row(key: Key) -> tuple[str, ...]:
    made, revoked = key.created_at[:10], (key.revoked_at or "")[:10]
    return str(key.id), escape(key.name), key.kind, key.env, key.role or "", f"…{key.hint}", made, revoked
