"""Messages as they stand in an answer: put together once, and given to everybody who gets the same ones."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from engine.decide import ANYWHERE, Context, in_context
from engine.message_index import chosen
from engine.table import OrgTable, PreparedMessage

MOST_BYTES: Final = 8 * 1024 * 1024
MOST_PLACES: Final = 2_048
_LONGEST_PLACE: Final = 512
_FIXED_BYTES: Final = 700


class Listing:
    """The messages of a table for which `given` has a bit. `pieces`: their JSON with commas, which is not joined: what
    many people get differs, but is made of the same pieces. `body_bytes`: all of them together.
    """

    __slots__ = ("body_bytes", "etag", "pieces", "size_bytes")

    def __init__(self, table: OrgTable, given: int) -> None:
        messages = chosen(table.messages, given)
        self.etag = etag_of(messages).encode()
        self.pieces = [prepared.further for prepared in messages]
        if messages:
            self.pieces[0] = messages[0].message.json
        self.body_bytes = sum(map(len, self.pieces))
        self.size_bytes = _FIXED_BYTES + 8 * len(self.pieces) + len(table.messages) // 7


class Listings:
    """The latest to be asked for, bounded in bytes, and what was left of people's messages where they were.

    A table is known here by its number: nothing keeps one that is not in use any more.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[int, int], Listing] = OrderedDict()
        self._within: OrderedDict[tuple[int, int, str | None, str | None, bool], int] = OrderedDict()

    def within(self, table: OrgTable, messages: int, context: Context) -> Listing:
        """Those of the messages that fit the context."""
        if context is ANYWHERE:
            return self.of(table, messages)
        if context.event is not None or len(context.url or "") + len(context.screen or "") > _LONGEST_PLACE:
            return self.of(table, in_context(table, messages, context))
        key = (table.number, messages, context.url, context.screen, context.resolve)
        given = self._within.get(key)
        if given is None:
            given = self._within[key] = in_context(table, messages, context)
            if len(self._within) > MOST_PLACES:
                self._within.popitem(last=False)
        return self.of(table, given)

    def of(self, table: OrgTable, given: int) -> Listing:
        key = (table.number, given)
        listing = self._kept.get(key)
        if listing is not None:
            self._kept.move_to_end(key)
            return listing
        listing = self._kept[key] = Listing(table, given)
        self._bytes += listing.size_bytes
        while self._bytes > self._most_bytes:
            self._bytes -= self._kept.popitem(last=False)[1].size_bytes
        return listing


def etag_of(messages: Sequence[PreparedMessage]) -> str:
    """Names a list of messages by their ids and versions, in order."""
    return hashlib.blake2b(b"".join([prepared.mark for prepared in messages]), digest_size=12).hexdigest()
