from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query
from starlette.responses import Response

from admin.answers import Envelope, Page
from admin.auth import Editor, Viewer
from admin.awaiting import applied
from admin.customers import service
from admin.customers.schemas import (
    Accepted,
    Customer,
    CustomerDetails,
    CustomerQuery,
    CustomerTraits,
    Erased,
    Import,
)
from admin.intake import Intake
from admin.payloads import Unread
from admin.runtime import CurrentRuntime, MomentMs, Transaction
from service.http import success

router = APIRouter(prefix="/customers", tags=["customers"])

UserId = Annotated[str, Path(alias="userId", description="the app's own id of the user; it may have slashes")]
Traits = Annotated[Any, Unread(CustomerTraits), Body()]
Customers = Annotated[Any, Unread(Import), Body()]
_LATER: dict[int | str, dict[str, Any]] = {202: {"model": Envelope[Accepted], "description": "Applied soon"}}


@router.get("", response_model=Envelope[Page[Customer]])
async def list_customers(viewer: Viewer, connection: Transaction, query: Annotated[CustomerQuery, Query()]) -> Response:
    """In the order of their ids, anonymous visitors first."""
    return success(await service.list_customers(connection, viewer.org_id, query))


@router.post("/bulk", status_code=202, response_model=Envelope[Intake])
async def import_customers(editor: Editor, connection: Transaction, now_ms: MomentMs, payload: Customers) -> Response:
    """Creates or updates up to 1,000 customers; a bad one does not hold up the others."""
    return success(await service.import_customers(connection, editor.actor, payload, now_ms), 202)


@router.get("/{userId:path}", response_model=Envelope[CustomerDetails])
async def get_customer(viewer: Viewer, connection: Transaction, now_ms: MomentMs, user_id: UserId) -> Response:
    """A user's traits, audiences, newest events, earlier anonymous ids, and what they did with each message."""
    return success(await service.get_customer(connection, viewer.org_id, user_id, now_ms))


@router.put("/{userId:path}", response_model=Envelope[CustomerDetails], responses=_LATER)
async def put_customer(
    editor: Editor, runtime: CurrentRuntime, connection: Transaction, now_ms: MomentMs, user_id: UserId, payload: Traits
) -> Response:
    """Creates a customer, or merges the traits into what is known. Answers once it is done, or after 2 s with 202."""
    inbox_id = await service.put_customer(connection, editor.actor, user_id, payload, now_ms)
    if not await applied(runtime, connection, inbox_id):
        return success(Accepted(), 202)
    async with runtime.engine.connect() as fresh:
        return success(await service.get_customer(fresh, editor.org_id, user_id, runtime.now_ms()))


@router.delete("/{userId:path}", response_model=Envelope[Erased], responses=_LATER)
async def erase_customer(
    editor: Editor, runtime: CurrentRuntime, connection: Transaction, now_ms: MomentMs, user_id: UserId
) -> Response:
    """Forgets all about a user, and drops their events that are still on the way. 202 when it takes over 2 s."""
    inbox_id = await service.erase_customer(connection, editor.actor, user_id, now_ms)
    done = await applied(runtime, connection, inbox_id)
    return success(Erased(user_id=user_id)) if done else success(Accepted(), 202)
