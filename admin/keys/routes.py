from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from admin.answers import Envelope
from admin.auth import Admin, Viewer
from admin.ids import PathId
from admin.keys import service
from admin.keys.schemas import CreatedKey, Key, NewKey
from admin.payloads import Unread
from admin.runtime import MomentMs, Transaction
from service.http import success

router = APIRouter(prefix="/keys", tags=["keys"])


New = Annotated[Any, Unread(NewKey), Body()]


@router.post("", status_code=201, response_model=Envelope[CreatedKey])
async def create_key(admin: Admin, connection: Transaction, now_ms: MomentMs, payload: New) -> Response:
    """Makes a key; its text is in this answer and nowhere else."""
    return success(await service.create_key(connection, admin.actor, payload, now_ms), 201)


@router.get("", response_model=Envelope[list[Key]])
async def list_keys(viewer: Viewer, connection: Transaction) -> Response:
    """Every key that was ever made, revoked ones too."""
    return success(await service.list_keys(connection, viewer.org_id))


@router.delete("/{id}", response_model=Envelope[Key])
async def revoke_key(admin: Admin, connection: Transaction, now_ms: MomentMs, key_id: PathId) -> Response:
    """Revokes a key at once; the org's last admin key stays (409)."""
    return success(await service.revoke_key(connection, admin.actor, key_id, now_ms))
