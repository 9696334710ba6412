from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from admin.auth import Editor
from admin.events import service
from admin.events.schemas import Track
from admin.fields import Envelope, Unread
from admin.intake import Intake
from admin.runtime import NowMs, Transaction
from service.http import success

router = APIRouter(prefix="/events", tags=["events"])

Events = Annotated[Any, Unread(Track), Body()]


@router.post("", status_code=202, response_model=Envelope[Intake])
async def track(editor: Editor, connection: Transaction, now_ms: NowMs, payload: Events) -> Response:
    """Takes in up to 500 events from a server, in the shape that SDKs send; a bad one does not hold up the others."""
    return success(await service.track(connection, editor.actor, payload, now_ms), 202)
