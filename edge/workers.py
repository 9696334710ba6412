"""Several processes of one edge: on one port, each with a folder, a spool and a memory of its own."""

import gc
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, NoReturn

import structlog

from edge.disk import BundleDisk, InUseError, hold
from edge.settings import EdgeSettings
from service.shared_metrics import SharedMetrics

log = structlog.get_logger("edge")

_RESET_AFTER_S = 5.0


class FolderError(Exception):
    """An edge cannot work in its folder; the message says why."""


def run_alone(settings: EdgeSettings) -> NoReturn:
    """One process: serves until it is told to stop, then exits. Logs must be configured."""
    with _taken(settings.edge_dir):
        from edge.app import run  # noqa: PLC0415 - it is slow to load

        _take_newest_bundles(settings.edge_dir, settings.edge_dir)
        run(settings)


def run_workers(settings: EdgeSettings, reset_after_s: float = _RESET_AFTER_S) -> NoReturn:
    """Serves until it is told to stop, then exits the process. Logs must be configured, and no metric made yet.

    `reset_after_s`: a worker that lived for longer is started again as soon as one that never ended before.
    """
    with _taken(settings.edge_dir):
        metrics = SharedMetrics(_emptied(settings.edge_dir / "metrics"))
        metrics.begin()
        sys.exit(_run(settings, metrics, reset_after_s))


def _run(settings: EdgeSettings, metrics: SharedMetrics, reset_after_s: float) -> int:
    from edge.app import run  # noqa: PLC0415 - it makes metrics
    from edge.left_over import folder_of  # noqa: PLC0415
    from service.serve import ListenError, listening_socket  # noqa: PLC0415
    from service.workers import Workers  # noqa: PLC0415

    def work(number: int, on_listening: Callable[[], None]) -> NoReturn:
        folder = folder_of(settings.edge_dir, number)
        _take_newest_bundles(settings.edge_dir, folder)
        run(settings.model_copy(update={"edge_dir": folder, "port": port}), on_listening)

    try:
        with closing(listening_socket(settings.host, settings.port)) as probe:  # refused if anyone else listens there
            port = probe.getsockname()[1]
        reserved = listening_socket(settings.host, port, shared=True)
    except ListenError as error:
        log.error("cannot_listen", name="edge", reason=str(error))
        return 1
    gc.collect()
    gc.freeze()  # what was imported stays common to all: a collection that looks at it would copy its pages
    with closing(reserved):
        return Workers("edge", settings.workers, work, metrics, reset_after_s).run()


def _taken(edge_dir: Path) -> IO[str]:
    """Holds the folder for as long as the file is open. Exits the process when it cannot be had."""
    try:
        return _take(edge_dir)
    except FolderError as error:
        log.error("cannot_start", reason=str(error))
        sys.exit(1)


def _take(edge_dir: Path) -> IO[str]:
    """Holds the folder for as long as the file is open. Raises FolderError."""
    try:
        return hold(edge_dir / "workers.lock")
    except OSError as error:
        raise FolderError(f"cannot work in {edge_dir}: {error.strerror}") from None
    except InUseError:
        raise FolderError(f"another edge works in {edge_dir}; give each its own INAPP_EDGE_DIR") from None


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _take_newest_bundles(edge_dir: Path, folder: Path) -> None:
    """No worker starts with less than another one's last good bundles: Redis may be away, and a key revoked since."""
    disk = BundleDisk(folder / "bundles")
    for stored in (edge_dir / "bundles", *sorted(edge_dir.glob("worker-*/bundles"))):
        disk.take_newer(stored)
