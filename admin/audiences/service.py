"""Audiences, and who is in them. Each function runs in the caller's transaction and raises ApiError."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admin import payloads
from admin.answers import Page
from admin.audiences import member_queries, queries
from admin.audiences.readiness import Readiness, readiness_of
from admin.audiences.rules import in_order, read_rule
from admin.audiences.schemas import (
    Audience,
    AudienceDetails,
    AudienceProblem,
    Count,
    NewAudience,
    Preview,
    Use,
    Uses,
)
from admin.audit import service as audit
from admin.audit.service import Actor, Target
from admin.errors import conflict
from admin.paging import PageQuery, page, read_place
from store import features, outbox
from store.audiences import read_audiences
from store.ids import new_id
from store.orgs import lock_org
from store.rule_sql import rule_condition
from wire import times
from wire.problems import Problem
from wire.rule_tree import audience_refs, to_json
from wire.rules import parse_rule

_IN_USE = "Messages or other audiences use this audience; see details, and take it out of them first."
_IN_USE_ARCHIVED = (
    "Messages or other audiences use this audience; see details. Take it out of them, or delete those that are"
    " archived, first."
)


async def create_audience(connection: AsyncConnection, actor: Actor, payload: object, now_ms: int) -> Audience:
    given = payloads.json_object(payload)
    await lock_org(connection, actor.org_id)
    problems = await _rule_problems(connection, actor.org_id, given, None)
    new = payloads.read(NewAudience, given, problems)
    await _refuse_taken_name(connection, actor.org_id, new.name, None)
    audience_id = new_id()
    await queries.insert_audience(
        connection,
        id=audience_id,
        org_id=actor.org_id,
        name=new.name,
        description=new.description,
        rule=_normal(new.rule),
        created_ms=now_ms,
        updated_ms=now_ms,
    )
    await features.mark_preparing(connection, actor.org_id)
    row = await queries.get_audience(connection, actor.org_id, audience_id)
    await _audit(connection, actor, "create", row, audit.difference({}, _document(row)), now_ms)
    await outbox.announce(connection, actor.org_id, now_ms)
    return _show(row, await readiness_of(connection, actor.org_id))


async def list_audiences(connection: AsyncConnection, org_id: UUID, query: PageQuery) -> Page[Audience]:
    rows = await queries.list_audiences(connection, org_id, read_place(query.cursor), query.limit)
    readiness = await readiness_of(connection, org_id)
    return page(rows, query.limit, lambda row: _show(row, readiness))


async def get_audience(connection: AsyncConnection, org_id: UUID, audience_id: UUID, now_ms: int) -> AudienceDetails:
    row = await queries.get_audience(connection, org_id, audience_id)
    readiness = await readiness_of(connection, org_id)
    shown = _show(row, readiness).model_dump()
    used_by = await _uses(connection, org_id, audience_id)
    members = member_queries.of_audience(row, readiness.audiences.usable_rules, now_ms)
    if members is None:
        return AudienceDetails(**shown, member_count=None, exact=False, sampled=None, sample=[], used_by=used_by)
    counted = (await member_queries.counted(connection, members)).model_dump()
    return AudienceDetails(**shown, member_count=counted.pop("count"), **counted, used_by=used_by)


async def patch_audience(
    connection: AsyncConnection, actor: Actor, audience_id: UUID, payload: object, now_ms: int
) -> Audience:
    given = payloads.json_object(payload)
    await lock_org(connection, actor.org_id)
    row = await queries.get_audience(connection, actor.org_id, audience_id, lock=True)
    before = _document(row)
    problems = [*_kind_problems(before, given), *await _rule_problems(connection, actor.org_id, given, audience_id)]
    new = payloads.read(NewAudience, {**before, **given}, problems)
    await _refuse_taken_name(connection, actor.org_id, new.name, audience_id)
    rule = _normal(new.rule) if "rule" in given else before["rule"]
    after = {"name": new.name, "description": new.description, "rule": rule}
    changes = audit.difference(before, after)
    if changes:
        changed = {field: value for field, (_, value) in changes.items()}
        await queries.update_audience(connection, actor.org_id, audience_id, {**changed, "updated_ms": now_ms})
        await _audit(connection, actor, "update", row, changes, now_ms)
    if "rule" in changes:
        await features.mark_preparing(connection, actor.org_id)
        await outbox.announce(connection, actor.org_id, now_ms)
    changed_row = await queries.get_audience(connection, actor.org_id, audience_id)
    return _show(changed_row, await readiness_of(connection, actor.org_id))


async def delete_audience(connection: AsyncConnection, actor: Actor, audience_id: UUID, now_ms: int) -> None:
    """Waits for messages that are just being written for it, and is then refused."""
    await lock_org(connection, actor.org_id)
    row = await queries.get_audience(connection, actor.org_id, audience_id, lock=True)
    uses = await _uses(connection, actor.org_id, audience_id)
    if uses.messages or uses.audiences:
        archived = any(message.archived for message in uses.messages)
        raise conflict("audience_in_use", _IN_USE_ARCHIVED if archived else _IN_USE, list(_use_details(uses)))
    await queries.delete_audience(connection, actor.org_id, audience_id)
    await _audit(connection, actor, "delete", row, audit.difference(_document(row), {}), now_ms)
    await outbox.announce(connection, actor.org_id, now_ms)


async def preview(connection: AsyncConnection, org_id: UUID, payload: object, now_ms: int) -> Count:
    given = payloads.json_object(payload)
    others = await read_audiences(connection, org_id)
    reading = read_rule(given.get("rule"), "/rule", others) if "rule" in given else None
    payloads.read(Preview, given, reading.problems if reading else ())
    rule, rules = parse_rule(given["rule"]), others.usable_rules
    condition = rule_condition(rule, org_id=org_id, rules=rules, now_ms=now_ms)
    return await member_queries.counted(connection, member_queries.ruled(org_id, condition))


async def _rule_problems(
    connection: AsyncConnection, org_id: UUID, given: Mapping[str, Any], audience_id: UUID | None
) -> list[Problem]:
    if given.get("rule") is None:
        return []
    return read_rule(given["rule"], "/rule", await read_audiences(connection, org_id), audience_id).problems


def _kind_problems(before: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Problem]:
    if "rule" in given and (given["rule"] is None) != (before["rule"] is None):
        message = "A static audience stays static, and one with a rule keeps one; make another audience instead."
        yield Problem("/rule", "audience_kind_fixed", message)


async def _refuse_taken_name(connection: AsyncConnection, org_id: UUID, name: str, audience_id: UUID | None) -> None:
    taken_by = await queries.id_of_name(connection, org_id, name)
    if taken_by is not None and taken_by != audience_id:
        raise conflict("name_taken", "Another audience of this org has this name.")


async def _uses(connection: AsyncConnection, org_id: UUID, audience_id: UUID) -> Uses:
    others = await read_audiences(connection, org_id)
    referring = [other_id for other_id, rule in others.rules.items() if str(audience_id) in audience_refs(rule)]
    named = [Use(id=UUID(other_id), name=others.names[other_id]) for other_id in referring]
    return Uses(
        messages=await queries.messages_using(connection, org_id, audience_id),
        audiences=sorted(named, key=lambda use: use.name),
    )


def _use_details(uses: Uses) -> Iterator[Problem]:
    for message in uses.messages:
        marked = ", archived" if message.archived else ""
        yield Problem("", "used_by_message", f"{message.name} ({message.id}){marked}")
    for audience in uses.audiences:
        yield Problem("", "used_by_audience", f"{audience.name} ({audience.id})")


def _normal(rule: object) -> dict[str, object] | None:
    """A rule that has been checked, as it is stored."""
    return None if rule is None else to_json(parse_rule(rule))


def _document(row: Row[Any]) -> dict[str, Any]:
    return {"name": row.name, "description": row.description, "rule": in_order(row.rule)}


def _show(row: Row[Any], readiness: Readiness) -> Audience:
    problems = readiness.audiences.broken.get(str(row.id), ())
    return Audience(
        id=row.id,
        status="preparing" if row.preparing else "ready",
        progress=readiness.percent(row.id, row.preparing),
        problems=[AudienceProblem(**problem._asdict()) for problem in problems],
        created_at=times.to_iso(row.created_ms),
        updated_at=times.to_iso(row.updated_ms),
        **_document(row),
    )


async def _audit(
    connection: AsyncConnection, actor: Actor, verb: str, row: Row[Any], changes: audit.Changes, now_ms: int
) -> None:
    await audit.record(connection, actor, f"audience.{verb}", Target("audience", str(row.id)), changes, now_ms)
