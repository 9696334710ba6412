from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from admin import payloads
from admin.auth import Admin, Viewer
from admin.fields import Envelope, Unread
from admin.ids import PathId
from admin.keys import service
from admin.keys.schemas import CreatedKey, Key, NewKey
from admin.runtime import NowMs, Transaction
from service.http import success

router = APIRouter(prefix="/keys", tags=["keys"])


New = Annotated[Any, Unread(NewKey), Body()]


@router.post("", status_code=201, response_model=Envelope[CreatedKey])
async def create_key(admin: Admin, connection: Transaction, now_ms: NowMs, payload: New) -> Response:
    """Makes a key; its text is in this answer and nowhere else."""
    return success(
        await service.create_key(connection, admin.actor, payloads.read(NewKey, payloads.json_object(payload)), now_ms),
        201,
    )


@router.get("", response_model=Envelope[list[Key]])
async def list_keys(viewer: Viewer, connection: Transaction) -> Response:
    """Every key that was ever made, revoked ones too."""
    return success(await service.list_keys(connection, viewer.org_id))


@router.delete("/{id}", response_model=Envelope[Key])
async def revoke_key(admin: Admin, connection: Transaction, now_ms: NowMs, key_id: PathId) -> Response:
    """Revokes a key at once; the org's last admin key stays (409)."""
    return success(await service.revoke_key(connection, admin.actor, key_id, now_ms))
