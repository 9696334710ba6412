"""`inapp admin|compiler|edge|recorder`: one process each, configured by the environment."""

from typing import Annotated, NoReturn, TypeVar

import typer

from service.logs import configure_logs
from service.settings import InvalidSettingsError, ProcessSettings, load_settings

S = TypeVar("S", bound=ProcessSettings)

app = typer.Typer()


@app.command()
def admin() -> None:
    """Run the authoring API (DATABASE_URL; INAPP_HOST, INAPP_PORT)."""
    from admin.app import AdminSettings, run  # noqa: PLC0415 - a process loads only itself

    run(_settings(AdminSettings, "admin"))


@app.command()
def compiler() -> None:
    """Run the process that turns messages into bundles (DATABASE_URL, REDIS_URL)."""
    from compiler.app import CompilerSettings, run  # noqa: PLC0415

    run(_settings(CompilerSettings, "compiler"))


@app.command()
def edge(
    workers: Annotated[
        int | None, typer.Option(help="Processes that serve the port together (INAPP_WORKERS).", min=1, max=64)
    ] = None,
) -> None:
    """Run the tier that SDKs talk to (REDIS_URL; INAPP_EDGE_DIR for its spool and last good bundles)."""
    from edge.settings import EdgeSettings  # noqa: PLC0415
    from edge.workers import run_alone, run_workers  # noqa: PLC0415

    settings = _settings(EdgeSettings, "edge")
    settings = settings.model_copy(update={"workers": workers or settings.workers})
    if settings.workers > 1:
        run_workers(settings)
    run_alone(settings)


@app.command()
def recorder() -> None:
    """Run the process that writes events to Postgres exactly once (DATABASE_URL, REDIS_URL)."""
    from recorder.app import RecorderSettings, run  # noqa: PLC0415

    run(_settings(RecorderSettings, "recorder"))


def _settings(settings: type[S], process: str) -> S:
    try:
        loaded = load_settings(settings)
    except InvalidSettingsError as error:
        _refuse(error)
    configure_logs(process, loaded.log_level)
    return loaded


def _refuse(error: InvalidSettingsError) -> NoReturn:
    from rich.markup import escape  # noqa: PLC0415 - nothing that runs for days shows anything on a terminal

    from inapp.console import err  # noqa: PLC0415

    for problem in error.problems:
        err.print(f"[bold red]✗[/] {escape(problem)}")
    raise typer.Exit(1) from None
