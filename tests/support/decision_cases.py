"""The cases on which the engine and a device decide alike, and the random ones among them.

`python -m tests.support.decision_cases` makes those anew: their answers are the engine's.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

from engine.decide import Context, Occasion, Person, decide, person, verdict
from engine.table import OrgTable, prepare
from wire.bundle import EVERYONE, Bundle, CompiledMessage, FrequencyCap, Manifest, Version
from wire.times import from_iso, to_iso
from wire.userstate import Seen, UserState

FOLDER = Path(__file__).parent.parent / "vectors" / "decisions"
GENERATED = FOLDER / "generated.json"
OUTRANKED: Final = "outranked"

Json = Mapping[str, Any]
Answers = dict[str, str | None]

_Option = TypeVar("_Option")


@dataclass(frozen=True)
class DecisionCase:
    """`expected`: id of each message → why it does not show; None: it does."""

    name: str
    messages: tuple[CompiledMessage, ...]
    context: Context
    seen: Mapping[str, Seen]
    now_ms: int
    expected: Answers


def load_decisions() -> list[DecisionCase]:
    return [
        decision_case(f"{path.stem}: {case['name']}", case, content["defaults"])
        for path in sorted(FOLDER.glob("*.json"))
        for content in [json.loads(path.read_text())]
        for case in content["cases"]
    ]


def decision_case(name: str, case: Json, defaults: Json) -> DecisionCase:
    """A case says in what it differs from the defaults of its file."""
    place, event = case.get("place", {}), case.get("event")
    return DecisionCase(
        name,
        tuple(_message({**defaults["message"], **message}) for message in case["messages"]),
        Context(
            place.get("url"),
            place.get("screen"),
            event and Occasion(event["type"], event.get("properties", {})),
            resolve=True,
        ),
        {message_id: _seen(what) for message_id, what in case.get("seen", {}).items()},
        from_iso(case.get("now", defaults["now"])),
        case.get("expect", {}),
    )


def _message(fields: Json) -> CompiledMessage:
    """One that names no slot is alone in its own."""
    starts_at, ends_at, cap = fields["startsAt"], fields["endsAt"], fields["frequencyCap"]
    return CompiledMessage(
        id=fields["id"],
        version=fields["version"],
        type=fields["type"],
        slot=fields.get("slot", fields["id"]),
        priority=fields["priority"],
        created_ms=from_iso(fields["createdAt"]),
        exclude_audience_ids=(),
        starts_ms=starts_at and from_iso(starts_at),
        ends_ms=ends_at and from_iso(ends_at),
        trigger=fields["trigger"],
        cap=cap and _cap(cap),
        json=b"{}",
    )


def _cap(cap: Json) -> FrequencyCap:
    limits = cap.get("maxImpressions"), cap.get("perSeconds"), cap.get("minIntervalSeconds")
    return FrequencyCap(*limits, tuple(cap.get("stopAfter", ())))


def _seen(what: Json) -> Seen:
    impressions, clicks, dismissals = (what.get(count, 0) for count in ("impressions", "clicks", "dismissals"))
    return Seen(impressions, clicks, dismissals, tuple(map(from_iso, what.get("recent", ()))))


def table_of(messages: Sequence[CompiledMessage]) -> OrgTable:
    manifest = Manifest(Version(1, 1, 1), len(messages), {EVERYONE: "sha"}, frozenset())
    return prepare(manifest, {EVERYONE: Bundle(EVERYONE, None, tuple(messages))})


def viewer(case: DecisionCase, org: OrgTable) -> Person:
    return person(org, UserState(seen=case.seen), {}, case.now_ms)


def reasons(case: DecisionCase, org: OrgTable) -> Answers:
    """Why each message is not given, its rivals left out."""
    who = viewer(case, org)
    return {each.message.id: verdict(each, who, case.context, case.now_ms).reason for each in org.messages}


def winners(case: DecisionCase, org: OrgTable) -> list[str]:
    return [each.message.id for each in decide(org, viewer(case, org), case.context, case.now_ms)]


def answers(case: DecisionCase) -> Answers:
    org = table_of(case.messages)
    won = winners(case, org)
    return {id_: reason or (None if id_ in won else OUTRANKED) for id_, reason in reasons(case, org).items()}


_SEED: Final = 20_260_315
_CASES: Final = 250
_NOW_MS: Final = 1_773_576_000_000
_DEFAULTS: Final[Json] = {
    "now": to_iso(_NOW_MS),
    "message": {
        "version": 1,
        "type": "banner",
        "slot": "banner:top",
        "priority": 50,
        "content": {"body": "Hello"},
        "appearance": {"position": "top"},
        "trigger": None,
        "frequencyCap": None,
        "startsAt": None,
        "endsAt": None,
        "createdAt": "2026-01-01T00:00:00.000Z",
    },
}
_NUDGES_MS: Final = (-1, 0, 1)
_TEXTS: Final = ("", "a", "ab", "aba", "b", "é", "e\u0301", "🙂", "a*b", "a\\b", "A")
_PATTERN_VALUES: Final = {
    "eq": _TEXTS,
    "contains": _TEXTS,
    "starts_with": _TEXTS,
    "ends_with": _TEXTS,
    "glob": ("*", "a*", "*b", "a*a", "ab*ba", "*\\**", "*\\\\*", "**", "", "é*", "*🙂"),
}
_SCALARS: Final = (*_TEXTS, 0, 1, 1.5, -1, True, False, "1", "true", "2026-03-15T12:00:00Z", "1.2", "v1.2.0")
_VALUES: Final[Sequence[Any]] = (*_SCALARS, None, "2026-03-15", "1.10", [], ["a", 1, True, None], [["a"]], {"a": 1})
_MOMENTS: Final = ("2026-03-15T12:00:00Z", "2026-03-15T12:00:00.001Z", "2026-03-15T13:00+01:00")
_VERSIONS: Final = ("1", "1.2", "1.2.0.1", "v1.10")
_OPERANDS: Final[Mapping[str, Sequence[Any]]] = {
    **_PATTERN_VALUES,
    **dict.fromkeys(("eq", "neq", "contains", "not_contains"), _SCALARS),
    **dict.fromkeys(("in", "nin"), (["a", "b"], [1, "1"], [True], [0, False, ""])),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), (*_TEXTS, 0, 1, 1.5)),
    **dict.fromkeys(("before", "after"), _MOMENTS),
    **dict.fromkeys(("version_eq", "version_gt", "version_gte", "version_lt", "version_lte"), _VERSIONS),
}
_OPS: Final = (*_OPERANDS, "exists", "not_exists")


class _Dice:
    """Random, and the same on every version of Python: only `random()` itself is promised to stay as it is."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def one_in(self, count: int) -> bool:
        return self.below(count) == 0

    def pick(self, options: Sequence[_Option]) -> _Option:
        return options[self.below(len(options))]


def generated() -> Json:
    dice = _Dice(_SEED)
    return {
        "about": "random cases with the engine's answers, made by tests/support/decision_cases.py",
        "defaults": _DEFAULTS,
        "cases": [_answered({"name": str(number), **_random_case(dice)}) for number in range(1, _CASES + 1)],
    }


def _answered(case: Json) -> Json:
    """Its messages in their order of rank."""
    expected = answers(decision_case(case["name"], case, _DEFAULTS))
    by_id = {message["id"]: message for message in case["messages"]}
    return {**case, "messages": [by_id[id_] for id_ in expected], "expect": expected}


def _random_case(dice: _Dice) -> Json:
    """The place and the event are mostly what the messages' triggers are about."""
    messages = [_random_message(dice, id_) for id_ in "abcdef"[: 2 + dice.below(5)]]
    seen = {message["id"]: _random_seen(dice, message.get("frequencyCap")) for message in messages}
    return {
        "messages": messages,
        "place": {part: None if dice.one_in(6) else dice.pick(_TEXTS) for part in ("url", "screen")},
        "event": None if dice.one_in(9) else {"type": dice.pick("eeeeeef"), "properties": _random_properties(dice)},
        "seen": {message_id: what for message_id, what in seen.items() if what},
    }


def _random_properties(dice: _Dice) -> Json:
    return {name: dice.pick(_VALUES) for name in "xy" if not dice.one_in(8)}


def _random_message(dice: _Dice, id_: str) -> Json:
    return {"id": id_, **dict(_random_fields(dice))}


def _random_fields(dice: _Dice) -> Iterator[tuple[str, Any]]:
    if dice.one_in(3):
        yield "slot", dice.pick(("tooltip:#a", "banner:bottom"))
    if dice.one_in(3):
        yield "priority", 49 + dice.below(3)
    if dice.one_in(3):
        yield "createdAt", "2026-01-01T00:00:00.001Z"
    if dice.one_in(5):
        yield "startsAt", to_iso(_NOW_MS + dice.pick(_NUDGES_MS))
    if dice.one_in(7):
        yield "endsAt", to_iso(_NOW_MS + dice.pick(_NUDGES_MS))
    if trigger := dict(_random_trigger(dice)):
        yield "trigger", trigger
    if not dice.one_in(3):
        yield "frequencyCap", _random_cap(dice)


def _random_trigger(dice: _Dice) -> Iterator[tuple[str, Any]]:
    for part in ("url", "screen"):
        if dice.one_in(6):
            op = dice.pick(tuple(_PATTERN_VALUES))
            yield part, {"op": op, "value": dice.pick(_PATTERN_VALUES[op])}
    if dice.one_in(2):
        yield "eventType", "e"
        yield "where", [_random_condition(dice) for _ in range(1 + dice.below(2))]


def _random_condition(dice: _Dice) -> Json:
    condition = {"property": dice.pick("xyz"), "op": dice.pick(_OPS)}
    operands = _OPERANDS.get(condition["op"])
    return {**condition, "value": dice.pick(operands)} if operands else condition


def _random_cap(dice: _Dice) -> Json:
    return {
        "maxImpressions": dice.pick((None, 1, 2, 3)),
        "perSeconds": dice.pick((None, 1, 60)),
        "minIntervalSeconds": dice.pick((None, 1, 60)),
        "stopAfter": dice.pick(([], [], ["click"], ["dismiss"], ["click", "dismiss"])),
    }


def _random_seen(dice: _Dice, cap: Json | None) -> Json | None:
    """Moments about as far back as the limits of the cap reach; sometimes fewer of them than there were impressions."""
    if cap is None or dice.one_in(6):
        return None
    ages_ms = sorted(dice.pick((0, 1_000, 1_000, 60_000, 60_000)) + dice.pick(_NUDGES_MS) for _ in range(dice.below(4)))
    return {
        "impressions": len(ages_ms) + (dice.below(3) if dice.one_in(3) else 0),
        "clicks": int(dice.one_in(5)),
        "dismissals": int(dice.one_in(5)),
        "recent": [to_iso(_NOW_MS - age_ms) for age_ms in ages_ms],
    }


def to_text(content: Json) -> str:
    """A case a line."""
    head = {name: value for name, value in content.items() if name != "cases"}
    cases = ",\n".join(_compact(case) for case in content["cases"])
    return f'{_compact(head)[:-1]},"cases":[\n{cases}\n]}}\n'


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    GENERATED.write_text(to_text(generated()))
