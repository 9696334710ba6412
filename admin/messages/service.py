"""Writing messages. Each function runs in the caller's transaction and raises ApiError."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admin import payloads
from admin.answers import Page
from admin.audit import service as audit
from admin.audit.service import Actor, Target
from admin.errors import conflict, not_found
from admin.messages import checks, queries, urls
from admin.messages.document import Document, columns_of, document_of, merge, problems_of, shown
from admin.messages.schemas import Message, MessageProblem, MessageQuery, MessageSpec, NewMessage
from admin.messages.status import status_of
from admin.orgs.queries import app_schemes
from admin.paging import page
from service.errors import invalid_payload
from store import outbox
from store.ids import new_id
from wire import times

S = TypeVar("S", bound=MessageSpec)

_PROBLEMS = TypeAdapter(list[MessageProblem])


async def create_message(connection: AsyncConnection, actor: Actor, payload: object, now_ms: int) -> Message:
    given = payloads.json_object(payload)
    schemes = await app_schemes(connection, actor.org_id)
    spec = await _read(connection, actor.org_id, NewMessage, given, schemes)
    values = {
        **columns_of(spec),
        "id": new_id(),
        "org_id": actor.org_id,
        "version": 1,
        "created_ms": now_ms,
        "updated_ms": now_ms,
        "published_ms": None if spec.draft else now_ms,
    }
    row = await queries.insert_message(connection, values)
    await _audit(connection, actor, "create", row, audit.difference({}, _audited(row)), now_ms)
    await _publish_version(connection, actor, row, now_ms)
    return show(row, now_ms)


async def get_message(connection: AsyncConnection, org_id: UUID, message_id: UUID, now_ms: int) -> Message:
    return show(_found(await queries.select_message(connection, org_id, message_id)), now_ms)


async def list_messages(connection: AsyncConnection, org_id: UUID, query: MessageQuery, now_ms: int) -> Page[Message]:
    rows = await queries.list_messages(connection, org_id, query, now_ms)
    return page(rows, query.limit, lambda row: show(row, now_ms))


async def patch_message(
    connection: AsyncConnection, actor: Actor, message_id: UUID, payload: object, now_ms: int
) -> Message:
    """A published message changes at once; a change of anything but `active` makes it another version.

    Nothing but a pause goes without checks: it must work on whatever is stored.
    """
    given = payloads.json_object(payload)
    row = await _writable(connection, actor, message_id)
    before = document_of(row)
    columns = {"active": False} if _is_pause(given) else await _merged(connection, row, before, given)
    changed = {name: value for name, value in columns.items() if not audit.same(value, row._mapping[name])}
    if not changed:
        return show(row, now_ms)
    is_new_version = row.published_ms is not None and changed.keys() != {"active"}
    values = {**changed, "version": row.version + is_new_version, "updated_ms": now_ms}
    after = await queries.update_message(connection, actor.org_id, message_id, values)
    await _audit(connection, actor, "update", after, audit.difference(before, document_of(after)), now_ms)
    if is_new_version:
        await _publish_version(connection, actor, after, now_ms)
    elif after.published_ms is not None:
        await outbox.announce(connection, actor.org_id, now_ms)
    return show(after, now_ms)


def _is_pause(given: Mapping[str, Any]) -> bool:
    return given.keys() == {"active"} and given["active"] is False


async def _merged(
    connection: AsyncConnection, row: Row[Any], before: Document, given: Mapping[str, Any]
) -> dict[str, Any]:
    schemes = await _schemes(connection, row)
    return columns_of(await _read(connection, row.org_id, MessageSpec, merge(before, given), schemes))


async def publish_message(connection: AsyncConnection, actor: Actor, message_id: UUID, now_ms: int) -> Message:
    """One that is published already stays as it is."""
    row = await _writable(connection, actor, message_id)
    if row.published_ms is not None:
        return show(row, now_ms)
    values = {"published_ms": now_ms, "updated_ms": now_ms}
    after = await queries.update_message(connection, actor.org_id, message_id, values)
    await _audit(connection, actor, "publish", after, {"draft": (True, False)}, now_ms)
    await _publish_version(connection, actor, after, now_ms)
    return show(after, now_ms)


async def archive_message(connection: AsyncConnection, actor: Actor, message_id: UUID, now_ms: int) -> Message:
    """Takes it out of the list of what is served, for good; its numbers stay."""
    row = await _writable(connection, actor, message_id)
    values = {"archived_ms": now_ms, "updated_ms": now_ms}
    after = await queries.update_message(connection, actor.org_id, message_id, values)
    await _audit(connection, actor, "archive", after, {"archivedAt": (None, times.to_iso(now_ms))}, now_ms)
    if row.published_ms is not None:
        await outbox.announce(connection, actor.org_id, now_ms)
    return show(after, now_ms)


async def delete_message(connection: AsyncConnection, actor: Actor, message_id: UUID, now_ms: int) -> None:
    """Archived ones too: this is how they go."""
    row = _found(await queries.select_message(connection, actor.org_id, message_id, lock=True))
    await queries.delete_message(connection, actor.org_id, message_id)
    await _audit(connection, actor, "delete", row, audit.difference(_audited(row), {}), now_ms)
    if row.published_ms is not None:
        await outbox.announce(connection, actor.org_id, now_ms)


def show(row: Row[Any], now_ms: int) -> Message:
    document = document_of(row)
    return Message(
        id=row.id,
        status=status_of(row, now_ms),
        version=row.version,
        problems=_found_problems(row) or [MessageProblem(**found._asdict()) for found in problems_of(document)],
        created_at=times.to_iso(row.created_ms),
        updated_at=times.to_iso(row.updated_ms),
        published_at=times.to_iso_or_none(row.published_ms),
        archived_at=times.to_iso_or_none(row.archived_ms),
        **shown(document),
    )


def _found_problems(row: Row[Any]) -> list[MessageProblem]:
    """What the compiler wrote."""
    try:
        return _PROBLEMS.validate_python(row.problems)
    except ValidationError:
        return []


async def _read(
    connection: AsyncConnection, org_id: UUID, model: type[S], payload: Mapping[str, Any], schemes: frozenset[str]
) -> S:
    """The checked payload, or every problem that it has."""
    shape = payloads.shape_problems(model, payload)
    readable = checks.Readable(payload, shape)
    named = checks.mentions(payload)
    existing = await queries.existing_audiences(connection, org_id, set(named.values()))
    problems = [
        *shape,
        *checks.url_problems(readable, schemes),
        *checks.rule_problems(readable),
        *checks.goal_problems(readable),
        *checks.combination_problems(readable),
        *checks.audience_problems(named, existing),
    ]
    if problems:
        raise invalid_payload(problems)
    return model.model_validate(payload)


async def _schemes(connection: AsyncConnection, row: Row[Any]) -> frozenset[str]:
    """The org's, and the one that the message has already: the rest may still change when its scheme is given up."""
    url = checks.Readable(document_of(row), ()).get("/content/ctaUrl")
    own = urls.scheme_of(url) if isinstance(url, str) else None
    return await app_schemes(connection, row.org_id) | ({own} if own else frozenset())


async def _writable(connection: AsyncConnection, actor: Actor, message_id: UUID) -> Row[Any]:
    """The message, locked until the transaction ends, so that two writers follow each other."""
    row = _found(await queries.select_message(connection, actor.org_id, message_id, lock=True))
    if row.archived_ms is not None:
        raise conflict("archived", "This message is archived and does not change any more.")
    return row


def _found(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise not_found()
    return row


async def _publish_version(connection: AsyncConnection, actor: Actor, row: Row[Any], now_ms: int) -> None:
    if row.published_ms is None:
        return
    await queries.insert_version(
        connection,
        message_id=row.id,
        version=row.version,
        org_id=actor.org_id,
        spec=document_of(row),
        published_ms=now_ms,
        published_by=actor.key_id,
    )
    await outbox.announce(connection, actor.org_id, now_ms)


def _audited(row: Row[Any]) -> Document:
    return {**document_of(row), "draft": row.published_ms is None}


async def _audit(
    connection: AsyncConnection, actor: Actor, verb: str, row: Row[Any], changes: audit.Changes, now_ms: int
) -> None:
    await audit.record(connection, actor, f"message.{verb}", Target("message", str(row.id)), changes, now_ms)
