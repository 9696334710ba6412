"""Messages as they stand in an answer: put together once, and given to everybody who gets the same ones."""

import hashlib
from array import array
from collections.abc import Sequence
from typing import Final

from edge.recent import Recent
from engine.decide import ANYWHERE, Context, fitting
from engine.message_index import mask_bytes
from engine.table import OrgTable, PreparedMessage

MOST_BYTES: Final = 8 * 1024 * 1024
_FIXED_BYTES: Final = 400
_LISTING_BYTES: Final = 350
_PIECE_BYTES: Final = 8 + 4
"""A reference and a place."""


class Listing:
    """The messages at these `places` of a table, in order. `pieces`: their JSON with commas, which is not joined: what
    many people get differs, but is made of the same pieces. `body_bytes`: all of them together.

    `number`: of the latest table that is known to have them so.
    """

    __slots__ = ("body_bytes", "etag", "number", "pieces", "places")

    def __init__(self, table: OrgTable, places: Sequence[int]) -> None:
        messages = _at(table, places)
        self.places = array("I", places)
        self.pieces = _pieces(messages)
        self.etag = etag_of(messages).encode()
        self.body_bytes = sum(map(len, self.pieces))
        self.number = table.number

    @property
    def own_bytes(self) -> int:
        """What it takes itself, without the messages, which are the table's."""
        return _LISTING_BYTES + _PIECE_BYTES * len(self.pieces)

    def of(self, table: OrgTable) -> "Listing":
        """The same messages, as a table with the same index has them: another listing if one of them was edited. Their
        JSON tells, as it has their versions."""
        if self.number != table.number:
            if _pieces(_at(table, self.places)) != self.pieces:
                return Listing(table, self.places)
            self.number = table.number
        return self


def _at(table: OrgTable, places: Sequence[int]) -> list[PreparedMessage]:
    messages = table.messages
    return [messages[place] for place in places]


def _pieces(messages: Sequence[PreparedMessage]) -> tuple[bytes, ...]:
    pieces = [prepared.further for prepared in messages]
    if messages:
        pieces[0] = messages[0].message.json
    return tuple(pieces)


class Listings:
    """The latest to be asked for, bounded in bytes. One outlives its table as long as the index is the same.

    A table is known here by numbers: nothing keeps one that is not in use any more. Of its messages, pieces may stay
    that nobody asks for until others take their room; they are not counted.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._kept: Recent[tuple[int, int], Listing] = Recent(most_bytes, _bytes_of)

    def within(self, table: OrgTable, messages: int, context: Context) -> Listing:
        """Those of the messages that fit the context. The winners of slots differ from place to place, and are few."""
        if context is ANYWHERE:
            return self._of(table, messages)
        found = fitting(table, messages, context)
        return Listing(table, table.index.winners(found)) if context.resolve else self._of(table, found)

    def _of(self, table: OrgTable, messages: int) -> Listing:
        key = (table.index.number, messages)
        listing = self._kept.get(key)
        now = Listing(table, table.index.places(messages)) if listing is None else listing.of(table)
        if now is not listing:
            self._kept.keep(key, now)
        return now


def _bytes_of(key: tuple[int, int], listing: Listing) -> int:
    _, messages = key
    return _FIXED_BYTES + listing.own_bytes + mask_bytes(messages.bit_length())


def etag_of(messages: Sequence[PreparedMessage]) -> str:
    """Names a list of messages by their ids and versions, in order."""
    return hashlib.blake2b(b"".join([prepared.mark for prepared in messages]), digest_size=12).hexdigest()
