"""Customers: read from Postgres, written through the recorder. Each function raises ApiError."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from admin import intake, payloads
from admin.answers import Page
from admin.audit import service as audit
from admin.audit.service import Actor, Target
from admin.customers import queries
from admin.customers.membership import standing_of
from admin.customers.schemas import (
    AudienceRef,
    Customer,
    CustomerDetails,
    CustomerQuery,
    CustomerTraits,
    Import,
    MessageSeen,
    RecentEvent,
)
from admin.customers.traits import item_problem, trait_problems, user_id_problem
from admin.errors import not_found, refused
from admin.intake import Intake
from admin.paging import encode_cursor, page, read_subject
from admin.subjects import ref
from engine.audiences import StoredAudience
from service.errors import invalid_payload
from store import inbox
from store.ids import new_ids
from wire import subjects, times
from wire.events import IDENTIFIED, UPDATED, Event
from wire.intake import Rejected


async def get_customer(connection: AsyncConnection, org_id: UUID, user_id: str, now_ms: int) -> CustomerDetails:
    subject = readable_subject(user_id)
    row = await queries.select_customer(connection, org_id, subject)
    if row is None:
        raise not_found()
    standing = await standing_of(connection, org_id, subject, now_ms)
    return CustomerDetails(
        **_show(row).model_dump(),
        aliases=await queries.aliases_of(connection, org_id, subject),
        audiences=[_named(audience) for audience in standing.within],
        preparing=[_named(audience) for audience in standing.preparing],
        recent_events=[_event(event) for event in await queries.events_of(connection, org_id, subject)],
        messages=[_seen(seen) for seen in await queries.messages_of(connection, org_id, subject)],
    )


async def list_customers(connection: AsyncConnection, org_id: UUID, query: CustomerQuery) -> Page[Customer]:
    after = read_subject(query.cursor)
    rows = await queries.list_customers(connection, org_id, query.q, after, query.limit)
    return page(rows, query.limit, _show, lambda row: encode_cursor(row.subject))


async def put_customer(connection: AsyncConnection, actor: Actor, user_id: str, payload: object, now_ms: int) -> int:
    """The id of the inbox row with which the recorder is asked."""
    given = payloads.json_object(payload)
    traits = given.get("traits")
    problems = [
        *filter(None, [user_id_problem(user_id, "/path/userId")]),
        *(trait_problems(traits, "/traits") if isinstance(traits, dict) else ()),
    ]
    new = payloads.read(CustomerTraits, given, problems)
    accepted, rejected = intake.read([_identified(user_id, new.traits)], actor.org_id, now_ms)
    if rejected:
        raise refused("/traits", rejected[0].code, rejected[0].message)
    await audit.record(connection, actor, "customer.upsert", Target("customer", user_id), {}, now_ms)
    return await inbox.ask_events(connection, actor.org_id, _updates(accepted), now_ms)


async def import_customers(connection: AsyncConnection, actor: Actor, payload: object, now_ms: int) -> Intake:
    """Each customer is checked by itself. Who is named twice gets the later traits."""
    items = payloads.read(Import, payloads.json_object(payload)).customers
    refusals = {index: problem for index, item in enumerate(items) if (problem := item_problem(item))}
    places = [index for index in range(len(items)) if index not in refusals]
    raws = [_identified(items[index]["userId"], items[index].get("traits") or {}) for index in places]
    accepted, rejected = intake.read(raws, actor.org_id, now_ms)
    if accepted:
        await inbox.ask_events(connection, actor.org_id, _updates(accepted), now_ms)
        counts = {"customers": (None, len(accepted))}
        await audit.record(connection, actor, "customer.import", Target("customer", ""), counts, now_ms)
    found = [Rejected(index, problem.code, problem.message) for index, problem in refusals.items()]
    later = [Rejected(places[item.index], item.code, item.message) for item in rejected]
    return intake.told(len(accepted), [*found, *later])


async def erase_customer(connection: AsyncConnection, actor: Actor, user_id: str, now_ms: int) -> int:
    """The id of the inbox row. Also of a user not known yet: events on their way are dropped."""
    if problem := user_id_problem(user_id, "/path/userId"):
        raise invalid_payload([problem])
    await audit.record(connection, actor, "customer.erase", Target("customer", user_id), {}, now_ms)
    return await inbox.ask_erase(connection, actor.org_id, subjects.user(user_id), now_ms)


def _identified(user_id: str, traits: Mapping[str, Any]) -> dict[str, Any]:
    return {"eventType": IDENTIFIED, "userId": user_id, "properties": traits}


def _updates(identified: Sequence[Event]) -> list[Event]:
    """Checked like what an app says about its user, but nobody was here. Of one moment, the greater id is the later."""
    ids = new_ids(len(identified))
    return [event._replace(id_bytes=id_.bytes, type=UPDATED) for event, id_ in zip(identified, ids, strict=True)]


def readable_subject(user_id: str) -> str:
    """Raises ApiError 404 for an id that no user can have."""
    if user_id_problem(user_id, ""):
        raise not_found()
    return subjects.user(user_id)


def _show(row: Row[Any]) -> Customer:
    return Customer(
        **ref(row.subject).model_dump(),
        traits=row.traits,
        created_at=times.to_iso(row.created_ms),
        last_seen_at=times.to_iso(row.last_seen_ms) if row.last_seen_ms else None,
    )


def _seen(row: Row[Any]) -> MessageSeen:
    return MessageSeen(
        message_id=row.message_id,
        name=row.name,
        impressions=row.impressions,
        clicks=row.clicks,
        dismissals=row.dismissals,
        last_impression_at=times.to_iso(row.recent_ms[0]) if row.recent_ms else None,
        converted_at=times.to_iso_or_none(row.converted_ms),
    )


def _named(audience: StoredAudience) -> AudienceRef:
    return AudienceRef(id=audience.id, name=audience.name)


def _event(row: Row[Any]) -> RecentEvent:
    return RecentEvent(
        type=row.type,
        occurred_at=times.to_iso(row.occurred_ms),
        received_at=times.to_iso(row.received_ms),
        properties=row.properties,
    )
