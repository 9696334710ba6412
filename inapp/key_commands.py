"""`inapp key`: making, listing and revoking an org's API keys."""

import json
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audit.service import Actor
from admin.keys import service
from admin.keys.schemas import CreatedKey
from admin.orgs.service import get_org
from inapp.console import out
from inapp.database import in_transaction
from inapp.options import DEFAULT_DATA_DIR, AsJson, DataDir, OrgId
from service.clock import wall_now_ms

_TABLE_WIDTH = 150
"""Ids are there to be copied: a narrow terminal wraps the lines, it must not cut them."""

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
    table = Table("Id", "Name", "Kind", "Env", "Role", "Ends with", "Made", "Revoked", box=None, width=_TABLE_WIDTH)
    for key in listed:
        made, revoked = key.created_at[:10], (key.revoked_at or "")[:10]
        table.add_row(str(key.id), escape(key.name), key.kind, key.env, key.role or "", f"…{key.hint}", made, revoked)
    out.print(table, crop=False)


@app.command()
def revoke(
    org_id: OrgId,
    key_id: Annotated[UUID, typer.Argument(metavar="KEY", help="The key's id, as `inapp key list` shows it.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Revoke a key: it is refused from then on, on the edge within a second."""
    key = in_transaction(
        data_dir, lambda connection: service.revoke_key(connection, Actor.cli(org_id), key_id, wall_now_ms())
    )
    out.print(f"Revoked {escape(key.name)} (…{key.hint}).")
