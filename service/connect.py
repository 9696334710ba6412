"""Redis clients, and waiting for a dependency that is not up yet."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import hiredis
import structlog
from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import DataError
from structlog.typing import FilteringBoundLogger

from service.logs import one_line

T = TypeVar("T")

_CONNECT_TIMEOUT_S = 5.0
_SOCKET_TIMEOUT_S = 5.0
_HEALTH_CHECK_S = 15
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 5.0
BLOCK_MARGIN_S = 5.0
"""How much longer than its BLOCK a blocking read waits for its answer."""


class _Connection(Connection):
    """redis-py reads by hiredis, but writes by Python, which takes a third of the time of an MGET of many keys."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name, *rest = args
        words = name.split() if isinstance(name, bytes) else name.encode().split()
        try:
            return [hiredis.pack_command((*words, *rest))]
        except TypeError as error:
            raise DataError(str(error)) from error


def redis_client(url: str) -> Redis:
    """A client for short commands: bytes in and out, 5 s timeouts, and the caller sees every failure (no retries)."""
    return _client(url, _SOCKET_TIMEOUT_S)


def blocking_redis_client(url: str, block_ms: int) -> Redis:
    """A client of its own for XREAD and XREADGROUP with BLOCK up to `block_ms`; its socket outwaits the block."""
    return _client(url, block_ms / 1000 + BLOCK_MARGIN_S)


def _client(url: str, socket_timeout_s: float) -> Redis:
    client: Redis = Redis.from_url(
        url,
        protocol=2,  # replies have the same shape in every redis-py we allow
        decode_responses=False,
        socket_timeout=socket_timeout_s,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_keepalive=True,
        health_check_interval=_HEALTH_CHECK_S,
        retry=Retry(NoBackoff(), 0),
        connection_class=_Connection,  # unless the URL asks for TLS
    )
    return client


async def wait_until_ready(
    name: str, attempt: Callable[[], Awaitable[T]], *, log: FilteringBoundLogger | None = None
) -> T:
    """What `attempt` returns. Until it does, each failure is one line `waiting_for_dependency` (name, reason,
    retry_in_seconds) and a wait of 0.25 s … 5 s; only cancellation ends that."""
    log = log or structlog.get_logger()
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            ready = await attempt()
        except Exception as error:
            log.warning("waiting_for_dependency", name=name, reason=one_line(error), retry_in_seconds=wait_s)
        else:
            log.debug("dependency_ready", name=name)
            return ready
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
