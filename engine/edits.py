"""Which messages of an org were edited of late, so that what was made of the others stays."""

from dataclasses import dataclass
from typing import Final, NamedTuple

MOST_EDITS: Final = 64


class Edit(NamedTuple):
    """The messages that say something else since the table of this number, and are decided about as before."""

    table: int
    messages: int


@dataclass(frozen=True, slots=True)
class Edits:
    """`latest`, oldest first: all since the table `since`, from which on the index of messages has been the same."""

    since: int
    latest: tuple[Edit, ...] = ()

    def and_one(self, edit: Edit) -> "Edits":
        """With one more; the oldest is forgotten past MOST_EDITS."""
        if not edit.messages:
            return self
        latest = (*self.latest, edit)
        return Edits(latest[0].table, latest[1:]) if len(latest) > MOST_EDITS else Edits(self.since, latest)

    def concern(self, messages: int, since: int) -> bool:
        """Whether any of the messages was edited after the table of that number, as far as is known."""
        return since < self.since or any(edit.messages & messages for edit in self.latest if edit.table > since)
