"""Progress on stderr: a bar on a terminal, elsewhere a line every few seconds."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from inapp.console import err
from inapp.wording import counted

_LINE_EVERY_S = 5.0
_STILL = "The recorder takes nothing: does it run? Waiting for it. Ctrl-C loses nothing."


class ProgressBar:
    """A context manager. `lines` counts those of the import so far."""

    def __init__(self, size_bytes: int, console: Console = err) -> None:
        self._size_bytes = size_bytes
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._doing = ""
        self._since_s = self._said_s = time.monotonic()
        self._still = False
        self.lines = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def phase(self, doing: str) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._doing = doing
        self._since_s = time.monotonic()
        self._task = self._progress.add_task(doing, total=self._size_bytes, rate="")

    def at(self, byte: int, lines: int) -> None:
        self.lines += lines
        rate = self._rate()
        self._update(self._doing, byte, rate)
        self._now_and_then(f"{self._doing}: {byte * 100 // self._size_bytes} %, {rate or 'begun'}")

    def waiting(self, rows: int, still: bool) -> None:
        self._update(f"{self._doing}, waiting for the recorder", None, self._rate())
        self._now_and_then(f"Waiting for the recorder: {counted(rows, 'transaction')} to apply.")
        if still and not self._still:
            self.note(_STILL)
        self._still = still

    def note(self, text: str) -> None:
        self._console.print(f"[yellow]![/] {escape(text)}")

    def _rate(self) -> str:
        elapsed_s = max(time.monotonic() - self._since_s, 1e-3)
        return f"{counted(self.lines, 'line')}, {self.lines / elapsed_s:,.0f}/s" if self.lines else ""

    def _update(self, doing: str, byte: int | None, rate: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, description=doing, completed=byte, rate=rate)

    def _now_and_then(self, text: str) -> None:
        if not self._console.is_terminal and time.monotonic() - self._said_s >= _LINE_EVERY_S:
            self._said_s = time.monotonic()
            self._console.print(text)
