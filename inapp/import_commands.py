"""`inapp import`: customers from a file."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from inapp.console import err, fail, out
from inapp.database import database_url, reaching_database
from inapp.imports.position import AlreadyImportedError, OvertakenError, Position, UnknownOrgError
from inapp.imports.progress_bar import ProgressBar
from inapp.imports.reading.check import Rejected, check
from inapp.imports.reading.lines import FileReadError, UnreadableFileError
from inapp.imports.reading.source import FileChangedError, Format, Source, format_of
from inapp.imports.report import Report, ReportError, ReportInUseError
from inapp.imports.run import Run, chunks
from inapp.imports.tally import TYPES, Tally
from inapp.options import DEFAULT_DATA_DIR, DataDir, read_id
from inapp.wording import counted
from store.connect import create_engine
from wire import times

INTERRUPTED = 130
SOME_REJECTED = 3
"""The exit code when all was done that can be, and some lines were bad."""

app = typer.Typer(help="Take in what other systems know.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """With a callback, `customers` stays a command of its own."""


@app.command()
def customers(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="One customer a line: NDJSON or CSV, in UTF-8.")],
    org_id: Annotated[
        UUID | None,
        typer.Option("--org", metavar="ORG", help="The org's id. Only a dry run goes without.", parser=read_id),
    ] = None,
    format_: Annotated[Format | None, typer.Option("--format", help="Where the file's name does not say it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and write nothing.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Gets the bad lines as NDJSON; FILE.rejected.ndjson unless given.", dir_okay=False),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Import anew a file that was imported before.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Set the traits of many customers. Stopped in between, the same command goes on where it was."""
    if org_id is None and not dry_run:
        raise typer.BadParameter("whose customers are these? Only --dry-run goes without.", param_hint="--org")
    with _complaining(), _opened(path) as file:
        source = Source(file, path.name, format_ or _format(path))
        if org_id is None or dry_run:
            _dry_run(source)
        else:
            _import(source, _report(path, report), org_id, again, database_url(data_dir))


def _import(source: Source, report: Report, org_id: UUID, again: bool, url: str) -> None:
    started_s = time.monotonic()
    with report, ProgressBar(source.size_bytes) as bar:
        bar.phase("Fingerprint")
        digest = source.digest(lambda byte: bar.at(byte, 0))
        run = Run(org_id, source, digest, report, again, bar)
        with reaching_database(), _saying_where(run):
            position = asyncio.run(_run(run, url))
    _say_done(position, report, bar.lines, time.monotonic() - started_s)


async def _run(run: Run, url: str) -> Position:
    postgres = create_engine(url, pool_size=1)
    try:
        return await run.whole(postgres)
    finally:
        await postgres.dispose()


def _say_done(position: Position, report: Report, lines: int, seconds: float) -> None:
    rate = f"[dim]{seconds:.1f} s, {lines / seconds:,.0f} lines/s[/]"
    out.print(f"[green]✓[/] {counted(position.accepted, 'line')} imported, {position.rejected:,} rejected  {rate}")
    if position.rejected:
        out.print(f"[yellow]![/] The rejected lines, each with its reason: {escape(str(report.path))}")
        raise typer.Exit(SOME_REJECTED)


@contextmanager
def _saying_where(run: Run) -> Iterator[None]:
    """Of what ends it in between, where it would go on."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(_stopped(run))
        raise typer.Exit(INTERRUPTED) from None
    except (OSError, DBAPIError, FileReadError, ReportError):
        err.print(_stopped(run))
        raise


def _stopped(run: Run) -> str:
    if run.handed_over:
        return "Every line is in the recorder's hands. It applies what is left when it runs; nothing is lost."
    if run.position is None:
        return "Stopped before the first line."
    return f"Stopped at line {run.position.next_line:,}. Run the same command again to go on there."


def _dry_run(source: Source) -> None:
    tally = Tally()
    with ProgressBar(source.size_bytes) as bar:
        bar.phase("Dry run")
        for chunk in chunks(source.records()):
            for record in chunk:
                tally.add(check(record))
            bar.at(chunk[-1].end_byte, len(chunk))
    for table in _tables(tally):
        out.print(table)
    for advice in tally.advice(source.columns or ()):
        out.print(f"[yellow]![/] {escape(advice)}")
    out.print(f"{counted(tally.good, 'good line')}, {counted(tally.bad.total(), 'bad one')}. Nothing was written.")
    if tally.bad:
        raise typer.Exit(SOME_REJECTED)


def _tables(tally: Tally) -> Iterator[Table]:
    if tally.traits:
        traits = Table("Trait", *(type_.capitalize() for type_ in TYPES), box=None)
        for name, types in tally.traits.items():
            traits.add_row(escape(name), *(f"{types[type_]:,}" if types[type_] else "" for type_ in TYPES))
        if tally.more_traits:
            traits.add_row("… and more")
        yield traits
    if tally.bad:
        bad = Table("Bad lines", "Code", "The first", box=None)
        for code, count in tally.bad.most_common():
            bad.add_row(f"{count:,}", code, escape(_first(tally.first[code])))
        yield bad


def _first(rejected: Rejected) -> str:
    pointer, _, message = rejected.problem
    return f"line {rejected.line:,}{' ' + pointer if pointer else ''}: {message}"


def _format(path: Path) -> Format:
    found = format_of(path)
    if found is None:
        fail(f"Is {path.name} NDJSON or CSV? Say --format ndjson or --format csv.")
    return found


def _report(path: Path, given: Path | None) -> Report:
    report = given or path.with_name(path.name + ".rejected.ndjson")
    if _is_same(report, path):
        fail("The report would take the place of the file itself: give another --report.")
    return Report(report)


def _is_same(report: Path, path: Path) -> bool:
    """Whatever keeps us from seeing the report keeps us from writing it, which then says so."""
    try:
        return report.samefile(path)
    except OSError:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path.is_dir():
        fail(f"{path} is a folder: import its files one by one.")
    if not path.is_file():
        said = "no file: an import reads it twice, so that it can go on later. Save what comes from a pipe first."
        fail(f"{path} is {said}" if path.exists() or str(path) == "-" else f"There is no file {path}.")
    try:
        file = path.open("rb")
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}")
    with file:
        yield file


@contextmanager
def _complaining() -> Iterator[None]:
    try:
        yield
    except (UnreadableFileError, ReportError) as error:
        fail(str(error))
    except UnknownOrgError:
        fail("There is no org with this id.")
    except AlreadyImportedError as error:
        counts = f"{counted(error.accepted, 'line')} imported, {error.rejected:,} rejected"
        fail(f"This file was imported at {times.to_iso(error.finished_ms)} ({counts}). --again imports it anew.")
    except (OvertakenError, ReportInUseError):
        fail("Another import of this file is at work.")
    except FileChangedError:
        fail("The file changed while it was read. Import it when nobody writes to it.")
