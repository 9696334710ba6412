"""Server-side tracking."""

from sqlalchemy.ext.asyncio import AsyncConnection

from admin import intake, payloads
from admin.audit import service as audit
from admin.audit.service import Actor, Target
from admin.events.schemas import Track
from admin.intake import Intake
from store import inbox


async def track(connection: AsyncConnection, actor: Actor, payload: object, now_ms: int) -> Intake:
    """Each event is checked by itself; the recorder takes the good ones in. Raises ApiError."""
    events = payloads.read(Track, payloads.json_object(payload)).events
    accepted, rejected = intake.read(events, actor.org_id, now_ms)
    if accepted:
        await inbox.ask_events(connection, actor.org_id, accepted, now_ms)
        counts = {"events": (None, len(accepted))}
        await audit.record(connection, actor, "event.track", Target("event", ""), counts, now_ms)
    return intake.told(len(accepted), rejected)
