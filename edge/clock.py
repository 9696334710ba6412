"""The edge's corrected clock: the Redis server's time at the last sync plus monotonic time since."""

import time
from collections.abc import Callable

from redis.asyncio import Redis

_LONGEST_ROUND_TRIP_NS = 250_000_000
_SLOWEST_PACE = 0.5


class CorrectedClock:
    """Until the first sync it shows the wall clock. It never goes back: what it is ahead of the server it loses by
    running at half pace."""

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()
        self._ahead_ns = 0
        self._ahead_since_ns = monotonic_ns()
        self._was_read = False
        self.synced = False

    def now_ms(self) -> int:
        self._was_read = True
        monotonic_ns = self._monotonic_ns()
        if not self._ahead_ns:
            return (monotonic_ns + self._offset_ns) // 1_000_000
        lead_ns = self._lead_ns(monotonic_ns)
        if not lead_ns:
            self._ahead_ns = 0
        return (monotonic_ns + self._offset_ns + lead_ns) // 1_000_000

    def correct(self, server_ns: int, sent_ns: int, received_ns: int) -> None:
        """`server_ns`: the server's time, read between the monotonic moments `sent_ns` and `received_ns`."""
        uncertainty_ns = (received_ns - sent_ns) // 2
        if self.synced and received_ns - sent_ns > _LONGEST_ROUND_TRIP_NS:
            return
        offset_ns = server_ns - (sent_ns + uncertainty_ns)
        lead_ns = self._lead_ns(received_ns) + self._offset_ns - offset_ns
        if self.synced and abs(lead_ns) <= uncertainty_ns:
            return
        self._offset_ns = offset_ns
        self._ahead_ns = max(lead_ns, 0) if self._was_read else 0
        self._ahead_since_ns = received_ns
        self.synced = True

    def _lead_ns(self, monotonic_ns: int) -> int:
        """By how much the clock shows more than the server's time."""
        return max(self._ahead_ns - int((monotonic_ns - self._ahead_since_ns) * _SLOWEST_PACE), 0)


async def sync(clock: CorrectedClock, redis: Redis) -> None:
    """One round trip. Raises RedisError."""
    sent_ns = time.monotonic_ns()
    seconds, microseconds = await redis.time()
    clock.correct(seconds * 1_000_000_000 + microseconds * 1_000, sent_ns, time.monotonic_ns())
