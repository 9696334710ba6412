"""Every Redis key and stream name, in one place."""

from uuid import UUID

CHANGES = "changes"
"""Stream of announcements, tailed by every edge: fields `seq`, `kind` (`org` or `users`), `org`, `body`."""

CHANGES_SEQUENCE = "changes:sequence"
"""Counter behind `seq`: raised in the same call that appends, so that a reader sees a gap."""

CHANGES_MAX_LENGTH = 100_000

REVISIONS = "revisions"
"""Hash org → `generation.epoch.revision` of the manifest that stands."""

EVENT_SHARDS = 4
RECORDER_GROUP = "recorder"

WANTED = "wanted"
"""Stream on which edges ask for users while user states are being rebuilt: fields `org`, `subject`."""

WANTED_MAX_LENGTH = 10_000


def manifest(org_id: UUID) -> str:
    return f"manifest:{org_id}"


def bundle(org_id: UUID, sha: str) -> str:
    return f"bundle:{org_id}:{sha}"


def user(org_id: UUID, subject: str) -> str:
    return f"user:{org_id}:{subject}"


def user_states(org_id: UUID) -> str:
    return f"userstates:{org_id}"


def user_states_token(org_id: UUID) -> str:
    """Laid down when a rebuild of an org's user states begins; gone if Redis was flushed before its end."""
    return f"userstates:{org_id}:token"


def events(shard: int) -> str:
    return f"events:{shard}"


def event_shard(spool: UUID) -> int:
    """The shard of a spool's batches: one spool, one stream, so that its batches keep their order."""
    return spool.int % EVENT_SHARDS


def committed(spool: UUID) -> str:
    return f"committed:{spool}"
