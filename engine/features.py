"""Which moments of events the rules of an org need in user states, and which event belongs to which of them."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple

from engine.clauses import compile_where
from wire.events import is_own
from wire.features import Feature
from wire.rule_tree import ANY_EVENT, EventCount, Rule, audience_refs, leaves

Rings = Mapping[str, tuple[int, ...]]
"""Feature id → moments of its newest events, newest first."""

Properties = Mapping[str, Any]

_NUMBERS = count()


def moments_needed(leaf: EventCount) -> int:
    """How many of the newest moments decide the condition, at every time."""
    return leaf.count if leaf.op in ("gte", "lt") else leaf.count + 1


def features_of(rules: Iterable[Rule]) -> dict[str, Feature]:
    """By id, what these rules ask of user states; not what the audiences that they refer to ask."""
    found: dict[str, Feature] = {}
    for leaf in (leaf for rule in rules for leaf in leaves(rule)):
        if isinstance(leaf, EventCount) and (kept := moments_needed(leaf)):
            feature = Feature(leaf.event, leaf.where, kept)
            before = found.get(feature.id)
            if before is None or before.kept < kept:
                found[feature.id] = feature
    return found


def preparing(rules: Mapping[str, Rule], ready: Mapping[str, int]) -> set[str]:
    """The audiences that cannot be decided yet, those that refer to such ones included.

    `rules` by audience id; `ready`: feature id → how many moments of it user states have for certain.
    """
    waiting = {
        audience_id
        for audience_id, rule in rules.items()
        if any(ready.get(id_, 0) < feature.kept for id_, feature in features_of([rule]).items())
    }
    while more := {id_ for id_ in rules.keys() - waiting if not audience_refs(rules[id_]).isdisjoint(waiting)}:
        waiting |= more
    return waiting


class _Watcher(NamedTuple):
    feature: Feature
    id: str
    counts: Callable[[Properties], bool]


class FeatureIndex:
    """Finds the features that an event belongs to. `number`: no other index of this process has it."""

    def __init__(self, features: Collection[Feature]) -> None:
        self.number = next(_NUMBERS)
        self.features = tuple(features)
        self._by_event: defaultdict[str, list[_Watcher]] = defaultdict(list)
        for feature in features:
            watcher = _Watcher(feature, feature.id, compile_where(feature.where))
            self._by_event[feature.event].append(watcher)
        self._conditional = {feature.event for feature in features if feature.where}

    def watches(self, event_type: str) -> bool:
        """Whether events of this type can belong to any."""
        return event_type in self._by_event or (ANY_EVENT in self._by_event and is_own(event_type))

    def asks_for_properties(self, event_type: str) -> bool:
        """Whether it depends on its properties which of them an event of this type belongs to."""
        return event_type in self._conditional or (ANY_EVENT in self._conditional and is_own(event_type))

    def of(self, event_type: str, properties: Properties) -> Iterator[tuple[str, Feature]]:
        """(id, feature) of each that counts an event of this type with these properties."""
        watchers = self._by_event.get(event_type, [])
        if is_own(event_type):
            watchers = [*watchers, *self._by_event.get(ANY_EVENT, [])]
        for watcher in watchers:
            if watcher.counts(properties):
                yield watcher.id, watcher.feature


NO_FEATURES = FeatureIndex(())
