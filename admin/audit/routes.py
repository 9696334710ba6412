from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Row
from starlette.responses import Response

from admin.answers import Envelope, Page
from admin.audit import queries
from admin.audit.schemas import AuditEntry, AuditTarget
from admin.auth import Viewer
from admin.paging import PageQuery, page, read_place
from admin.runtime import Transaction
from service.http import success
from wire import times

router = APIRouter(prefix="/audit-log", tags=["audit log"])


@router.get("", response_model=Envelope[Page[AuditEntry]])
async def list_audit_log(viewer: Viewer, connection: Transaction, query: Annotated[PageQuery, Query()]) -> Response:
    """Every write of the org, the newest first."""
    rows = await queries.list_rows(connection, viewer.org_id, read_place(query.cursor), query.limit)
    return success(page(rows, query.limit, _entry))


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=times.to_iso(row.created_ms),
        actor=row.actor,
        key_id=row.key_id,
        action=row.action,
        target=AuditTarget(type=row.target_type, id=row.target_id),
        request_id=row.request_id,
        changes=row.changes,
    )
