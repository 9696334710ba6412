"""The shared cases of the rule language, and random rules and traits to compare its compilers on."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

from hypothesis import strategies as st

from engine.features import FeatureIndex, features_of
from wire.literals import duration_ms, moment_ms
from wire.rule_tree import MOVING_OPS, AllOf, AnyOf, Compare, CountOp, EventCount, InAudience, Not, Rule
from wire.rules import parse_rule

VECTORS = Path(__file__).parent.parent / "vectors"
NOW_MS = 1_773_576_000_000
"""2026-03-15T12:00:00Z"""

STATIC_ID = "018f0000-0000-7000-8000-0000000000f1"
AUDIENCE_IDS = tuple(f"018f0000-0000-7000-8000-00000000000{digit}" for digit in "abc")
UNDER_TEST = "00000000-0000-7000-8000-000000000000"

Traits = Mapping[str, Any]


@dataclass(frozen=True)
class Happening:
    """An event, as far as rules look at it."""

    type: str
    occurred_ms: int
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Somebody:
    """A customer: traits, and all that they ever did, in no particular order."""

    traits: Traits = field(default_factory=dict)
    history: tuple[Happening, ...] = ()


@dataclass(frozen=True)
class Group:
    """One rule, the customers for whom it holds and those for whom it does not."""

    name: str
    rule: Rule
    rules: Mapping[str, Rule]
    static: frozenset[str]
    now_ms: int
    holds: tuple[Somebody, ...]
    fails: tuple[Somebody, ...]


def load_cases(path: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((VECTORS / path).read_text())["cases"]
    return cases


def load_groups() -> list[Group]:
    return [
        _group(f"{path.stem}: {group['name']}", group)
        for path in sorted((VECTORS / "rules").glob("*.json"))
        for group in json.loads(path.read_text())["groups"]
    ]


def _group(name: str, group: Mapping[str, Any]) -> Group:
    return Group(
        name,
        parse_rule(group["rule"]),
        {audience_id: parse_rule(rule) for audience_id, rule in group.get("audiences", {}).items()},
        frozenset(group.get("static", ())),
        NOW_MS if "now" not in group else moment_ms(group["now"]) or 0,
        tuple(map(_somebody, group["holds"])),
        tuple(map(_somebody, group["fails"])),
    )


def _somebody(entry: Mapping[str, Any]) -> Somebody:
    """Traits as they are, or `{"traits"?, "events": [{"type", "at", "properties"?}]}`."""
    if not isinstance(entry.get("events"), list):
        return Somebody(entry)
    history = [
        Happening(each["type"], moment_ms(each["at"]) or 0, each.get("properties", {})) for each in entry["events"]
    ]
    return Somebody(entry.get("traits", {}), tuple(history))


def rings_of(history: Iterable[Happening], rules: Iterable[Rule]) -> dict[str, tuple[int, ...]]:
    """What a user state keeps of the history for these rules: no more moments of a feature than they need."""
    features = features_of(rules)
    index = FeatureIndex(features.values())
    moments: defaultdict[str, list[int]] = defaultdict(list)
    for happening in history:
        for feature_id, _ in index.of(happening.type, happening.properties):
            moments[feature_id].append(happening.occurred_ms)
    return {id_: tuple(sorted(found, reverse=True)[: features[id_].kept]) for id_, found in moments.items()}


NAMES = st.sampled_from([*"aaabbb", "c.d", "'", "名"])
TEXTS = st.sampled_from(
    ["", "a", "ab", "ba", "b", "é", "e\u0301", "🙂", "\ufffd", "1", "true", "null", "%_\\", "*"]
) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
NUMBERS = (
    st.sampled_from(
        [0, -0.0, 1, 1.0, -1, 0.1, 0.30000000000000004, 2**53, -(2**53), 1e300, 5e-324, 1.7976931348623157e308]
    )
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
)
OFFSETS_MS = st.sampled_from(
    [-86_400_000, -3_600_000, -60_000, -1_001, -1_000, -1, 0, 1, 999, 1_000, 60_000, 3_600_000]
)
DURATIONS = st.sampled_from(["1s", "2s", "1m", "60s", "1h", "1d", "365d"])
VERSIONS = st.from_regex(r"v?[0-2]?[0-9](\.[0-9]{1,2}){0,3}", fullmatch=True)
ODD_DATES = st.sampled_from(
    ["2026-03-15", "2026-03-14", "2026-02-29", "2024-02-29", "0000-01-01", "2026-03-15T12:00:00", "now"]
)
ODD_VERSIONS = st.sampled_from(["1.2.3.4.5", "1.", "v", "1.x", "1-beta", "1 "])
GLOBS = st.lists(st.sampled_from(["*", "\\*", "\\\\", "a", "b", "é", "%", "_"]), max_size=6).map("".join)


@st.composite
def moments(draw: st.DrawFn) -> str:
    at_ms = NOW_MS + draw(OFFSETS_MS) + draw(OFFSETS_MS)
    zone = timezone(timedelta(minutes=draw(st.sampled_from([0, 60, -570, 840]))))
    at = datetime.fromtimestamp(at_ms // 1_000, UTC).astimezone(zone)
    fraction = draw(st.sampled_from(["", "0", "9", "999"]))
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03d}{fraction}{at.isoformat()[-6:]}"


SCALARS = TEXTS | NUMBERS | st.booleans() | moments() | VERSIONS
VALUES = SCALARS | ODD_DATES | ODD_VERSIONS | st.none() | st.lists(SCALARS | st.none() | st.just(["a"]), max_size=3)
TRAITS = st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, SCALARS, max_size=1), max_size=4)
NOWS_MS = st.builds(lambda offset_ms, more_ms: NOW_MS + offset_ms + more_ms, OFFSETS_MS, OFFSETS_MS)


def _compare(op: st.SearchStrategy[Any], value: st.SearchStrategy[Any]) -> st.SearchStrategy[Compare]:
    return st.builds(Compare, NAMES, op, value)


COMPARES = st.one_of(
    _compare(st.sampled_from(["eq", "neq", "contains", "not_contains"]), SCALARS),
    _compare(st.sampled_from(["in", "nin"]), st.lists(SCALARS, min_size=1, max_size=4).map(tuple)),
    _compare(st.sampled_from(["gt", "gte", "lt", "lte"]), TEXTS | NUMBERS),
    _compare(st.sampled_from(["starts_with", "ends_with"]), TEXTS),
    _compare(st.just("glob"), GLOBS),
    _compare(st.sampled_from(["exists", "not_exists"]), st.none()),
    _compare(st.sampled_from(["before", "after"]), moments()),
    _compare(st.sampled_from(["within_last", "not_within_last"]), DURATIONS),
    _compare(st.sampled_from(["version_eq", "version_gt", "version_gte", "version_lt", "version_lte"]), VERSIONS),
)


WHERE = st.lists(COMPARES.filter(lambda compare: compare.op not in MOVING_OPS), max_size=2).map(tuple)
EVENT_COUNTS = st.builds(
    EventCount,
    st.sampled_from([*"eef**", "in_app.impression", "customer.updated"]),
    st.just(()) | WHERE,
    st.sampled_from(get_args(CountOp)),
    st.integers(0, 4),
    st.none() | DURATIONS,
)
HAPPENINGS = st.builds(
    Happening,
    st.sampled_from([*"eeeffg", "in_app.impression", "customer.updated"]),
    st.builds(lambda offset_ms, more_ms: NOW_MS + offset_ms + more_ms, OFFSETS_MS, OFFSETS_MS),
    st.just({}) | TRAITS,
)
HISTORIES = st.lists(HAPPENINGS, max_size=8).map(tuple)
PEOPLE = st.builds(Somebody, TRAITS, HISTORIES)


def _rules(*references: str) -> st.SearchStrategy[Rule]:
    leaves = st.one_of(COMPARES, EVENT_COUNTS, COMPARES, st.builds(InAudience, st.sampled_from(references)))
    return st.recursive(leaves, _combined, max_leaves=6)


def _combined(parts: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
    several = st.lists(parts, max_size=3).map(tuple)
    return st.builds(AllOf, several) | st.builds(AnyOf, several) | st.builds(Not, parts)


AUDIENCES = st.fixed_dictionaries(
    {id_: _rules(STATIC_ID, *AUDIENCE_IDS[:place]) for place, id_ in enumerate(AUDIENCE_IDS)}
)
"""Three audiences, each of which may refer to the earlier ones and to a static one."""


def critical_moments(somebody: Somebody, around_ms: int) -> list[int]:
    """Every moment at which a window of DURATIONS over what they have and did can open or close, and its neighbours."""
    texts = [value for value in somebody.traits.values() if isinstance(value, str)]
    starts = [at_ms for at_ms in map(moment_ms, texts) if at_ms is not None]
    starts += [happening.occurred_ms for happening in somebody.history]
    lengths = [0, *(duration_ms(text) or 0 for text in ("1s", "2s", "1m", "1h", "1d", "365d"))]
    exact = {start + length for start in starts for length in lengths} | {around_ms, around_ms + 10**12}
    return sorted({at_ms + nudge for at_ms in exact for nudge in (-1, 0, 1, 2)})
