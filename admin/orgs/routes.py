from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from admin.answers import Envelope
from admin.auth import Admin, Viewer
from admin.orgs import service
from admin.orgs.schemas import IdentitySecret, Org, OrgPatch
from admin.payloads import Unread
from admin.runtime import MomentMs, Transaction
from service.http import success

router = APIRouter(tags=["org"])

Patch = Annotated[Any, Unread(OrgPatch), Body()]


@router.get("", response_model=Envelope[Org])
async def get_org(viewer: Viewer, connection: Transaction) -> Response:
    """The org of the key."""
    return success(await service.get_org(connection, viewer.org_id))


@router.patch("", response_model=Envelope[Org])
async def patch_org(admin: Admin, connection: Transaction, now_ms: MomentMs, payload: Patch) -> Response:
    """Changes the fields that are given."""
    return success(await service.patch_org(connection, admin.actor, payload, now_ms))


@router.post("/identity-secret", status_code=201, response_model=Envelope[IdentitySecret])
async def make_identity_secret(admin: Admin, connection: Transaction, now_ms: MomentMs) -> Response:
    """Makes a new secret for identity tokens, in place of the one before; it is in this answer and nowhere else."""
    return success(await service.make_identity_secret(connection, admin.actor, now_ms), 201)
