"""Who is asking: an `sk_` key of the path's org, its role and its org's plan."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audit.service import Actor
from admin.errors import not_found
from admin.keys.schemas import Role
from admin.orgs.schemas import Plan
from admin.runtime import Transaction
from service.errors import ApiError
from store.tables import api_keys, orgs
from wire import apikeys
from wire.apikeys import ApiKey

_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="apiKey", description="A secret key, sk_…")
_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="A secret key, sk_…")


@dataclass(frozen=True, slots=True)
class Identity:
    org_id: UUID
    role: Role
    plan: Plan
    actor: Actor


async def read_key(
    header: Annotated[str | None, Depends(_header)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> ApiKey:
    """What can be refused without the database: 401 for what is no key, 403 for a public one."""
    key = apikeys.parse(header or (bearer.credentials if bearer else ""))
    if key is None:
        raise _invalid_key()
    if key.kind == "pk":
        raise ApiError(
            403, "public_key_on_admin", "This is a public key; the admin API takes a secret key, which begins with sk_."
        )
    return key


async def identify(
    org_id: Annotated[str, Path(alias="orgId", json_schema_extra={"format": "uuid"})],
    key: Annotated[ApiKey, Depends(read_key)],
    connection: Transaction,
) -> Identity:
    """401 for a key that is not valid, 404 for another org's path, whether that org exists or not."""
    identity = await _find(connection, key.digest)
    if identity is None:
        raise _invalid_key()
    if str(identity.org_id) != org_id.lower():
        raise not_found()
    return identity


async def _find(connection: AsyncConnection, digest: bytes) -> Identity | None:
    query = (
        select(*api_keys.c["id", "org_id", "role", "name", "hint"], orgs.c.plan)
        .join(orgs, orgs.c.id == api_keys.c.org_id)
        .where(api_keys.c.digest == digest, api_keys.c.kind == "sk", api_keys.c.revoked_ms.is_(None))
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    return Identity(row.org_id, row.role, row.plan, Actor(row.org_id, row.id, f"{row.name} (…{row.hint})"))


def _invalid_key() -> ApiError:
    return ApiError(
        401,
        "invalid_api_key",
        "Send a valid secret key in X-API-Key, or as Authorization: Bearer.",
        headers={"WWW-Authenticate": "Bearer"},
    )


Viewer = Annotated[Identity, Depends(identify)]
"""Any key of the org."""


def _with_role(*roles: Role) -> Callable[[Identity], Awaitable[Identity]]:
    async def check(identity: Viewer) -> Identity:
        if identity.role not in roles:
            words = " or ".join(roles)
            raise ApiError(403, "role_required", f"This needs a key with the role {words}; yours is {identity.role}.")
        return identity

    return check


Admin = Annotated[Identity, Depends(_with_role("admin"))]
Editor = Annotated[Identity, Depends(_with_role("admin", "editor"))]


async def _on_paid_plan(editor: Editor) -> Identity:
    if editor.plan == "free":
        raise ApiError(
            403,
            "plan_required",
            "On the free plan messages cannot be written. What is live keeps being served; to write again, "
            "have the operator set the plan starter or pro (inapp org plan).",
        )
    return editor


Author = Annotated[Identity, Depends(_on_paid_plan)]
"""An editor whose org may write messages."""
