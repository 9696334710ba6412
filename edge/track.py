"""Events from SDKs: checked, spooled, and only then acknowledged."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import Counter

from edge import access
from edge.answers import Answer, read_json
from edge.bundles import Bundles, Org
from edge.slices import in_slices
from edge.spool import Spool
from edge.spool_file import SpoolError, SpoolFullError
from engine.steps import Steps
from service.clock import NowMs
from service.errors import ApiError, invalid_payload
from wire import codec, events
from wire.intake import Intake, Rejected, Source
from wire.problems import MISSING, NO_LIST, NO_OBJECT, Problem, too_long

BATCH_MAX_EVENTS = 1_000
ACTIONS = {"impressions": events.IMPRESSION, "clicks": events.CLICKED, "dismissals": events.DISMISSED}
_RETRY_AFTER_S = "5"

ACCEPTED = Counter("inapp_edge_events_accepted", "Events acknowledged, each of them on disk")
REJECTED = Counter("inapp_edge_events_rejected", "Events refused one by one", ["code"])
TURNED_AWAY = Counter("inapp_edge_events_turned_away", "Events for which the spool had no room")


class Track:
    """The three ways to send events. Raises ApiError for what is answered in the failure envelope."""

    def __init__(self, bundles: Bundles, spool: Spool, now_ms: NowMs) -> None:
        self._bundles = bundles
        self._spool = spool
        self._now_ms = now_ms

    async def one(self, key: str | None, body: bytes) -> Answer:
        org, event = await self._open(key, body)
        return await self._take(org, [event])

    async def batch(self, key: str | None, body: bytes) -> Answer:
        org, parsed = await self._open(key, body)
        return await self._take(org, _events_of(parsed))

    async def action(self, message_id: str, action: str, key: str | None, body: bytes) -> Answer:
        """`action`: one of ACTIONS."""
        org, parsed = await self._open(key, body)
        return await self._take(org, [message_event(ACTIONS[action], message_id, parsed)])

    async def _open(self, key: str | None, body: bytes) -> tuple[Org, Any]:
        org = await access.admit(self._bundles, key) if key else None
        parsed = read_json(body)
        return org or await access.admit(self._bundles, access.body_key(parsed)), parsed

    async def _take(self, org: Org, raws: Sequence[object]) -> Answer:
        intake = Intake(Source(org.id, self._now_ms(), _random_id, access.verifier(org.table.settings)))
        await in_slices(_taking(raws, intake))
        accepted, rejected = intake.accepted, intake.rejected
        if accepted:
            try:
                await self._spool.append(accepted)
            except SpoolFullError:
                TURNED_AWAY.inc(len(accepted))
                raise _unavailable(
                    "spool_full", "There is no room for events at the moment; send them again."
                ) from None
            except SpoolError:
                raise _unavailable("spool_unavailable", "Events cannot be stored; send them again.") from None
        ACCEPTED.inc(len(accepted))
        for each in rejected:
            REJECTED.labels(each.code).inc()
        return acknowledgement(len(accepted), rejected)


def acknowledgement(accepted: int, rejected: Sequence[Rejected]) -> Answer:
    """`{"accepted":n,"rejected":[{"index","code","message"}]}`"""
    refused = [{"index": each.index, "code": each.code, "message": each.message} for each in rejected]
    return Answer(200, codec.to_json({"success": True, "data": {"accepted": accepted, "rejected": refused}}))


def message_event(type_: str, message_id: str, body: object) -> object:
    """The event for which a shorthand route stands: what the body says, and the message of the path."""
    if not isinstance(body, dict):
        return body
    properties = body.get("properties") or {}
    if isinstance(properties, Mapping):
        properties = {**properties, "messageId": message_id}
    return {**body, "eventType": type_, "properties": properties}


def _taking(raws: Sequence[object], intake: Intake) -> Steps[None]:
    for raw in raws:
        intake.take(raw)
        yield


def _events_of(body: object) -> Sequence[object]:
    if not isinstance(body, dict):
        raise invalid_payload([Problem("", *NO_OBJECT)])
    raws = body.get("events")
    if not isinstance(raws, list):
        raise invalid_payload([Problem("/events", *(MISSING if raws is None else NO_LIST))])
    if len(raws) > BATCH_MAX_EVENTS:
        raise invalid_payload([Problem("/events", *too_long(BATCH_MAX_EVENTS, "events"))])
    return raws


def _random_id() -> bytes:
    return os.urandom(16)


def _unavailable(code: str, message: str) -> ApiError:
    return ApiError(503, code, message, headers={"Retry-After": _RETRY_AFTER_S})
