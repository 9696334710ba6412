"""Explaining a message. Runs in the caller's transaction and raises ApiError."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from admin.audiences.readiness import readiness_of
from admin.errors import not_found
from admin.explain import people, queries
from admin.explain.checks import Case
from admin.explain.conditions import describe
from admin.explain.scene import Scene, Unfit, read_scene
from admin.explain.schemas import Check, ExplainQuery, Explanation, Note, PreparingAudience
from admin.explain.status import status_check
from admin.messages.queries import select_message
from engine.audiences import Audiences
from engine.decide import Context, Occasion, person
from engine.explain import explain
from store.audiences import read_audiences
from wire import times
from wire.userstate import UserState

_CUSTOMER_UNKNOWN = Note(
    code="customer_unknown", text="Nothing is known of this customer: anybody new would get the same answer."
)
_IDENTITY_ASSUMED = Note(
    code="identity_assumed",
    text="The org asks for identity tokens. The customer's is taken as given; without it, edges withhold all that "
    "depends on who somebody is.",
)


async def explain_message(
    connection: AsyncConnection, org_id: UUID, message_id: UUID, query: ExplainQuery, now_ms: int
) -> Explanation:
    row = await select_message(connection, org_id, message_id)
    if row is None:
        raise not_found()
    audiences = await read_audiences(connection, org_id)
    somebody = await people.find(connection, org_id, query.customer_id, query.anonymous_id)
    scene = await read_scene(connection, row, audiences, now_ms)
    if isinstance(scene, Unfit):
        checks = [status_check(row, scene.problems, [])]
    else:
        status = status_check(row, [], await _preparing(connection, org_id, scene, audiences))
        checks = _checks(status, scene, audiences, somebody.state, context_of(query), now_ms)
    notes = [
        *([] if somebody.known else [_CUSTOMER_UNKNOWN]),
        *([_IDENTITY_ASSUMED] if await queries.asks_for_tokens(connection, org_id) else []),
        *_left_to_device(checks),
    ]
    failing = [check for check in checks if not check.passes]
    moments = [check.changes_at for check in checks if check.changes_at is not None]
    delay_s = 0 if isinstance(scene, Unfit) else scene.delay_s
    return Explanation(
        shown=not failing,
        reason=failing[0].reason if failing else None,
        summary=_summary(failing, delay_s),
        at=times.to_iso(now_ms),
        changes_at=min(moments, default=None),
        delay_seconds=delay_s,
        customer="known" if somebody.known else "unknown",
        notes=notes,
        checks=checks,
    )


def context_of(query: ExplainQuery) -> Context:
    event = None if query.event is None else Occasion(query.event.type, query.event.properties)
    return Context(query.url, query.screen, event)


def _checks(
    status: Check, scene: Scene, audiences: Audiences, state: UserState, context: Context, now_ms: int
) -> list[Check]:
    mask = person(scene.table, state, {}, now_ms).audiences
    members = scene.table.membership.ids_of(mask)
    described = describe(scene.message.audience_ids().values(), members, audiences, state, now_ms)
    case = Case(scene.message.message, scene.message.audience_id, context, described, scene.rivals)
    explained = explain(scene.table, case.message.id, state, context, now_ms, status.reason)
    return [status if check.name == "status" else case.check(check) for check in explained]


async def _preparing(
    connection: AsyncConnection, org_id: UUID, scene: Scene, audiences: Audiences
) -> list[PreparingAudience]:
    """The message's audiences that are not ready."""
    named = dict.fromkeys(scene.message.audience_ids().values())
    waiting = [audience_id for audience_id in named if audience_id in audiences.preparing]
    if not waiting:
        return []
    readiness = await readiness_of(connection, org_id)
    return [
        PreparingAudience(id=id_, name=audiences.names[id_], progress=readiness.percent(UUID(id_), preparing=True))
        for id_ in waiting
    ]


def _left_to_device(checks: Sequence[Check]) -> Iterator[Note]:
    left = [check.check for check in checks if check.on_device]
    if left:
        yield Note(code="on_device", text=f"Nothing was said about {' and '.join(left)}: that is left to the device.")


def _summary(failing: Sequence[Check], delay_s: int) -> str:
    if not failing:
        return "It is shown." if delay_s == 0 else f"It is shown, {delay_s} s after it is triggered."
    more = f" It also fails {', '.join(check.check for check in failing[1:])}." if len(failing) > 1 else ""
    return f"It is not shown. {failing[0].text}{more}"
