"""The current table of each org. A swap is one assignment; what cannot be used is never swapped in."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from edge.disk import BundleDisk
from edge.slices import in_slices
from engine.steps import Steps, finish
from engine.table import OrgTable, TableError, preparing_table
from service.logs import one_line
from wire import keys
from wire.bundle import Bundle, Manifest, Version
from wire.codec import DecodeError

log = structlog.get_logger("edge")

_ABSENT_FOR_S = 1.0
_FIND_TIMEOUT_S = 2.0
_MOST_ABSENT = 10_000
_MOST_PRELOADED = 1_000
"""Orgs held, beyond which none is loaded that nobody asked for."""
_PRELOADED_AT_ONCE = 4

SWAPS = Counter("inapp_edge_bundle_swaps", "Tables put in place")
REFUSED = Counter("inapp_edge_bundles_refused", "Manifests that could not be used, so that the last good one serves")
REFUSED_NOW = Gauge(
    "inapp_edge_orgs_with_refused_bundles",
    "Orgs that are served from an older manifest than published",
    multiprocess_mode="livemax",
)
ORGS = Gauge("inapp_edge_orgs", "Orgs whose bundles are loaded", multiprocess_mode="livemax")


@dataclass(slots=True)
class Org:
    """As it is served at one time. `bundles` by sha. `current` leads to what is served now."""

    id: UUID
    table: OrgTable
    manifest: Manifest
    bundles: Mapping[str, Bundle]
    current: "Current"


class Current:
    """One org as it is served now, once it is: what was made by an earlier table holds this, and not the table.

    `number`: of the org's table, by which each answer that is given again finds out whether it is of now.
    """

    __slots__ = ("number", "org")

    org: Org
    number: int

    def put(self, org: Org) -> None:
        self.org, self.number = org, org.table.number


class _Absence(NamedTuple):
    until_s: float
    reason: str | None


class OrgUnavailableError(Exception):
    """The org's manifest cannot be had or used, and no earlier one serves."""


class Bundles:
    """Tables by org, loaded from disk at start and from Redis: ahead of requests, on request and on change.

    `on_more_features` is called before a table is put in place that asks more of user states than the one before.
    """

    def __init__(self, redis: Redis, disk: BundleDisk, on_more_features: Callable[[UUID], None]) -> None:
        self._redis = redis
        self._disk = disk
        self._on_more_features = on_more_features
        self._orgs: dict[UUID, Org] = {}
        self._loads: dict[UUID, asyncio.Task[None]] = {}
        self._again: set[UUID] = set()
        self._absent: OrderedDict[UUID, _Absence] = OrderedDict()
        self._unsaved: dict[UUID, dict[str, bytes]] = {}
        self._to_save = asyncio.Event()
        self._wanted: list[UUID] = []
        self._to_preload = asyncio.Event()
        self.problems: dict[UUID, str] = {}

    def org_ids(self) -> list[UUID]:
        """The orgs that are loaded."""
        return list(self._orgs)

    async def load_stored(self) -> None:
        """Puts in place what is on disk."""
        for stored in await asyncio.to_thread(lambda: list(self._disk.load())):
            try:
                org = finish(building(stored.org_id, Manifest.decode(stored.manifest), stored.bundles, None))
            except (DecodeError, TableError) as error:
                log.warning("stored_bundles_unusable", org=str(stored.org_id), reason=one_line(error))
            else:
                self._swap(org)

    def org(self, org_id: UUID) -> Org | None:
        """The org when it is loaded."""
        return self._orgs.get(org_id)

    async def find(self, org_id: UUID) -> Org | None:
        """The org, loaded if need be; None: there is no such org. Raises OrgUnavailableError."""
        if org_id not in self._orgs and not self._is_absent(org_id):
            try:
                async with asyncio.timeout(_FIND_TIMEOUT_S):
                    await asyncio.shield(self._loads.get(org_id) or self._start_load(org_id))
            except (RedisError, OSError) as error:
                self._note_absent(org_id, one_line(error))
        if org_id not in self._orgs and (absence := self._absent.get(org_id)) is not None and absence.reason:
            raise OrgUnavailableError(absence.reason)
        return self.org(org_id)

    def announce(self, org_id: UUID, version: Version) -> None:
        """Somebody published: reads the manifest in the background if it concerns this edge."""
        self._absent.pop(org_id, None)
        org = self._orgs.get(org_id)
        if org is not None and (version > org.manifest.version or org_id in self.problems):
            self._refresh_soon(org_id)

    def refresh_all(self) -> None:
        """Reads every manifest anew, in the background."""
        self._absent.clear()
        for org_id in self._orgs:
            self._refresh_soon(org_id)

    def want(self, org_ids: Iterable[UUID]) -> None:
        """Has `preload` load those of the orgs that are not loaded, as far as there is room, unless it is at work."""
        if self._wanted:
            return
        room = max(_MOST_PRELOADED - len(self._orgs), 0)
        self._wanted = list(islice((org_id for org_id in org_ids if org_id not in self._orgs), room))
        if self._wanted:
            self._to_preload.set()

    async def preload(self) -> None:
        """Loads what is wanted, for ever, so that it is on disk should Redis be away at the next start."""
        while True:
            await self._to_preload.wait()
            self._to_preload.clear()
            try:
                await self._load_a_few_at_a_time(self._wanted)
            finally:
                self._wanted = []

    async def _load_a_few_at_a_time(self, org_ids: Iterable[UUID]) -> None:
        """Requests get their turn in between. Gives up when Redis is away."""
        rest = iter(org_ids)
        while few := list(islice(rest, _PRELOADED_AT_ONCE)):
            loads = [self._loads.get(org_id) or self._start_load(org_id) for org_id in few if org_id not in self._orgs]
            if loads:
                await asyncio.wait(loads)
            if any(map(_found_no_redis, loads)):
                return

    async def idle(self) -> None:
        """Until nothing is being loaded."""
        await asyncio.gather(*self._loads.values(), return_exceptions=True)

    async def save_changes(self) -> None:
        """Brings what was swapped in to disk, for ever. Raises OSError; the next call tries again."""
        while True:
            await self._to_save.wait()
            await self.save_now()

    async def save_now(self) -> None:
        self._to_save.clear()
        for org_id in list(self._unsaved):
            fresh = self._unsaved.pop(org_id)
            try:
                await asyncio.to_thread(self._disk.save, org_id, self._orgs[org_id].manifest, fresh)
            except BaseException:
                self._unsaved[org_id] = fresh | self._unsaved.get(org_id, {})
                self._to_save.set()
                raise

    def _refresh_soon(self, org_id: UUID) -> None:
        if org_id in self._loads:
            self._again.add(org_id)
        else:
            self._start_load(org_id)

    def _start_load(self, org_id: UUID) -> "asyncio.Task[None]":
        task = self._loads[org_id] = asyncio.create_task(self._load(org_id))
        task.add_done_callback(_log_failure)
        return task

    async def _load(self, org_id: UUID) -> None:
        try:
            while True:
                self._again.discard(org_id)
                await self._load_once(org_id)
                if org_id not in self._again:
                    return
        finally:
            self._again.discard(org_id)
            del self._loads[org_id]

    async def _load_once(self, org_id: UUID) -> None:
        data: Any = await self._redis.get(keys.manifest(org_id))
        if data is None:
            self._note_absent(org_id)
            return
        before = self._orgs.get(org_id)
        try:
            manifest = Manifest.decode(data)
            if before is not None and manifest.version <= before.manifest.version:
                self._note_problem(org_id, None)
                return
            fresh = await self._fetch(org_id, set(manifest.bundles.values()) - set(before.bundles if before else ()))
            org = await in_slices(building(org_id, manifest, fresh, before))
        except (ValueError, TypeError, AttributeError) as error:  # a manifest's fields may be of any type
            self._note_problem(org_id, one_line(error))
            self._note_absent(org_id, one_line(error))
            return
        self._swap(org)
        self._unsaved.setdefault(org_id, {}).update(fresh)
        self._to_save.set()

    async def _fetch(self, org_id: UUID, shas: set[str]) -> dict[str, bytes]:
        if not shas:
            return {}
        ordered = sorted(shas)
        values: Any = await self._redis.mget([keys.bundle(org_id, sha) for sha in ordered])
        return {sha: data for sha, data in zip(ordered, values, strict=True) if data is not None}

    def _swap(self, org: Org) -> None:
        org_id, before = org.id, self._orgs.get(org.id)
        if before is not None and _asks_more(org.manifest, before.manifest):
            self._on_more_features(org_id)
        self._orgs[org_id] = org
        org.current.put(org)
        self._absent.pop(org_id, None)
        self._note_problem(org_id, None)
        SWAPS.inc()
        ORGS.set(len(self._orgs))
        log.info("bundles_swapped", org=str(org_id), version=str(org.manifest.version))

    def _note_problem(self, org_id: UUID, reason: str | None) -> None:
        if reason is None:
            self.problems.pop(org_id, None)
        else:
            REFUSED.inc()
            if self.problems.get(org_id) != reason:
                log.error("bundles_refused", org=str(org_id), reason=reason)
            self.problems[org_id] = reason
        REFUSED_NOW.set(len(self.problems))

    def _note_absent(self, org_id: UUID, reason: str | None = None) -> None:
        """For a moment nobody asks again. `reason`: why it is not known whether there is such an org."""
        if org_id in self._orgs:
            return
        self._absent[org_id] = _Absence(time.monotonic() + _ABSENT_FOR_S, reason)
        self._absent.move_to_end(org_id)
        if len(self._absent) > _MOST_ABSENT:
            self._absent.popitem(last=False)

    def _is_absent(self, org_id: UUID) -> bool:
        absence = self._absent.get(org_id)
        return absence is not None and absence.until_s > time.monotonic()


def building(org_id: UUID, manifest: Manifest, given: Mapping[str, bytes], before: Org | None) -> Steps[Org]:
    """All of a manifest or nothing. Raises DecodeError or TableError, whatever is wrong with the bytes."""
    known = before.bundles if before else {}
    try:
        bundles: dict[str, Bundle] = {}
        for audience_id, sha in manifest.bundles.items():
            bundle = bundles[sha] = known.get(sha) or Bundle.decode_named(sha, given.get(sha))
            if bundle.audience_id != audience_id:
                raise TableError(f"the bundle of {audience_id} is that of {bundle.audience_id}")
            if sha not in known:
                yield
        by_audience = {audience_id: bundles[sha] for audience_id, sha in manifest.bundles.items()}
        table = yield from preparing_table(manifest, by_audience, before.table if before else None)
        return Org(org_id, table, manifest, bundles, before.current if before else Current())
    except (DecodeError, TableError):
        raise
    except Exception as error:  # well-formed bytes that mean nonsense, in whichever way
        raise TableError(one_line(error)) from error


def _asks_more(manifest: Manifest, before: Manifest) -> bool:
    """Whether states that were complete for `before` may lack moments that the manifest asks for."""
    kept = {feature.id: feature.kept for feature in before.features}
    return any(feature.kept > kept.get(feature.id, 0) for feature in manifest.features)


def _found_no_redis(load: "asyncio.Task[None]") -> bool:
    return isinstance(load.exception(), RedisConnectionError | RedisTimeoutError | OSError)


def _log_failure(task: "asyncio.Task[None]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        error = task.exception()
        if error is not None:
            write = log.warning if isinstance(error, RedisError | OSError) else log.error
            write("bundles_not_read", reason=one_line(error))
