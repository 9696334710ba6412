"""Requests by route template and status, and what /metrics answers: of this process, or of all workers of an edge."""

import asyncio
import os
from collections.abc import Callable
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_FLUSH_S = 1.0

_REQUESTS = Counter("inapp_http_requests", "Requests answered", ["method", "route", "status"])
_SECONDS = Histogram("inapp_http_request_seconds", "Time from the request's head to the answer's end", ["route"])
LISTENING = Gauge("inapp_listening", "Processes that take requests here", multiprocess_mode="livesum")

_tallies: list[Callable[[], None]] = []


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """`route` is a template such as /api/v1/events, never a path as it came: labels stay few."""
    count_requests(method, route, status, 1)
    _seconds_of(route).observe(seconds)


def count_requests(method: str, route: str, status: int, number: int) -> None:
    """`number` requests at once, of which nobody took the time."""
    _requests_of(method if method in _METHODS else "other", route, str(status)).inc(number)


@cache
def _seconds_of(route: str) -> Histogram:
    """Found once: the look-up takes longer than the count."""
    return _SECONDS.labels(route)


@cache
def _requests_of(method: str, route: str, status: str) -> Counter:
    return _REQUESTS.labels(method, route, status)


def on_collect(tally: Callable[[], None]) -> Callable[[], None]:
    """`tally` brings metrics up to date from what is cheaper to keep; it is called before every answer of /metrics, and
    where several processes share one, every second. Calling what is returned calls it a last time and ends that."""
    _tallies.append(tally)

    def stop() -> None:
        _tallies.remove(tally)
        tally()

    return stop


def flush_tallies() -> None:
    for tally in tuple(_tallies):
        tally()


async def flushing_tallies() -> None:
    """For as long as it runs, another process that shares this one's metrics is at most a second behind."""
    while True:
        await asyncio.sleep(_FLUSH_S)
        flush_tallies()


def exposition() -> bytes:
    """Prometheus text: of this process, or the sum of all that count in one folder."""
    flush_tallies()
    return generate_latest(_sum() if _FOLDER in os.environ else REGISTRY)


def _sum() -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
