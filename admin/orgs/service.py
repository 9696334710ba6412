"""Orgs: making them and setting plans (the command line), their settings and identity secret (the API)."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admin import payloads
from admin.audit import service as audit
from admin.audit.service import Actor, Target
from admin.errors import not_found
from admin.keys.service import create_key
from admin.orgs import queries
from admin.orgs.schemas import IdentitySecret, NewOrg, Org, OrgPatch, Plan
from store import outbox
from store.ids import new_id
from store.orgs import lock_org
from wire.problems import Problem

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class CreatedOrg:
    """`secret_key` has the role admin; neither key's text can be had again."""

    org_id: UUID
    secret_key: str = field(repr=False)
    public_key: str


async def create_org(connection: AsyncConnection, name: str, plan: Plan, now_ms: int) -> CreatedOrg:
    """An org with its first two keys. Raises ApiError 422 for a name or plan that cannot be."""
    new = payloads.read(NewOrg, {"name": name, "plan": plan})
    actor = Actor.cli(new_id())
    await queries.insert_org(connection, id=actor.org_id, name=new.name, plan=new.plan, created_ms=now_ms)
    changes: audit.Changes = {"name": (None, new.name), "plan": (None, new.plan)}
    await audit.record(connection, actor, "org.create", _target(actor), changes, now_ms)
    secret = {"kind": "sk", "role": "admin", "name": "First secret key"}
    public = {"kind": "pk", "name": "First public key"}
    secret_key = (await create_key(connection, actor, secret, now_ms)).key
    public_key = (await create_key(connection, actor, public, now_ms)).key
    return CreatedOrg(actor.org_id, secret_key, public_key)


async def set_plan(connection: AsyncConnection, org_id: UUID, plan: Plan, now_ms: int) -> Org:
    """By the command line. Raises ApiError: 404, or 422 for a plan that is none."""
    before = _existing(await lock_org(connection, org_id))
    payloads.read(NewOrg, {"name": before.name, "plan": plan})
    return await _change(connection, Actor.cli(org_id), before, {"plan": plan}, now_ms)


async def get_org(connection: AsyncConnection, org_id: UUID) -> Org:
    return _existing(await queries.select_org(connection, org_id))


async def patch_org(connection: AsyncConnection, actor: Actor, payload: object, now_ms: int) -> Org:
    """Raises ApiError 422."""
    given = payloads.json_object(payload)
    before = _existing(await lock_org(connection, actor.org_id))
    patch = payloads.read(OrgPatch, given, _token_problems(given, before))
    return await _change(connection, actor, before, patch.model_dump(exclude_none=True), now_ms)


async def make_identity_secret(connection: AsyncConnection, actor: Actor, now_ms: int) -> IdentitySecret:
    """Takes the place of the one before at once."""
    before = _existing(await lock_org(connection, actor.org_id))
    secret = secrets.token_hex(_SECRET_BYTES)
    await queries.update_org(connection, actor.org_id, {"identity_secret": secret})
    changes: audit.Changes = {"hasIdentitySecret": (before.has_identity_secret, True)}
    await audit.record(connection, actor, "org.identity_secret", _target(actor), changes, now_ms)
    await outbox.announce(connection, actor.org_id, now_ms)
    return IdentitySecret(identity_secret=secret)


async def _change(connection: AsyncConnection, actor: Actor, before: Org, values: dict[str, Any], now_ms: int) -> Org:
    if not values:
        return before
    after = _org(await queries.update_org(connection, actor.org_id, values))
    changes = audit.difference(before.model_dump(by_alias=True), after.model_dump(by_alias=True))
    if changes:
        await audit.record(connection, actor, "org.update", _target(actor), changes, now_ms)
    if "requireIdentityToken" in changes:
        await outbox.announce(connection, actor.org_id, now_ms)
    return after


def _token_problems(payload: Mapping[str, Any], before: Org) -> list[Problem]:
    if payload.get("requireIdentityToken") is not True or before.has_identity_secret:
        return []
    message = "Make an identity secret first (POST identity-secret) and sign your users' ids with it."
    return [Problem("/requireIdentityToken", "identity_secret_missing", message)]


def _target(actor: Actor) -> Target:
    return Target("org", str(actor.org_id))


def _existing(row: Row[Any] | None) -> Org:
    if row is None:
        raise not_found()
    return _org(row)


def _org(row: Row[Any]) -> Org:
    return Org(
        id=row.id,
        name=row.name,
        plan=row.plan,
        app_schemes=list(row.app_schemes),
        require_identity_token=row.require_identity_token,
        has_identity_secret=row.identity_secret is not None,
    )
