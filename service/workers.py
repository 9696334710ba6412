"""Several processes that do the same work, forked from this one: kept alive, and ended together.

The parent waits for signals and does nothing else; it has no thread and no event loop that a fork could tear. A pipe
that only it can write to, and never does, tells its workers when it is gone.
"""

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

import structlog
from prometheus_client import Counter

from service.logs import one_line
from service.shared_metrics import SharedMetrics

log = structlog.get_logger("workers")

RESTARTS = Counter("inapp_worker_restarts", "Workers that ended by themselves and were started again")

Work = Callable[[int, Callable[[], None]], NoReturn]
"""(number of the worker, to be called once it takes requests) → exits."""

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
_GRACE_S = 18.0
_STOPS = frozenset({signal.SIGTERM, signal.SIGINT})
_AWAITED = _STOPS | {signal.SIGCHLD, signal.SIGALRM}


@dataclass(slots=True)
class _Worker:
    """`pid` is 0 while it does not run; then it is to be started at `start_at_s` (monotonic)."""

    number: int
    pid: int = 0
    started_s: float = 0.0
    start_at_s: float = 0.0
    wait_s: float = _FIRST_WAIT_S


class Workers:
    """`name` is what the log calls them. Who ends waits twice as long each time, unless it lived `reset_after_s`."""

    def __init__(self, name: str, count: int, work: Work, metrics: SharedMetrics, reset_after_s: float) -> None:
        self._name = name
        self._work = work
        self._metrics = metrics
        self._reset_after_s = reset_after_s
        self._workers = [_Worker(number) for number in range(count)]
        self._has_listened = mmap.mmap(-1, count)  # memory that stays common after a fork
        self._parent_reads, self._parent_writes = os.pipe()

    def run(self) -> int:
        """Until SIGTERM or SIGINT; returns an exit code. 1: a worker could not even start, or one did not end well."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # macOS keeps no signal pending that would be ignored
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        while True:
            self._start_due()
            received = signal.sigwait(_AWAITED)
            if received in _STOPS:
                log.info("stopping", name=self._name, signal=signal.Signals(received).name)
                well = self._stop()
                log.info("stopped", name=self._name)
                return 0 if well else 1
            for worker, code in self._ended():
                if not self._has_listened[worker.number]:
                    log.error("worker_could_not_start", name=self._name, worker=worker.number, code=code)
                    self._stop()
                    return 1
                self._plan_restart(worker, code)

    def _start_due(self) -> None:
        """Starts whose time has come, and has SIGALRM sent when the next one's comes."""
        waiting = [worker for worker in self._workers if not worker.pid]
        for worker in waiting:
            if worker.start_at_s <= time.monotonic():
                self._start(worker)
        due_s = [worker.start_at_s for worker in waiting if not worker.pid]
        signal.setitimer(signal.ITIMER_REAL, max(min(due_s) - time.monotonic(), 0.001) if due_s else 0)

    def _start(self, worker: _Worker) -> None:
        worker.started_s = time.monotonic()
        worker.pid = os.fork()
        if worker.pid == 0:
            self._be(worker.number)
        log.info("worker_started", worker=worker.number, pid=worker.pid)

    def _ended(self) -> Iterator[tuple[_Worker, int]]:
        """Workers that have ended, with their exit codes."""
        for worker in self._workers:
            if worker.pid:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    worker.pid = 0
                    self._metrics.forget_gauges(worker.number)
                    yield worker, os.waitstatus_to_exitcode(status)

    def _plan_restart(self, worker: _Worker, code: int) -> None:
        if time.monotonic() - worker.started_s > self._reset_after_s:
            worker.wait_s = _FIRST_WAIT_S
        log.error("worker_ended", worker=worker.number, code=code, restart_in_seconds=worker.wait_s)
        RESTARTS.inc()
        worker.start_at_s = time.monotonic() + worker.wait_s
        worker.wait_s = min(worker.wait_s * 2, _LONGEST_WAIT_S)

    def _stop(self) -> bool:
        """Ends all, by force when that takes too long or SIGINT comes again; whether all ended well."""
        self._send(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, _GRACE_S)
        well = True
        while any(worker.pid for worker in self._workers):
            if signal.sigwait(_AWAITED) in (signal.SIGALRM, signal.SIGINT):
                self._send(signal.SIGKILL)
            well &= all(code in (0, -signal.SIGTERM) for _, code in list(self._ended()))
        return well

    def _send(self, what: signal.Signals) -> None:
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, what)

    def _be(self, number: int) -> NoReturn:
        """The forked process: never goes back into what its parent was doing."""
        code = 1
        try:
            os.close(self._parent_writes)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # Ctrl-C reaches the parent too, which says it on as SIGTERM; both would end requests in flight.
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask | {signal.SIGINT})
            threading.Thread(target=_end_with_parent, args=(self._parent_reads,), daemon=True).start()
            structlog.contextvars.bind_contextvars(worker=number)
            self._metrics.count_as(number)
            self._work(number, lambda: self._note_listening(number))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException as error:
            log.error("worker_failed", reason=one_line(error), exc_info=error)
        finally:
            os._exit(code)

    def _note_listening(self, number: int) -> None:
        self._has_listened[number] = 1


def _end_with_parent(pipe: int) -> None:
    """A thread that waits without cost until the parent is gone, however it went."""
    os.read(pipe, 1)
    log.warning("stopping", reason="the parent process is gone")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(1)
