from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from admin.answers import Deleted, Envelope, Page
from admin.auth import Author, Viewer
from admin.ids import PathId
from admin.messages import service
from admin.messages.schemas import Message, MessagePatch, MessageQuery, NewMessage
from admin.payloads import Unread
from admin.runtime import MomentMs, Transaction
from service.http import success
from service.openapi import error_responses

router = APIRouter(prefix="/in-app-messages", tags=["in-app messages"])

New = Annotated[Any, Unread(NewMessage), Body()]
Patch = Annotated[Any, Unread(MessagePatch), Body()]
_ARCHIVED = error_responses({409: "The message is archived"})


@router.post("", status_code=201, response_model=Envelope[Message])
async def create_message(author: Author, connection: Transaction, now_ms: MomentMs, payload: New) -> Response:
    """Writes a message and publishes it at once, unless it is a draft."""
    return success(await service.create_message(connection, author.actor, payload, now_ms), 201)


@router.get("", response_model=Envelope[Page[Message]])
async def list_messages(
    viewer: Viewer, connection: Transaction, now_ms: MomentMs, query: Annotated[MessageQuery, Query()]
) -> Response:
    """The newest first, archived ones too unless a status is asked for."""
    return success(await service.list_messages(connection, viewer.org_id, query, now_ms))


@router.get("/{id}", response_model=Envelope[Message])
async def get_message(viewer: Viewer, connection: Transaction, now_ms: MomentMs, message_id: PathId) -> Response:
    """One message, with its status and what keeps it from being served."""
    return success(await service.get_message(connection, viewer.org_id, message_id, now_ms))


@router.patch("/{id}", response_model=Envelope[Message], responses=_ARCHIVED)
async def patch_message(
    author: Author, connection: Transaction, now_ms: MomentMs, message_id: PathId, payload: Patch
) -> Response:
    """Merges the given fields into the message (RFC 7396). What is published changes at once."""
    return success(await service.patch_message(connection, author.actor, message_id, payload, now_ms))


@router.delete("/{id}", response_model=Envelope[Deleted])
async def delete_message(author: Author, connection: Transaction, now_ms: MomentMs, message_id: PathId) -> Response:
    """Removes a message with its numbers, for good; archiving keeps them."""
    await service.delete_message(connection, author.actor, message_id, now_ms)
    return success(Deleted(id=message_id))


@router.post("/{id}/publish", response_model=Envelope[Message], responses=_ARCHIVED)
async def publish_message(author: Author, connection: Transaction, now_ms: MomentMs, message_id: PathId) -> Response:
    """Puts a draft live; what is published already stays as it is."""
    return success(await service.publish_message(connection, author.actor, message_id, now_ms))


@router.post("/{id}/archive", response_model=Envelope[Message], responses=_ARCHIVED)
async def archive_message(author: Author, connection: Transaction, now_ms: MomentMs, message_id: PathId) -> Response:
    """Stops serving a message for good and keeps its numbers."""
    return success(await service.archive_message(connection, author.actor, message_id, now_ms))
