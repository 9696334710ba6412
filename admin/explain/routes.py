from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from admin.answers import Envelope
from admin.auth import Viewer
from admin.explain import service
from admin.explain.schemas import ExplainQuery, Explanation
from admin.ids import PathId
from admin.runtime import MomentMs, Transaction
from service.http import success

router = APIRouter(prefix="/in-app-messages", tags=["in-app messages"])


@router.get("/{id}/explain", response_model=Envelope[Explanation])
async def explain_message(
    viewer: Viewer,
    connection: Transaction,
    now_ms: MomentMs,
    message_id: PathId,
    query: Annotated[ExplainQuery, Query()],
) -> Response:
    """Why this message would or would not be shown to a customer now, rule by rule, and what would have to change.

    With neither `customerId` nor `anonymousId` it answers for somebody new.
    """
    return success(await service.explain_message(connection, viewer.org_id, message_id, query, now_ms))
