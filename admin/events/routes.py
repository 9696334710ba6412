from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from admin.answers import Envelope
from admin.auth import Editor
from admin.events import service
from admin.events.schemas import Track
from admin.intake import Intake
from admin.payloads import Unread
from admin.runtime import MomentMs, Transaction
from service.http import success

router = APIRouter(prefix="/events", tags=["events"])

Events = Annotated[Any, Unread(Track), Body()]


@router.post("", status_code=202, response_model=Envelope[Intake])
async def track(editor: Editor, connection: Transaction, now_ms: MomentMs, payload: Events) -> Response:
    """Takes in up to 500 events from a server, in the shape that SDKs send; a bad one does not hold up the others."""
    return success(await service.track(connection, editor.actor, payload, now_ms), 202)
