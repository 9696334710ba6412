"""Making, listing and revoking keys. Plain functions over a connection: the command line calls them as well."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admin import payloads
from admin.audit import service as audit
from admin.audit.service import Actor, Target
from admin.errors import conflict, not_found
from admin.keys import queries
from admin.keys.schemas import CreatedKey, Key, NewKey
from store import outbox
from store.ids import new_id
from store.orgs import lock_org
from wire import apikeys, times

_HINT_CHARACTERS = 4


async def create_key(connection: AsyncConnection, actor: Actor, payload: object, now_ms: int) -> CreatedKey:
    """Raises ApiError 422."""
    new = payloads.read(NewKey, payloads.json_object(payload))
    text = apikeys.mint(new.kind, new.env, actor.org_id)
    row = await queries.insert_key(
        connection,
        id=new_id(),
        org_id=actor.org_id,
        kind=new.kind,
        env=new.env,
        role=new.role,
        name=new.name,
        hint=text[-_HINT_CHARACTERS:],
        digest=apikeys.digest(text),
        created_ms=now_ms,
    )
    key = _key(row)
    shown = key.model_dump(include={"kind", "env", "role", "name", "hint"})
    await _record(connection, actor, "key.create", key, audit.difference({}, shown), now_ms)
    return CreatedKey(**key.model_dump(), key=text)


async def list_keys(connection: AsyncConnection, org_id: UUID) -> list[Key]:
    """Revoked ones too, the oldest first."""
    return [_key(row) for row in await queries.list_keys(connection, org_id)]


async def revoke_key(connection: AsyncConnection, actor: Actor, key_id: UUID, now_ms: int) -> Key:
    """Raises ApiError: 404, or 409 for the org's last secret key with the role admin."""
    await lock_org(connection, actor.org_id)
    row = await queries.select_key(connection, actor.org_id, key_id)
    if row is None:
        raise not_found()
    if row.revoked_ms is not None:
        return _key(row)
    if row.role == "admin" and not await queries.has_other_admin_key(connection, actor.org_id, key_id):
        raise conflict("last_admin_key", "This is the org's last admin key; make another one before you revoke it.")
    key = _key(await queries.set_revoked(connection, actor.org_id, key_id, now_ms))
    await _record(connection, actor, "key.revoke", key, {"revokedAt": (None, key.revoked_at)}, now_ms)
    return key


async def _record(
    connection: AsyncConnection, actor: Actor, action: str, key: Key, changes: audit.Changes, now_ms: int
) -> None:
    await audit.record(connection, actor, action, Target("key", str(key.id)), changes, now_ms)
    if key.kind == "pk":
        await outbox.announce(connection, actor.org_id, now_ms)


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        kind=row.kind,
        env=row.env,
        role=row.role,
        name=row.name,
        hint=row.hint,
        created_at=times.to_iso(row.created_ms),
        revoked_at=times.to_iso_or_none(row.revoked_ms),
    )
