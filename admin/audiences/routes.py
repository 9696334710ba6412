from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query
from starlette.responses import Response

from admin.answers import Deleted, Envelope, Page
from admin.audiences import member_service, service
from admin.audiences.schemas import (
    Audience,
    AudienceDetails,
    AudiencePatch,
    Count,
    MembersChange,
    MembersChanged,
    MembershipAnswer,
    NewAudience,
    Preview,
)
from admin.auth import Editor, Viewer
from admin.awaiting import applied
from admin.ids import PathId
from admin.paging import PageQuery
from admin.payloads import Unread
from admin.runtime import CurrentRuntime, MomentMs, Transaction
from admin.subjects import CustomerRef
from service.http import success
from service.openapi import error_responses

router = APIRouter(prefix="/audiences", tags=["audiences"])

New = Annotated[Any, Unread(NewAudience), Body()]
Patch = Annotated[Any, Unread(AudiencePatch), Body()]
Previewed = Annotated[Any, Unread(Preview), Body()]
UserId = Annotated[str, Path(alias="userId", description="the app's own id of the user; it may have slashes")]
Change = Annotated[Any, Unread(MembersChange), Body()]
_NAME_TAKEN = error_responses({409: "Another audience has the name"})
_IN_USE = error_responses({409: "Messages or audiences use it; details name them"})
_UNREADABLE = error_responses(
    {409: "The stored rule cannot be used", 503: "It takes too long, or the database is away"}
)
_NOT_STATIC = error_responses({409: "The audience has a rule"})
_LATER: dict[int | str, dict[str, Any]] = {202: {"description": "Taken in; it is applied as soon as possible"}}


@router.post("", status_code=201, response_model=Envelope[Audience], responses=_NAME_TAKEN)
async def create_audience(editor: Editor, connection: Transaction, now_ms: MomentMs, payload: New) -> Response:
    """Makes an audience by a rule, or a static one without."""
    return success(await service.create_audience(connection, editor.actor, payload, now_ms), 201)


@router.get("", response_model=Envelope[Page[Audience]])
async def list_audiences(viewer: Viewer, connection: Transaction, query: Annotated[PageQuery, Query()]) -> Response:
    """The newest first."""
    return success(await service.list_audiences(connection, viewer.org_id, query))


@router.post("/preview", response_model=Envelope[Count])
async def preview(viewer: Viewer, connection: Transaction, now_ms: MomentMs, payload: Previewed) -> Response:
    """Whom a rule would hold for now; nothing is stored. An estimate that says so where counting takes too long."""
    return success(await service.preview(connection, viewer.org_id, payload, now_ms))


@router.get("/{id}", response_model=Envelope[AudienceDetails])
async def get_audience(viewer: Viewer, connection: Transaction, now_ms: MomentMs, audience_id: PathId) -> Response:
    """With the number of its members, users and anonymous visitors, and what uses it.

    The number is an estimate that says so where counting takes too long.
    """
    return success(await service.get_audience(connection, viewer.org_id, audience_id, now_ms))


@router.patch("/{id}", response_model=Envelope[Audience], responses=_NAME_TAKEN)
async def patch_audience(
    editor: Editor, connection: Transaction, now_ms: MomentMs, audience_id: PathId, payload: Patch
) -> Response:
    """Changes the fields that are given; a rule takes the place of the one before."""
    return success(await service.patch_audience(connection, editor.actor, audience_id, payload, now_ms))


@router.delete("/{id}", response_model=Envelope[Deleted], responses=_IN_USE)
async def delete_audience(editor: Editor, connection: Transaction, now_ms: MomentMs, audience_id: PathId) -> Response:
    """Removes an audience that nothing uses any more."""
    await service.delete_audience(connection, editor.actor, audience_id, now_ms)
    return success(Deleted(id=audience_id))


@router.get("/{id}/members", response_model=Envelope[Page[CustomerRef]], responses=_UNREADABLE)
async def list_members(
    viewer: Viewer, connection: Transaction, now_ms: MomentMs, audience_id: PathId, query: Annotated[PageQuery, Query()]
) -> Response:
    """In the order of their ids, anonymous visitors first."""
    return success(await member_service.list_members(connection, viewer.org_id, audience_id, query, now_ms))


@router.get("/{id}/members/{userId:path}", response_model=Envelope[MembershipAnswer], responses=_UNREADABLE)
async def get_membership(
    viewer: Viewer, connection: Transaction, now_ms: MomentMs, audience_id: PathId, user_id: UserId
) -> Response:
    """Whether a user is in the audience now, and which conditions of its rule decide that."""
    return success(await member_service.get_membership(connection, viewer.org_id, audience_id, user_id, now_ms))


@router.post("/{id}/members", response_model=Envelope[MembersChanged], responses={**_LATER, **_NOT_STATIC})
async def change_members(
    editor: Editor,
    runtime: CurrentRuntime,
    connection: Transaction,
    now_ms: MomentMs,
    audience_id: PathId,
    payload: Change,
) -> Response:
    """Adds users to a static audience and removes them. Answers once it is done, or after 2 s with 202."""
    inbox_id = await member_service.change_members(connection, editor.actor, audience_id, payload, now_ms)
    if not await applied(runtime, connection, inbox_id):
        return success(MembersChanged(), 202)
    async with runtime.engine.connect() as fresh:
        count = await member_service.count_members(fresh, editor.org_id, audience_id)
    return success(MembersChanged(member_count=count))
