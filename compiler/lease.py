"""The one row that says which compiler may publish. Whether it has run out is for the database's clock alone to say."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.connect import wait_until_ready
from service.logs import one_line

log = structlog.get_logger("lease")

NOW_MS = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
"""SQL: the moment of its evaluation by the database's clock."""

_RENEWALS_PER_TTL = 5
_STANDBY_POLL_S = 1.0

_ACQUIRE = text(f"""
    UPDATE compiler_lease
    SET epoch = CASE WHEN holder = :holder THEN epoch ELSE epoch + 1 END,
        holder = :holder,
        expires_ms = {NOW_MS} + :ttl_ms
    WHERE holder IS NULL OR holder = :holder OR expires_ms <= {NOW_MS}
    RETURNING generation, epoch
""")  # noqa: S608 - the only thing put in is a constant
_STANDING = text(f"SELECT holder, expires_ms - {NOW_MS} AS left_ms FROM compiler_lease")  # noqa: S608
_RELEASE = text("UPDATE compiler_lease SET holder = NULL, expires_ms = 0 WHERE holder = :holder AND epoch = :epoch")


class Term(NamedTuple):
    """One holder's unbroken time with the lease; `epoch` is higher than in every term before it."""

    generation: int
    epoch: int
    holder: str


class Other(NamedTuple):
    """Somebody else has the lease, for `left_ms` more unless they renew it."""

    holder: str
    left_ms: int


class LeaseLostError(Exception):
    """The term is over: another compiler may be publishing by now."""


class Lease:
    """Keeps the lease while it can, and stands by while somebody else has it.

    `postgres` should have a connection for this alone, so that renewing never waits behind other work.
    """

    def __init__(
        self,
        postgres: AsyncEngine,
        holder: str,
        *,
        ttl_s: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.holder = holder
        self.standing_by = False
        self.on_acquired: Callable[[], None] = lambda: None
        self._postgres = postgres
        self._ttl_s = ttl_s
        self._monotonic = monotonic
        self._term: Term | None = None
        self._valid_until = 0.0

    @property
    def term(self) -> Term | None:
        """None while somebody else has the lease, and once it has not been renewed for as long as it lasts."""
        return self._term if self._monotonic() < self._valid_until else None

    async def run(self) -> None:
        """Acquires and renews until it is cancelled; a database that does not answer costs a line and a retry."""
        while True:
            wait_s = await wait_until_ready("database", self.attempt, log=log)
            await asyncio.sleep(wait_s)

    async def attempt(self) -> float:
        """Acquires or renews once; seconds until the next attempt is due. Raises what the database raises."""
        asked = self._monotonic()
        async with asyncio.timeout(self._ttl_s / 2):
            answer = await self._ask()
        if isinstance(answer, Other):
            self._stand_by(answer)
            return min(_STANDBY_POLL_S, max(answer.left_ms, 0) / 1000 + 0.01)
        self._hold(answer, asked)
        return self._ttl_s / _RENEWALS_PER_TTL

    def drop(self, term: Term) -> None:
        """Stops using a term that the database no longer knows, until an attempt succeeds again."""
        if self._term == term:
            log.warning("lease_dropped", epoch=term.epoch)
            self._valid_until = 0.0

    async def release(self) -> None:
        """Lets the next compiler take over at once. Failing is no matter: the lease runs out by itself."""
        term, self._term = self._term, None
        if term is None:
            return
        try:
            async with asyncio.timeout(2), self._postgres.begin() as connection:
                await connection.execute(_RELEASE, {"holder": term.holder, "epoch": term.epoch})
        except Exception as error:
            log.warning("lease_not_released", reason=one_line(error))
        else:
            log.info("lease_released", epoch=term.epoch)

    async def _ask(self) -> Term | Other:
        async with self._postgres.begin() as connection:
            acquire = {"holder": self.holder, "ttl_ms": round(self._ttl_s * 1000)}
            row = (await connection.execute(_ACQUIRE, acquire)).one_or_none()
            if row is not None:
                return Term(row.generation, row.epoch, self.holder)
            other = (await connection.execute(_STANDING)).one()
            return Other(other.holder or "", other.left_ms)

    def _hold(self, term: Term, asked: float) -> None:
        """Counted from before the question, it ends here no later than in the database."""
        before, self._term = self._term, term
        self._valid_until = asked + self._ttl_s
        self.standing_by = False
        if before != term:
            log.info("lease_acquired", generation=term.generation, epoch=term.epoch, holder=self.holder)
            self.on_acquired()

    def _stand_by(self, other: Other) -> None:
        if self._term is not None:
            log.warning("lease_lost", epoch=self._term.epoch, to=other.holder)
        elif not self.standing_by:
            log.info("lease_held_by_other", holder=other.holder)
        self._term = None
        self.standing_by = True
