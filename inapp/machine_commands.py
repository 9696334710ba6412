"""`inapp up`, `demo`, `migrate` and `remove`: everything on this machine."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from inapp.children import ChildError
from inapp.console import fail, out, step
from inapp.database import database_url, reaching_database
from inapp.embedded import EmbeddedServerError
from inapp.local import STOP_SIGNALS, Local, LocalError, remove
from inapp.options import DEFAULT_DATA_DIR, DataDir
from inapp.ready import write_ready
from store import migrate

app = typer.Typer()


def _in_a_folder(path: Path | None) -> Path | None:
    """Said before anything is started, not after."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.absolute().parent}")
    return path


AdminPort = Annotated[int, typer.Option(help="Port of the admin API; 0: any free one.", min=0, max=65535)]
EdgePort = Annotated[int, typer.Option(help="Port of the edge; 0: any free one.", min=0, max=65535)]
PagePort = Annotated[int, typer.Option(help="Port of the page with messages; 0: any free one.", min=0, max=65535)]
ReadyFile = Annotated[
    Path | None,
    typer.Option(help="Gets the URLs (and the demo's keys) as JSON once everything is ready.", callback=_in_a_folder),
]


@app.command()
def up(
    admin_port: AdminPort = 8700,
    edge_port: EdgePort = 8701,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    ready_file: ReadyFile = None,
) -> None:
    """Run everything on this machine: Postgres, Redis, admin, compiler, recorder and edge."""
    with running(Local(data_dir.resolve(), admin_port, edge_port)) as local:
        if ready_file is not None:
            write_ready(ready_file, local.addresses.as_fields())
        out.print(f"\n  Admin API  {local.addresses.admin}/docs\n  Edge       {local.addresses.edge}/docs")
        out.print(
            f'\nNext: [bold]inapp org create "Acme"[/] in another terminal. Logs: {escape(str(local.data_dir))}/logs'
        )
        out.print("Ctrl-C stops everything.\n")
        local.watch()


@app.command()
def demo(
    admin_port: AdminPort = 8700,
    edge_port: EdgePort = 8701,
    host_port: PagePort = 8704,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    ready_file: ReadyFile = None,
) -> None:
    """Run everything with a seeded org and a page in which its messages appear."""
    from inapp.demo.run import run_demo  # noqa: PLC0415 - only this command needs it

    with running(Local(data_dir.resolve(), admin_port, edge_port, host_port)) as local:
        run_demo(local, ready_file)


@app.command("migrate")
def migrate_command(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Bring the database (DATABASE_URL) to the current schema."""
    url = database_url(data_dir)
    with step("Database schema"), reaching_database():
        migrate.upgrade(url)


@app.command("remove")
def remove_command(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove all that `up` or `demo` kept in the data folder: messages, customers, events, keys."""
    if not yes:
        typer.confirm(f"Remove everything in {data_dir.resolve()}?", abort=True)
    try:
        remove(data_dir.resolve())
    except (LocalError, EmbeddedServerError) as error:
        fail(str(error))


@contextmanager
def running(local: Local) -> Iterator[Local]:
    """`Local`, ended by Ctrl-C, SIGTERM and a closed terminal alike; what goes wrong is said in one line."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
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
