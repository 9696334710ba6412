"""`inapp admin|compiler|edge|recorder`: one process each, configured by the environment."""

from typing import TypeVar

import typer
from rich.markup import escape

from inapp.console import err
from service.logs import configure_logs
from service.settings import InvalidSettingsError, ProcessSettings, load_settings

S = TypeVar("S", bound=ProcessSettings)


def admin() -> None:
    """Run the authoring API (DATABASE_URL; INAPP_HOST, INAPP_PORT)."""
    from admin.app import AdminSettings, run  # noqa: PLC0415 - a process loads only itself

    run(_settings(AdminSettings, "admin"))


def compiler() -> None:
    """Run the process that turns messages into bundles (DATABASE_URL, REDIS_URL)."""
    from compiler.app import CompilerSettings, run  # noqa: PLC0415

    run(_settings(CompilerSettings, "compiler"))


def edge() -> None:
    """Run the tier that SDKs talk to (REDIS_URL; INAPP_EDGE_DIR for its spool and last good bundles)."""
    from edge.app import EdgeSettings, run  # noqa: PLC0415

    run(_settings(EdgeSettings, "edge"))


def recorder() -> None:
    """Run the process that writes events to Postgres exactly once (DATABASE_URL, REDIS_URL)."""
    from recorder.app import RecorderSettings, run  # noqa: PLC0415

    run(_settings(RecorderSettings, "recorder"))


def add_to(app: typer.Typer) -> None:
    for command in (admin, compiler, edge, recorder):
        app.command()(command)


def _settings(settings: type[S], process: str) -> S:
    try:
        loaded = load_settings(settings)
    except InvalidSettingsError as error:
        for problem in error.problems:
            err.print(f"[bold red]✗[/] {escape(problem)}")
        raise typer.Exit(1) from None
    configure_logs(process, loaded.log_level)
    return loaded
