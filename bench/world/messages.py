"""Messages of the workload as an author writes them, in the normal form in which the admin API stores them."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final, NamedTuple, TypeVar

from admin.messages.document import columns_of
from admin.messages.schemas import MessageSpec
from bench.world.audiences import WORDS
from wire import times

SITE: Final = "https://app.example.com"
PATHS: Final = (
    "/", "/pricing", "/checkout", "/checkout/address", "/checkout/payment", "/projects", "/projects/new",
    "/projects/board", "/projects/archive", "/reports", "/reports/weekly", "/reports/monthly", "/reports/export",
    "/settings", "/settings/billing", "/settings/team", "/settings/profile", "/settings/security", "/inbox",
    "/inbox/unread", "/search", "/help", "/help/contact", "/help/shortcuts", "/team", "/team/invite", "/calendar",
    "/calendar/week", "/files", "/files/shared",
)  # fmt: skip
"""Where people are; URL triggers name these, or what begins with one of them."""

SCREENS: Final = tuple(f"Screen{number}" for number in range(8))
EVENT_TYPES: Final = tuple(f"event.{number}" for number in range(20))
"""What triggers wait for; audiences count events of these types too."""

Fields = dict[str, Any]
T = TypeVar("T")

_DAY_MS: Final = 86_400_000
_WITH_SLOT: Final = 0.1
_TYPES: Final = ("banner", "modal", "slideout", "tooltip")
_POSITIONS: Final = ("top", "bottom", "center")
_TITLES: Final = ("New here?", "Go Pro", "Save time", "Your week", "Invite your team", "Almost done", "Look at this")
_BODIES: Final = (
    "Reports without a limit, and scheduled for you.",
    "Bring a colleague along and work on it together.",
    "Your trial ends soon.",
    "There is a faster way to do this: press K.",
    "Tell us what is missing, it takes a minute.",
)
_CAPS: Final = (
    {"maxImpressions": 3, "perSeconds": 86_400},
    {"maxImpressions": 1, "stopAfter": ["click", "dismiss"]},
    {"maxImpressions": 10, "perSeconds": 604_800, "minIntervalSeconds": 3_600},
    {"maxImpressions": 5, "stopAfter": ["click"]},
)


class Aim(NamedTuple):
    """Whom a message is for, by ids of audiences. `when`: the audience of its trigger."""

    audience_id: str | None = None
    excluded: tuple[str, ...] = ()
    when: str | None = None


def authored(aims: Sequence[Aim], now_ms: int, random: Random) -> Iterator[dict[str, Any]]:
    """The columns of each message, in the order of the aims.

    A third has event triggers (half of those with `where`), a third URL triggers, a quarter caps. A fifth began some
    months ago, a tenth ends and a hundredth begins some months from now.
    """
    triggers = _spread((_event,) * 10 + (_url,) * 10 + (_screen,) * 2 + (_at_once,) * 8, len(aims), random)
    caps = _spread((True, False, False, False), len(aims), random)
    windows = _spread((_begun,) * 20 + (_ending,) * 10 + (_beginning,) + (_always,) * 69, len(aims), random)
    for number, aim in enumerate(aims):
        type_ = _TYPES[number % len(_TYPES)]
        trigger = {**triggers[number](random), "audienceId": aim.when}
        document = {
            "name": f"Message {number}",
            "type": type_,
            "content": _content(random),
            "trigger": trigger if any(trigger.values()) else None,
            "audienceId": aim.audience_id,
            "excludeAudienceIds": list(aim.excluded),
            "appearance": _appearance(type_, random),
            **windows[number](now_ms, random),
            "priority": random.randint(0, 100),
            "slot": f"spot-{random.randrange(8)}" if random.random() < _WITH_SLOT else None,
            "frequencyCap": random.choice(_CAPS) if caps[number] else None,
        }
        yield columns_of(MessageSpec.model_validate(document))


def _spread(parts: Sequence[T], count: int, random: Random) -> list[T]:
    """`count` of the parts, each as often as it stands there, in any order."""
    return random.sample([parts[place * len(parts) // count] for place in range(count)], count)


def _event(random: Random) -> Fields:
    where = [{"property": "kind", "op": "eq", "value": random.choice(WORDS)}] if random.random() < 0.5 else []
    return {"eventType": random.choice(EVENT_TYPES), "where": where}


def _url(random: Random) -> Fields:
    op, path = random.choice(("eq", "starts_with", "glob")), random.choice(PATHS)
    return {"url": {"op": op, "value": f"{SITE}{path}*" if op == "glob" else SITE + path}}


def _screen(random: Random) -> Fields:
    return {"screen": {"op": "eq", "value": random.choice(SCREENS)}}


def _at_once(_random: Random) -> Fields:
    return {}


def _begun(now_ms: int, random: Random) -> Fields:
    return {"startsAt": times.to_iso(now_ms - _months_ms(random))}


def _ending(now_ms: int, random: Random) -> Fields:
    return {"endsAt": times.to_iso(now_ms + _months_ms(random))}


def _beginning(now_ms: int, random: Random) -> Fields:
    return {"startsAt": times.to_iso(now_ms + _months_ms(random))}


def _always(_now_ms: int, _random: Random) -> Fields:
    return {}


def _months_ms(random: Random) -> int:
    return random.randrange(60, 300) * _DAY_MS


def _content(random: Random) -> Fields:
    call = {"ctaText": "Open", "ctaUrl": SITE + random.choice(PATHS)} if random.random() < 0.4 else {}
    title = random.choice(_TITLES) if random.random() < 0.7 else None
    return {"title": title, "body": random.choice(_BODIES), **call}


def _appearance(type_: str, random: Random) -> Fields:
    if type_ == "tooltip":
        return {"anchor": f"#anchor-{random.randrange(20)}"}
    return {"position": random.choice(_POSITIONS), "theme": random.choice(("light", "dark", "auto"))}
