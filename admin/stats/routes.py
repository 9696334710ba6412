from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from admin.answers import Envelope
from admin.auth import Viewer
from admin.ids import PathId
from admin.runtime import MomentMs, Transaction
from admin.stats import service
from admin.stats.schemas import MessageStats, OrgStats, OrgStatsQuery, StatsQuery
from service.http import success

router = APIRouter(prefix="/in-app-messages", tags=["statistics"])


@router.get("/stats", response_model=Envelope[OrgStats])
async def org_stats(
    viewer: Viewer, connection: Transaction, now_ms: MomentMs, _query: Annotated[OrgStatsQuery, Query()]
) -> Response:
    """All messages together."""
    return success(await service.org_stats(connection, viewer.org_id, now_ms))


@router.get("/{id}/stats", response_model=Envelope[MessageStats])
async def message_stats(
    viewer: Viewer, connection: Transaction, now_ms: MomentMs, message_id: PathId, query: Annotated[StatsQuery, Query()]
) -> Response:
    """One message: its totals, and how they came about over time."""
    return success(await service.message_stats(connection, viewer.org_id, message_id, query, now_ms))
