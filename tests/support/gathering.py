"""How far past events are gathered, as the recorder would have left it."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert

from engine.features import features_of
from store import tables
from store.features import mark_preparing
from tests.support.admin_api import NOW_MS, Api
from wire.rules import parse_rule


async def gather(api: Api, leaf: dict[str, Any], *, ready: int, done: int, total: int) -> None:
    """With what the condition `leaf` asks about; `ready` moments are there of `done` of `total` customers."""
    (feature,) = features_of([parse_rule(leaf)]).values()
    event, where, kept = feature.fields()
    progress = {"ready": ready, "done": done, "total": total}
    key = {"org_id": api.org.org_id, "id": feature.id}
    fields = {"event": event, "where": where, "kept": kept, "pass_id": 1, "created_ms": NOW_MS}
    row = insert(tables.event_features).values(**key, **fields, **progress)
    async with api.engine.begin() as connection:
        await connection.execute(row.on_conflict_do_update(index_elements=list(key), set_=progress))
        await mark_preparing(connection, api.org.org_id)
