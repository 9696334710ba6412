"""An org's bundles, prepared for deciding: rules and triggers compiled, messages in the order in which they win."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.clauses import compile_where
from engine.features import FeatureIndex, preparing
from engine.rules import Membership, compile_pattern, compile_rules
from wire.bundle import EVERYONE, Bundle, CompiledMessage, Manifest, Settings, Version
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
    """`audience`, `excluded`, `trigger_audience`: masks as `Membership` has them; 0 where no audience is named."""

    message: CompiledMessage
    audience_id: str | None
    trigger: Trigger
    audience: int = 0
    excluded: int = 0
    trigger_audience: int = 0

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
    """All that is needed to decide for one org. `messages`: the one that wins a slot first."""

    version: Version
    keys: frozenset[bytes]
    settings: Settings
    membership: Membership
    features: FeatureIndex
    messages: tuple[PreparedMessage, ...]


def prepare(manifest: Manifest, bundles: Mapping[str, Bundle]) -> OrgTable:
    """`bundles` by audience id. Raises TableError; nothing of a bad bundle is ever used."""
    if set(bundles) != set(manifest.bundles):
        raise TableError("the bundles are not those of the manifest")
    try:
        rules = _rules(bundles)
        membership = compile_rules(rules, (id_ for id_ in bundles if id_ not in rules and id_ != EVERYONE))
        messages = [
            _prepare_message(message, bundle, membership) for bundle in bundles.values() for message in bundle.messages
        ]
    except KeyError as error:
        raise TableError(f"a message names an audience without a bundle: {error}") from error
    except ValueError as error:
        raise TableError(f"a bundle cannot be compiled: {error}") from error
    if len(messages) != manifest.message_count:
        raise TableError(f"{len(messages)} messages where the manifest says {manifest.message_count}")
    if unready := preparing(rules, {feature.id: feature.kept for feature in manifest.features}):
        raise TableError(f"the manifest lacks features of audience {min(unready)}")
    return OrgTable(
        manifest.version,
        manifest.keys,
        manifest.settings,
        membership,
        FeatureIndex(manifest.features),
        tuple(sorted(messages, key=_precedence)),
    )


def _rules(bundles: Mapping[str, Bundle]) -> dict[str, Rule]:
    return {id_: parse_rule(bundle.rule) for id_, bundle in bundles.items() if bundle.rule is not None}


def _prepare_message(message: CompiledMessage, bundle: Bundle, membership: Membership) -> PreparedMessage:
    audience_id = None if bundle.audience_id == EVERYONE else bundle.audience_id
    trigger = _prepare_trigger(message)
    return PreparedMessage(
        message,
        audience_id,
        trigger,
        membership.mask_of([audience_id] if audience_id else ()),
        membership.mask_of(message.exclude_audience_ids),
        membership.mask_of([trigger.audience_id] if trigger.audience_id else ()),
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
