from typing import Any
from uuid import UUID

from admin.fields import Answer


class AuditTarget(Answer):
    type: str
    id: str


class AuditEntry(Answer):
    """`actor`: the key's name and hint, or `cli`; `changes`: field → [before, after]."""

    id: UUID
    at: str
    actor: str
    key_id: UUID | None
    action: str
    target: AuditTarget
    request_id: str | None
    changes: dict[str, tuple[Any, Any]]
