"""What is written to Postgres once a publish stands."""

from collections.abc import Mapping, Sequence

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from compiler.snapshot import Snapshot
from wire import codec
from wire.problems import Problem

log = structlog.get_logger("settle")

_REMOVE = text("DELETE FROM outbox WHERE org_id = :org_id AND id = ANY(:ids)")

# The revision still being ours means that nobody has looked at the org since, so that nobody knows its problems better.
_SHOW = text("""
    UPDATE in_app_messages AS message
    SET problems = found.problems
    FROM (
        SELECT id, coalesce(CAST(:problems AS jsonb) -> CAST(id AS text), CAST('[]' AS jsonb)) AS problems
        FROM in_app_messages WHERE org_id = :org_id
    ) AS found
    WHERE message.id = found.id AND message.problems <> found.problems
        AND EXISTS (SELECT FROM orgs WHERE id = :org_id AND bundle_revision = :revision)
    RETURNING message.id, message.problems
""")


async def settle(postgres: AsyncEngine, snapshot: Snapshot, problems: Mapping[str, Sequence[Problem]]) -> None:
    """Removes the outbox rows that the snapshot took in, and shows each message its problems, only where they changed.

    That leaves `updated_ms` alone and announces nothing, so it never asks for another compile.
    """
    shown = {message_id: [problem._asdict() for problem in found] for message_id, found in problems.items()}
    async with postgres.begin() as connection:
        if snapshot.waiting:
            waiting = {"org_id": snapshot.org_id, "ids": [row.id for row in snapshot.waiting]}
            await connection.execute(_REMOVE, waiting)
        changed = await connection.execute(
            _SHOW,
            {
                "problems": codec.to_json(shown).decode(),
                "org_id": snapshot.org_id,
                "revision": snapshot.version.revision,
            },
        )
        rows = changed.all()
    for row in rows:
        if row.problems:
            log.warning("message_left_out", org=str(snapshot.org_id), message=str(row.id), problems=row.problems)
        else:
            log.info("message_mended", org=str(snapshot.org_id), message=str(row.id))
