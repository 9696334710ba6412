"""The `inapp` command."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from inapp import bundle_commands, key_commands, org_commands, process_commands
from inapp.children import ChildError
from inapp.console import fail, out, step
from inapp.database import database_url
from inapp.embedded import EmbeddedServerError
from inapp.local import Local, LocalError
from inapp.options import DEFAULT_DATA_DIR, DataDir
from store import migrate

app = typer.Typer(
    help="In-app messages chosen by a server-side rule engine and delivered from the edge.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(org_commands.app, name="org")
app.add_typer(key_commands.app, name="key")
app.add_typer(bundle_commands.app, name="bundle")

AdminPort = Annotated[int, typer.Option(help="Port of the admin API; 0: any free one.")]
EdgePort = Annotated[int, typer.Option(help="Port of the edge; 0: any free one.")]


@app.command()
def up(
    admin_port: AdminPort = 8700,
    edge_port: EdgePort = 8701,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    ready_file: Annotated[
        Path | None, typer.Option(help="Gets the URLs as JSON once everything is ready.", dir_okay=False)
    ] = None,
) -> None:
    """Run everything on this machine: Postgres, Redis, admin, compiler, recorder and edge."""
    with running(Local(data_dir.resolve(), admin_port, edge_port)) as local:
        if ready_file is not None:
            local.write_ready(ready_file)
        out.print(f"\n  Admin API  {local.addresses.admin}/docs\n  Edge       {local.addresses.edge}/docs")
        out.print(f'\nNext: [bold]inapp org create "Acme"[/] in another terminal. Logs: {local.data_dir}/logs')
        out.print("Ctrl-C stops everything.\n")
        local.watch()


@app.command()
def demo(
    admin_port: AdminPort = 8700,
    edge_port: EdgePort = 8701,
    host_port: Annotated[int, typer.Option(help="Port of the page that shows messages; 0: any free one.")] = 8704,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    ready_file: Annotated[
        Path | None, typer.Option(help="Gets the URLs and keys as JSON once everything is ready.", dir_okay=False)
    ] = None,
) -> None:
    """Run everything with a seeded org and a page in which its messages appear."""
    from inapp.demo.run import run_demo  # noqa: PLC0415 - only this command needs it

    with running(Local(data_dir.resolve(), admin_port, edge_port)) as local:
        run_demo(local, host_port, ready_file)


@app.command("migrate")
def migrate_command(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Bring the database (DATABASE_URL) to the current schema."""
    with step("Database schema"):
        migrate.upgrade(database_url(data_dir))


process_commands.add_to(app)


@contextmanager
def running(local: Local) -> Iterator[Local]:
    """`Local`, ended by Ctrl-C and SIGTERM alike, with what can go wrong while it starts said in one line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ready = False
    try:
        with local:
            ready = True
            yield local
    except (LocalError, ChildError, EmbeddedServerError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        if not ready:
            raise typer.Exit(130) from None
