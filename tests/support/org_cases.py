"""Random orgs with their messages, somebody in them, and where that person is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from engine.decide import Context, Occasion
from engine.features import features_of
from engine.table import OrgTable, prepare
from tests.support.rule_cases import AUDIENCE_IDS, AUDIENCES, NOW_MS, PEOPLE, STATIC_ID, Somebody, rings_of
from wire.bundle import EVERYONE, Bundle, CompiledMessage, FrequencyCap, Manifest, Version
from wire.rule_tree import Rule, to_json
from wire.userstate import Seen, UserState

ALL_IDS = (STATIC_ID, *AUDIENCE_IDS)
Rules = Mapping[str, Rule]


@dataclass(frozen=True)
class Targeted:
    audience_id: str | None
    message: CompiledMessage


def message(id_: str = "m", **fields: Any) -> CompiledMessage:
    plain = CompiledMessage(id_, 1, "banner", "banner:top", 50, 1_000, (), None, None, None, None, b"{}")
    return replace(plain, **fields)


def table_of(targeted: list[Targeted], rules: Rules) -> OrgTable:
    bundles = {
        id_: Bundle(
            id_,
            to_json(rules[id_]) if id_ in rules else None,
            tuple(one.message for one in targeted if (one.audience_id or EVERYONE) == id_),
        )
        for id_ in (*ALL_IDS, EVERYONE)
    }
    features = tuple(features_of(rules.values()).values())
    return prepare(
        Manifest(Version(1, 1, 1), len(targeted), dict.fromkeys(bundles, ""), frozenset(), features), bundles
    )


def state_of(somebody: Somebody, rules: Rules, **fields: Any) -> UserState:
    return UserState(traits=somebody.traits, rings=rings_of(somebody.history, rules.values()), **fields)


MOMENTS_MS = st.sampled_from([None, NOW_MS - 1_000, NOW_MS, NOW_MS + 1, NOW_MS + 60_000])
PATTERNS = st.sampled_from([{"op": "eq", "value": "here"}, {"op": "starts_with", "value": "h"}])
TRIGGERS = st.fixed_dictionaries(
    {},
    optional={
        "eventType": st.sampled_from(["e", "f"]),
        "url": PATTERNS,
        "screen": PATTERNS,
        "audienceId": st.sampled_from(ALL_IDS),
    },
).map(lambda trigger: {**trigger, "where": [{"property": "a", "op": "exists"}]} if "eventType" in trigger else trigger)
CAPS = st.builds(
    FrequencyCap,
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, 1, 60]),
    st.sampled_from([None, 1, 60]),
    st.sampled_from([(), ("click",), ("click", "dismiss")]),
)
MESSAGES = st.builds(
    Targeted,
    st.none() | st.sampled_from(ALL_IDS),
    st.builds(
        message,
        id_=st.just("m"),
        slot=st.sampled_from("st"),
        priority=st.integers(1, 3),
        exclude_audience_ids=st.lists(st.sampled_from(ALL_IDS), max_size=1).map(tuple),
        starts_ms=MOMENTS_MS,
        ends_ms=MOMENTS_MS,
        trigger=st.none() | TRIGGERS,
        cap=st.none() | CAPS,
    ),
).filter(lambda one: one.message.ends_ms is None or (one.message.starts_ms or 0) < one.message.ends_ms)
SEEN = st.builds(
    lambda recent, clicks, dismissals: Seen(len(recent), clicks, dismissals, tuple(sorted(recent, reverse=True))),
    st.lists(st.sampled_from([NOW_MS - 60_000, NOW_MS - 1_000, NOW_MS - 999, NOW_MS]), max_size=3),
    st.integers(0, 1),
    st.integers(0, 1),
)
TEXTS = st.sampled_from([None, "here", "there"])
CONTEXTS = st.builds(
    Context,
    TEXTS,
    TEXTS,
    st.none() | st.builds(Occasion, st.sampled_from("ef"), st.sampled_from([{}, {"a": 1}])),
    st.just(False),
)


@st.composite
def orgs(draw: st.DrawFn) -> tuple[OrgTable, UserState, Rules]:
    rules = draw(AUDIENCES)
    drawn = draw(st.lists(MESSAGES, min_size=1, max_size=5))
    targeted = [replace(one, message=replace(one.message, id=f"m{place}")) for place, one in enumerate(drawn)]
    seen = {f"m{place}": draw(SEEN) for place in range(len(drawn))}
    static = frozenset({STATIC_ID}) if draw(st.booleans()) else frozenset()
    return table_of(targeted, rules), state_of(draw(PEOPLE), rules, seen=seen, static_audiences=static), rules
