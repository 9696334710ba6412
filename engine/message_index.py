"""The messages of an org as bits, so that deciding about all of them takes a few operations on whole numbers.

The one that wins a slot before all others has the highest bit: the first of many is found by the length of a number.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import compress, count
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.steps import Steps
from wire.bundle import FrequencyCap

if TYPE_CHECKING:
    from engine.table import PreparedMessage

MESSAGES_A_STEP: Final = 32
_MOST_TEXTS: Final = 256
_LONGEST_TEXT: Final = 512
"""Of URLs and screens up to this length, what they fit is remembered."""

_SPARSE: Final = 20
"""Where fewer than one of so many is chosen, it is quicker to go from bit to bit than over all places."""

_NUMBERS: Final = count()
_IS_ONE: Final = bytes.maketrans(b"01", b"\0\1")


class Capped(NamedTuple):
    """`id`: of the message, the one text that all who remember it share."""

    id: str
    bit: int
    cap: FrequencyCap


class Live(NamedTuple):
    """The messages whose window is open from `since_ms` to just before `until_ms`; None: without end."""

    mask: int
    since_ms: float
    until_ms: int | None


class _Barred(dict[int, int]):
    """Of eight audiences: which of them somebody is in → the messages that this rules out. Worked out when asked."""

    def __init__(self, needing: Sequence[int], excluding: Sequence[int]) -> None:
        super().__init__()
        self._needing = needing
        self._excluding = excluding

    def __missing__(self, held: int) -> int:
        barred = 0
        for place, (needing, excluding) in enumerate(zip(self._needing, self._excluding, strict=True)):
            barred |= excluding if held >> place & 1 else needing
        self[held] = barred
        return barred


class _TextIndex:
    """Which messages a URL, or a screen, fits. Each test is made once for a text, and only for messages in question."""

    def __init__(self) -> None:
        self.mask = 0
        self._tests: dict[int, Callable[[str], bool]] = {}
        self._known: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def add(self, bit: int, test: Callable[[str], bool]) -> None:
        self.mask |= bit
        self._tests[bit] = test

    def misfits(self, text: str, among: int) -> int:
        """The messages of `among` that ask for another text."""
        tested, misfits = self._known.get(text, (0, 0))
        asked = among & self.mask
        untested = asked & ~tested
        if untested:
            for bit in bits(untested):
                if not self._tests[bit](text):
                    misfits |= bit
            if len(text) <= _LONGEST_TEXT:
                self._remember(text, tested | asked, misfits)
        return misfits & asked

    def _remember(self, text: str, tested: int, misfits: int) -> None:
        self._known[text] = tested, misfits
        if len(self._known) > _MOST_TEXTS:
            self._known.popitem(last=False)


class MessageIndex:
    """Made by `indexing`. A message's place is its number in the order in which they win, its bit counts from the end.

    `number`: no other index of this process has it. `size`: how many messages there are.
    `stateful`: what deciding about takes more than the message itself; `targeted`: what depends on who somebody is.
    `capped`: by message id. `with_where`: those whose event trigger has conditions.
    """

    def __init__(self, size: int, audiences: int) -> None:
        self.number = next(_NUMBERS)
        self.size = size
        self._all_places = tuple(range(size))
        self.stateful = 0
        self.targeted = 0
        self.capped: dict[str, Capped] = {}
        self.urls = _TextIndex()
        self.screens = _TextIndex()
        self.with_event = 0
        self.with_where = 0
        self._by_event: dict[str, int] = {}
        self._slots: dict[str, int] = {}
        self._outside_slot: list[int] = []
        self._windows: list[tuple[int, float, float]] = []
        self._always = 0
        self._live = Live(0, 0, 0)
        self._needing = [0] * audiences
        self._excluding = [0] * audiences
        self._barred: list[_Barred] = []
        self._width = (audiences + 7) // 8

    def live(self, now_ms: int) -> Live:
        """Whose windows are open, and until when that is so."""
        live = self._live
        if live.since_ms <= now_ms and (live.until_ms is None or now_ms < live.until_ms):
            return live
        mask, since_ms, until_ms = self._always, 0.0, float("inf")
        for bit, starts_ms, ends_ms in self._windows:
            if starts_ms <= now_ms < ends_ms:
                mask |= bit
            for at_ms in (starts_ms, ends_ms):
                if at_ms > now_ms:
                    until_ms = min(until_ms, at_ms)
                else:
                    since_ms = max(since_ms, at_ms)
        self._live = Live(mask, since_ms, None if until_ms == float("inf") else int(until_ms))
        return self._live

    def barred(self, audiences: int) -> int:
        """The messages that somebody in these audiences does not get: not in one that it needs, or in one excluded."""
        barred = 0
        for row, held in zip(self._barred, audiences.to_bytes(self._width, "little"), strict=True):
            barred |= row[held]
        return barred

    def for_event(self, event_type: str) -> int:
        """The messages that wait for such an event."""
        return self._by_event.get(event_type, 0)

    @property
    def mask_bytes(self) -> int:
        """What a mask of messages takes, about."""
        return mask_bytes(self.size)

    def bit(self, place: int) -> int:
        return 1 << self.size - 1 - place

    def places(self, messages: int) -> list[int]:
        """Of each of the messages, in order."""
        if messages.bit_count() * _SPARSE > self.size:
            return list(compress(self._all_places, f"{messages:0{self.size}b}".encode().translate(_IS_ONE)))
        places, size = [], self.size
        while messages:
            length = messages.bit_length()
            places.append(size - length)
            messages ^= 1 << length - 1
        return places

    def winners(self, messages: int) -> list[int]:
        """Of each slot the place of the first, in order."""
        winners, size, outside_slot = [], self.size, self._outside_slot
        while messages:
            first = size - messages.bit_length()
            winners.append(first)
            messages &= outside_slot[first]
        return winners


def indexing(messages: Sequence["PreparedMessage"], audiences: int) -> Steps[MessageIndex]:
    """`messages` in the order in which they win a slot; `audiences`: how many bits their masks have."""
    index = MessageIndex(len(messages), audiences)
    for place, prepared in enumerate(messages):
        if place % MESSAGES_A_STEP == 0:
            yield
        _add(index, prepared, index.bit(place))
    needing, excluding = index._needing, index._excluding
    index._barred = [_Barred(needing[at : at + 8], excluding[at : at + 8]) for at in range(0, audiences, 8)]
    everything = (1 << len(messages)) - 1
    outside = {slot: everything ^ mask for slot, mask in index._slots.items()}
    index._outside_slot = [outside[prepared.message.slot] for prepared in messages]
    return index


def _add(index: MessageIndex, prepared: "PreparedMessage", bit: int) -> None:
    message, trigger = prepared.message, prepared.trigger
    index._slots[message.slot] = index._slots.get(message.slot, 0) | bit
    if message.starts_ms is None and message.ends_ms is None:
        index._always |= bit
    else:
        starts_ms = float("-inf") if message.starts_ms is None else message.starts_ms
        index._windows.append((bit, starts_ms, float("inf") if message.ends_ms is None else message.ends_ms))
    index.stateful |= bit if prepared.needs_state else 0
    index.targeted |= bit if prepared.is_targeted else 0
    if message.cap is not None:
        index.capped[message.id] = Capped(message.id, bit, message.cap)
    for audience in bits(prepared.audience | prepared.trigger_audience):
        index._needing[audience.bit_length() - 1] |= bit
    for audience in bits(prepared.excluded):
        index._excluding[audience.bit_length() - 1] |= bit
    if trigger.url is not None:
        index.urls.add(bit, trigger.url)
    if trigger.screen is not None:
        index.screens.add(bit, trigger.screen)
    if trigger.event_type is not None:
        index.with_event |= bit
        index._by_event[trigger.event_type] = index._by_event.get(trigger.event_type, 0) | bit
        index.with_where |= bit if trigger.where is not None else 0


def mask_bytes(size: int) -> int:
    """What a mask of so many bits takes, about: Python keeps 30 bits in 4 bytes."""
    return size // 7


def bits(mask: int) -> Iterator[int]:
    """Each bit alone, the lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest
        mask ^= lowest
