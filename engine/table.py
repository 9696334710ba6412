"""An org's bundles, prepared for deciding: rules and triggers compiled, messages in the order in which they win."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import count
from typing import Final, NamedTuple

from engine.clauses import compile_where
from engine.features import FeatureIndex, features_of
from engine.message_index import MESSAGES_A_STEP, MessageIndex, indexing
from engine.rules import Membership, compile_pattern, compiling
from engine.steps import Steps, finish
from wire.bundle import EVERYONE, Bundle, CompiledMessage, FrequencyCap, Manifest, Settings, Version
from wire.features import Feature
from wire.rule_tree import Rule
from wire.rules import parse_pattern, parse_rule, parse_where

TextTest = Callable[[str], bool]
PropertiesTest = Callable[[Mapping[str, object]], bool]


_RULES_A_STEP: Final = 16
_NUMBERS: Final = count()


class TableError(ValueError):
    """Bundles that do not make up what their manifest says, or that hold something unreadable."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a message shows; the parts are AND-ed, None is no condition."""

    event_type: str | None = None
    where: PropertiesTest | None = None
    url: TextTest | None = None
    screen: TextTest | None = None
    audience_id: str | None = None


@dataclass(frozen=True, slots=True)
class PreparedMessage:
    """`audience`, `excluded`, `trigger_audience`: masks as `Membership` has them; 0 where no audience is named.

    `mark`: 8 bytes that stand for its id and version. `further`: its JSON after a comma.
    """

    message: CompiledMessage
    audience_id: str | None
    trigger: Trigger
    audience: int = 0
    excluded: int = 0
    trigger_audience: int = 0
    mark: bytes = b""
    further: bytes = b""

    @property
    def needs_state(self) -> bool:
        """Whether deciding about it takes more than the message itself."""
        return self.is_targeted or self.message.cap is not None

    @property
    def is_targeted(self) -> bool:
        """Whether it depends on who somebody is."""
        message = self.message
        return bool(self.audience_id or message.exclude_audience_ids or self.trigger.audience_id)


@dataclass(frozen=True, slots=True)
class OrgTable:
    """All that is needed to decide for one org. `messages`: the one that wins a slot first; `index` has them as bits.

    `number`: no other table of this process has it. `people`: the same number in tables by which the same is known of
    people: they have the same rules and caps. `capped`: those caps.
    `alike`: the same number in tables by which a request is answered alike, but for what the messages say: they have
    the same index, keys and settings.
    `rules`: the JSON of each audience's rule, and what it means.
    """

    version: Version
    keys: frozenset[bytes]
    settings: Settings
    rules: Mapping[str, "ParsedRule"]
    membership: Membership
    features: FeatureIndex
    messages: tuple[PreparedMessage, ...]
    by_id: Mapping[str, PreparedMessage]
    index: MessageIndex
    capped: frozenset[tuple[str, FrequencyCap]]
    people: int
    alike: int
    number: int


class ParsedRule(NamedTuple):
    json: Mapping[str, object]
    rule: Rule


def prepare(manifest: Manifest, bundles: Mapping[str, Bundle], before: OrgTable | None = None) -> OrgTable:
    """`preparing_table` in one go."""
    return finish(preparing_table(manifest, bundles, before))


def preparing_table(
    manifest: Manifest, bundles: Mapping[str, Bundle], before: OrgTable | None = None
) -> Steps[OrgTable]:
    """`bundles` by audience id. `before`: an earlier table, from which all is taken that has not changed.

    Raises TableError; nothing of a bad bundle is ever used.
    """
    if set(bundles) != set(manifest.bundles):
        raise TableError("the bundles are not those of the manifest")
    try:
        parsed = yield from _parsing(bundles, before.rules if before else {})
        rules = {id_: each.rule for id_, each in parsed.items()}
        static = sorted(id_ for id_ in bundles if id_ not in rules and id_ != EVERYONE)
        membership = yield from compiling(rules, static, before.membership if before else None)
        by_id = yield from _preparing_messages(bundles.values(), membership, before)
    except KeyError as error:
        raise TableError(f"a message names an audience without a bundle: {error}") from error
    except ValueError as error:
        raise TableError(f"a bundle cannot be compiled: {error}") from error
    if len(by_id) != manifest.message_count:
        raise TableError(f"{len(by_id)} messages where the manifest says {manifest.message_count}")
    features = yield from _checking_features(manifest.features, parsed, before)
    messages = yield from _sorting(list(by_id.values()))
    number = next(_NUMBERS)
    decides_alike = yield from _comparing(messages, membership, before)
    index = before.index if before and decides_alike else (yield from indexing(messages, len(membership.ids)))
    capped = yield from _capped(index, before)
    return OrgTable(
        version=manifest.version,
        keys=manifest.keys,
        settings=manifest.settings,
        rules=parsed,
        membership=membership,
        features=features,
        messages=messages,
        by_id=by_id,
        index=index,
        capped=capped,
        people=before.people if before and before.membership is membership and before.capped is capped else number,
        alike=before.alike if before and _answers_alike(before, manifest, index) else number,
        number=number,
    )


def _parsing(bundles: Mapping[str, Bundle], known: Mapping[str, ParsedRule]) -> Steps[dict[str, ParsedRule]]:
    """Compared by their text: what Python calls equal may differ, 1 is not true."""
    parsed = {}
    for place, (id_, bundle) in enumerate(bundles.items()):
        if bundle.rule is None:
            continue
        before = known.get(id_)
        is_known = before is not None and (before.json is bundle.rule or repr(before.json) == repr(bundle.rule))
        parsed[id_] = before if before and is_known else ParsedRule(bundle.rule, parse_rule(bundle.rule))
        if not is_known or place % _RULES_A_STEP == 0:
            yield
    return parsed


def _checking_features(
    features: tuple[Feature, ...], rules: Mapping[str, ParsedRule], before: OrgTable | None
) -> Steps[FeatureIndex]:
    """The same index for the same features: what was found out with it stays valid. Raises TableError."""
    is_known = before is not None and repr(before.features.features) == repr(features)
    index = before.features if before and is_known else FeatureIndex(features)
    earlier = before.rules if before and is_known else {}
    ready = {feature.id: feature.kept for feature in features}
    yield
    for id_, parsed in rules.items():
        if earlier.get(id_) is not parsed:
            if any(ready.get(asked, 0) < feature.kept for asked, feature in features_of([parsed.rule]).items()):
                raise TableError(f"the manifest lacks features of audience {id_}")
            yield
    return index


def _preparing_messages(
    bundles: Iterable[Bundle], membership: Membership, before: OrgTable | None
) -> Steps[dict[str, PreparedMessage]]:
    """By id. Raises KeyError for an audience that is not in `membership`, and ValueError."""
    known = before.by_id if before else {}
    has_same_bits = before is not None and membership is before.membership
    prepared: dict[str, PreparedMessage] = {}
    for bundle in bundles:
        for message in bundle.messages:
            if len(prepared) % MESSAGES_A_STEP == 0:
                yield
            earlier = known.get(message.id)
            if earlier is None or (earlier.message is not message and earlier.message != message):
                new = _prepare_message(message, bundle, membership, _renewed_trigger(message, earlier))
            elif has_same_bits and earlier.audience_id == _audience_id(bundle):
                new = earlier
            else:
                new = _prepare_message(earlier.message, bundle, membership, earlier.trigger)
            prepared[message.id] = new
    return prepared


def _comparing(messages: Sequence[PreparedMessage], membership: Membership, before: OrgTable | None) -> Steps[bool]:
    """Whether the earlier table's index decides about them."""
    if before is None or membership is not before.membership or len(messages) != len(before.messages):
        return False
    for place, (new, old) in enumerate(zip(messages, before.messages, strict=True)):
        if place % MESSAGES_A_STEP == 0:
            yield
        if new is not old and not _is_decided_alike(new, old):
            return False
    return True


def _answers_alike(before: OrgTable, manifest: Manifest, index: MessageIndex) -> bool:
    return before.index is index and before.keys == manifest.keys and before.settings == manifest.settings


def _is_decided_alike(new: PreparedMessage, old: PreparedMessage) -> bool:
    """Whether only what they say differs."""
    same = replace(old.message, version=new.message.version, json=new.message.json)
    return new == replace(old, message=same, mark=new.mark, further=new.further)


def _capped(index: MessageIndex, before: OrgTable | None) -> Steps[frozenset[tuple[str, FrequencyCap]]]:
    found = set()
    for place, each in enumerate(index.capped.values()):
        found.add((each.id, each.cap))
        if place % MESSAGES_A_STEP == 0:
            yield
    yield
    return before.capped if before and before.capped == found else frozenset(found)


def _sorting(messages: Sequence[PreparedMessage]) -> Steps[tuple[PreparedMessage, ...]]:
    """The one that wins a slot first."""
    runs, ordered = [], []
    for start in range(0, len(messages), MESSAGES_A_STEP):
        runs.append(sorted(messages[start : start + MESSAGES_A_STEP], key=_precedence))
        yield
    for place, prepared in enumerate(heapq.merge(*runs, key=_precedence)):
        ordered.append(prepared)
        if place % MESSAGES_A_STEP == 0:
            yield
    return tuple(ordered)


def _audience_id(bundle: Bundle) -> str | None:
    return None if bundle.audience_id == EVERYONE else bundle.audience_id


def _prepare_message(
    message: CompiledMessage, bundle: Bundle, membership: Membership, trigger: Trigger
) -> PreparedMessage:
    audience_id = _audience_id(bundle)
    return PreparedMessage(
        message,
        audience_id,
        trigger,
        membership.mask_of([audience_id] if audience_id else ()),
        membership.mask_of(message.exclude_audience_ids),
        membership.mask_of([trigger.audience_id] if trigger.audience_id else ()),
        blake2b(f"{message.id}:{message.version}".encode(), digest_size=8).digest(),
        b"," + message.json,
    )


def _renewed_trigger(message: CompiledMessage, earlier: PreparedMessage | None) -> Trigger:
    """Compared by its text, as rules are."""
    if earlier is not None and repr(earlier.message.trigger) == repr(message.trigger):
        return earlier.trigger
    return _prepare_trigger(message)


def _prepare_trigger(message: CompiledMessage) -> Trigger:
    parts = message.trigger
    if not parts:
        return Trigger()
    where, url, screen = parts.get("where"), parts.get("url"), parts.get("screen")
    return Trigger(
        parts.get("eventType"),
        compile_where(parse_where(where)) if where else None,
        compile_pattern(parse_pattern(url)) if url else None,
        compile_pattern(parse_pattern(screen)) if screen else None,
        parts.get("audienceId"),
    )


def _precedence(prepared: PreparedMessage) -> tuple[int, int, str]:
    """Higher priority, then earlier creation, then id."""
    message = prepared.message
    return (-message.priority, message.created_ms, message.id)
