"""Several processes that count in one folder, so that whichever of them is asked answers for all."""

import os
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead


@dataclass(slots=True)
class SharedMetrics:
    """`folder`: theirs alone, and empty. A worker that is started again goes on in the files of the one before it, so
    that counters never fall and files do not pile up."""

    folder: Path
    who: str = "parent"

    def begin(self) -> None:
        """To be called before any metric is made: what is made then counts in files, in this process and in those that
        it forks."""
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder)
        values.ValueClass = values.MultiProcessValue(lambda: self.who)  # type: ignore[no-untyped-call]

    def count_as(self, worker: int) -> None:
        self.who = str(worker)

    def forget_gauges(self, worker: int) -> None:
        """Of a worker that has ended."""
        mark_process_dead(worker, str(self.folder))  # type: ignore[no-untyped-call]
