"""`inapp bundle`: what stands in Redis for the edges."""

import asyncio
import json
from typing import Any

import typer
from redis.exceptions import RedisError
from rich.markup import escape
from rich.table import Table

from compiler.publish import UnreadableOrgError, read_org
from inapp.console import fail, out
from inapp.database import redis_url
from inapp.options import DEFAULT_DATA_DIR, DataDir, OrgId
from service.connect import redis_client
from wire import times
from wire.bundle import EVERYONE, Bundle, CompiledMessage, Manifest

app = typer.Typer(help="Look at what the edges load.", no_args_is_help=True)


@app.command()
def inspect(org_id: OrgId, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show an org's manifest and bundles as an edge would load them now."""

    async def load() -> tuple[Manifest, dict[str, Bundle]]:
        async with redis_client(redis_url(data_dir)) as redis:
            return await read_org(redis, org_id)

    try:
        manifest, bundles = asyncio.run(load())
    except UnreadableOrgError as error:
        fail(f"{error}. Is the compiler running?")
    except (RedisError, OSError) as error:
        fail(f"Redis does not answer: {error}")
    out.print(_manifest(manifest))
    for audience_id, bundle in bundles.items():
        for line in _bundle(bundle, manifest.bundles[audience_id]):
            out.print(line)


def _manifest(manifest: Manifest) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("Version", f"{manifest.version}  [dim]generation.epoch.revision[/]")
    table.add_row("Messages", str(manifest.message_count))
    table.add_row("Bundles", str(len(manifest.bundles)))
    table.add_row("Features", f"{len(manifest.features)}  [dim]kinds of events that its audiences count[/]")
    table.add_row("Public keys", str(len(manifest.keys)))
    table.add_row("Identity tokens", "required" if manifest.settings.require_identity_token else "not required")
    return table


def _bundle(bundle: Bundle, sha: str) -> list[str]:
    audience = "everyone" if bundle.audience_id == EVERYONE else f"audience {bundle.audience_id}"
    lines = [f"\n[bold]{audience}[/]  [dim]{sha[:12]}[/]"]
    if bundle.audience_id != EVERYONE:
        rule = "static list" if bundle.rule is None else json.dumps(bundle.rule)
        lines.append(f"  [cyan]{escape(rule)}[/]")
    return lines + [_message(message) for message in bundle.messages]


def _message(message: CompiledMessage) -> str:
    content: dict[str, Any] = json.loads(message.json)["content"]
    title = escape(content.get("title") or content["body"][:40])
    parts = [
        f"  {message.priority:>3}  {escape(message.slot)}  [bold]{title}[/]",
        f"[dim]{message.id} v{message.version}[/]",
    ]
    if message.starts_ms is not None:
        parts.append(f"from {times.to_iso(message.starts_ms)}")
    if message.ends_ms is not None:
        parts.append(f"until {times.to_iso(message.ends_ms)}")
    if message.trigger:
        parts.append("trigger " + ", ".join(name for name, value in message.trigger.items() if value))
    if message.cap is not None:
        parts.append("capped")
    return "  ".join(parts)
