"""Which Redis server we talk to. A marker that names another one says nothing about this one's data."""

from redis.asyncio import Redis

from wire.codec import DecodeError
from wire.userstate import Marker


class RedisServer:
    """`run_id` is None while nobody can tell: before the first answer, and from a lost connection to the next."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._last_run_id: str | None = None

    async def identify(self, redis: Redis) -> bool:
        """Asks the server. True when it is another one than before. Raises RedisError."""
        before = self._last_run_id
        self.run_id = self._last_run_id = str((await redis.info("server"))["run_id"])
        return before not in (None, self.run_id)

    def lose(self) -> None:
        self.run_id = None

    def vouches(self, marker: bytes | None) -> bool:
        """Whether `marker` says that every known customer is in this server."""
        if marker is None or self.run_id is None:
            return False
        try:
            return Marker.decode(marker).run_id == self.run_id
        except DecodeError:
            return False
