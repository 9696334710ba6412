"""What the bench is doing, on stderr. Without a spinner: its thread would take time from what is measured."""

import time

from rich.markup import escape

from inapp.console import err

_BEGAN_S = time.monotonic()


def say(doing: str) -> None:
    passed_s = round(time.monotonic() - _BEGAN_S)
    err.print(f"[dim]{passed_s // 60:3d}:{passed_s % 60:02d}[/] {escape(doing)}")
