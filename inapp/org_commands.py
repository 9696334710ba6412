"""`inapp org`: making orgs and setting their plans."""

import json
from typing import Annotated, cast

import typer
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.markup import escape

from admin.orgs import service
from admin.orgs.schemas import Plan
from inapp.console import fail, out
from inapp.database import in_transaction
from inapp.options import DEFAULT_DATA_DIR, AsJson, DataDir, OrgId
from service.clock import wall_now_ms
from service.settings import ENV_PREFIX, InvalidSettingsError, load_settings

app = typer.Typer(help="Make orgs and set their plans.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make an org with its first two keys, whose texts are shown this once."""
    plan = _default_plan()
    made = in_transaction(data_dir, lambda connection: service.create_org(connection, name, plan, wall_now_ms()))
    if as_json:
        fields = {"orgId": str(made.org_id), "secretKey": made.secret_key, "publicKey": made.public_key}
        typer.echo(json.dumps(fields))
        return
    out.print(f"Org          {made.org_id}  [dim]{plan} plan[/]")
    out.print(f"Secret key   {made.secret_key}  [dim]for the admin API, keep it on servers[/]")
    out.print(f"Public key   {made.public_key}  [dim]for apps[/]")
    out.print("\n[yellow]Keep the keys now: their texts are stored nowhere and cannot be shown again.[/]")


@app.command()
def plan(
    org_id: OrgId,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="free, starter or pro.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Set an org's plan. On free, messages cannot be written; what is live keeps serving."""
    changed = in_transaction(
        data_dir, lambda connection: service.set_plan(connection, org_id, cast(Plan, plan), wall_now_ms())
    )
    out.print(f"{escape(changed.name)} is on the {changed.plan} plan.")


class NewOrgSettings(BaseSettings):
    """INAPP_DEFAULT_PLAN: the plan that a new org gets."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_ignore_empty=True, hide_input_in_errors=True)

    default_plan: Plan = "starter"


def _default_plan() -> Plan:
    try:
        return load_settings(NewOrgSettings).default_plan
    except InvalidSettingsError as error:
        fail(str(error))
