from typing import Any
from uuid import UUID

from admin.answers import Answer, example


class AuditTarget(Answer):
    type: str
    id: str


class AuditEntry(Answer):
    """`actor`: the key's name and hint, or `cli`; `changes`: field → [before, after]."""

    model_config = example(
        id="019b7f5e-0000-7000-8000-000000000021",
        at="2026-12-01T09:00:00.000Z",
        actor="First secret key (…x7Qp)",
        keyId="019b7f5e-0000-7000-8000-000000000011",
        action="message.update",
        target={"type": "message", "id": "019b7f5e-0000-7000-8000-000000000001"},
        requestId="019b7f5e-0000-7000-8000-000000000009",
        changes={"priority": [50, 80]},
    )

    id: UUID
    at: str
    actor: str
    key_id: UUID | None
    action: str
    target: AuditTarget
    request_id: str | None
    changes: dict[str, tuple[Any, Any]]
