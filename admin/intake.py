"""Events that the API's users send, or that we make for them, on their way to the recorder."""

import os
from collections.abc import Sequence
from uuid import UUID

from admin.answers import Answer, example
from wire.events import Event
from wire.intake import Rejected, Source, read_events


class RejectedItem(Answer):
    """`index`: the place in the request."""

    index: int
    code: str
    message: str


class Intake(Answer):
    """How many were accepted; the others are listed."""

    model_config = example(
        accepted=1,
        rejected=[{"index": 1, "code": "event_type_missing", "message": "Name the event in eventType."}],
    )

    accepted: int
    rejected: list[RejectedItem]


def read(raws: Sequence[object], org_id: UUID, now_ms: int) -> tuple[list[Event], list[Rejected]]:
    """Checks each by itself. A secret key speaks for every user, so no identity token is asked for."""
    return read_events(raws, Source(org_id, now_ms, lambda: os.urandom(16)))


def told(accepted: int, rejected: Sequence[Rejected]) -> Intake:
    items = [RejectedItem(index=item.index, code=item.code, message=item.message) for item in rejected]
    return Intake(accepted=accepted, rejected=sorted(items, key=lambda item: item.index))
