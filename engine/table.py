"""An org's bundles, prepared for deciding: rules and triggers compiled, messages in the order in which they win."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from engine.clauses import compile_where
from engine.features import FeatureIndex, preparing
from engine.message_index import MESSAGES_A_STEP, MessageIndex, indexing
from engine.rules import Membership, compile_pattern, compiling
from engine.steps import Steps, finish
from wire.bundle import EVERYONE, Bundle, CompiledMessage, Manifest, Settings, Version
from wire.features import Feature
from wire.rule_tree import Rule
from wire.rules import parse_pattern, parse_rule, parse_where

TextTest = Callable[[str], bool]
PropertiesTest = Callable[[Mapping[str, object]], bool]


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

    `mark`: 8 bytes that stand for its id and version.
    """

    message: CompiledMessage
    audience_id: str | None
    trigger: Trigger
    audience: int = 0
    excluded: int = 0
    trigger_audience: int = 0
    mark: bytes = b""

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

    `rules`: the JSON of each audience's rule, and what it means.
    """

    version: Version
    keys: frozenset[bytes]
    settings: Settings
    rules: Mapping[str, "ParsedRule"]
    membership: Membership
    features: FeatureIndex
    messages: tuple[PreparedMessage, ...]
    index: MessageIndex


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
        messages = yield from _preparing_messages(bundles.values(), membership, before)
    except KeyError as error:
        raise TableError(f"a message names an audience without a bundle: {error}") from error
    except ValueError as error:
        raise TableError(f"a bundle cannot be compiled: {error}") from error
    if len(messages) != manifest.message_count:
        raise TableError(f"{len(messages)} messages where the manifest says {manifest.message_count}")
    features = yield from _features(manifest.features, rules, membership, before)
    index = yield from indexing(messages, len(membership.ids))
    return OrgTable(manifest.version, manifest.keys, manifest.settings, parsed, membership, features, messages, index)


def _parsing(bundles: Mapping[str, Bundle], known: Mapping[str, ParsedRule]) -> Steps[dict[str, ParsedRule]]:
    parsed = {}
    for id_, bundle in bundles.items():
        if bundle.rule is not None:
            before = known.get(id_)
            if before is None or before.json != bundle.rule:
                before = ParsedRule(bundle.rule, parse_rule(bundle.rule))
                yield
            parsed[id_] = before
    return parsed


def _features(
    features: tuple[Feature, ...], rules: Mapping[str, Rule], membership: Membership, before: OrgTable | None
) -> Steps[FeatureIndex]:
    """The same index for the same features: what was found out with it stays valid. Raises TableError."""
    if before and before.features.features == features:
        if before.membership is membership:
            return before.features
        index = before.features
    else:
        index = FeatureIndex(features)
    yield
    if unready := preparing(rules, {feature.id: feature.kept for feature in features}):
        raise TableError(f"the manifest lacks features of audience {min(unready)}")
    yield
    return index


def _preparing_messages(
    bundles: Iterable[Bundle], membership: Membership, before: OrgTable | None
) -> Steps[tuple[PreparedMessage, ...]]:
    """The one that wins a slot first. Raises KeyError for an audience that is not in `membership`, and ValueError."""
    known = {prepared.message.id: prepared for prepared in before.messages} if before else {}
    places = membership is before.membership if before else False
    prepared: list[PreparedMessage] = []
    for bundle in bundles:
        for message in bundle.messages:
            if len(prepared) % MESSAGES_A_STEP == 0:
                yield
            earlier = known.get(message.id)
            if earlier is None or (earlier.message is not message and earlier.message != message):
                prepared.append(_prepare_message(message, bundle, membership, _prepare_trigger(message)))
            elif places and earlier.audience_id == _audience_id(bundle):
                prepared.append(earlier)
            else:
                prepared.append(_prepare_message(earlier.message, bundle, membership, earlier.trigger))
    yield
    return tuple(sorted(prepared, key=_precedence))


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
    )


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
