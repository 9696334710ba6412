"""Messages as they stand in an answer: put together once, and given to everybody who gets the same ones."""

import hashlib
from collections.abc import Sequence
from typing import Final

from edge.recent import Recent
from engine.decide import ANYWHERE, Context, fitting
from engine.table import OrgTable, PreparedMessage

MOST_BYTES: Final = 8 * 1024 * 1024
_FIXED_BYTES: Final = 900


class Listing:
    """The messages at these places of a table, in order. `pieces`: their JSON with commas, which is not joined: what
    many people get differs, but is made of the same pieces. `body_bytes`: all of them together.

    `table`: the number of the latest in which they are known to say the same.
    """

    __slots__ = ("body_bytes", "etag", "pieces", "table")

    def __init__(self, table: OrgTable, places: Sequence[int]) -> None:
        all_messages = table.messages
        messages = [all_messages[place] for place in places]
        self.etag = etag_of(messages).encode()
        self.pieces = [prepared.further for prepared in messages]
        if messages:
            self.pieces[0] = messages[0].message.json
        self.body_bytes = sum(map(len, self.pieces))
        self.table = table.number


class Listings:
    """The latest to be asked for, bounded in bytes. One outlives its table if the next changes none of its messages.

    A table is known here by numbers: nothing keeps one that is not in use any more. Of its messages, pieces may stay
    that nobody asks for until others take their room; they are not counted.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._kept: Recent[tuple[int, int], Listing] = Recent(most_bytes)

    def within(self, table: OrgTable, messages: int, context: Context) -> Listing:
        """Those of the messages that fit the context. The winners of slots differ from place to place, and are few."""
        if context is ANYWHERE:
            return self._of(table, messages)
        found = fitting(table, messages, context)
        return Listing(table, table.index.winners(found)) if context.resolve else self._of(table, found)

    def _of(self, table: OrgTable, messages: int) -> Listing:
        key = (table.index.number, messages)
        listing = self._kept.get(key)
        if listing is not None and listing.table == table.number:
            return listing
        if listing is not None and table.says_the_same(messages, listing.table):
            listing.table = table.number
            return listing
        listing = Listing(table, table.index.places(messages))
        self._kept.keep(key, listing, _FIXED_BYTES + 8 * len(listing.pieces) + table.index.mask_bytes)
        return listing


def etag_of(messages: Sequence[PreparedMessage]) -> str:
    """Names a list of messages by their ids and versions, in order."""
    return hashlib.blake2b(b"".join([prepared.mark for prepared in messages]), digest_size=12).hexdigest()
