"""An org's snapshot → its manifest and bundles. Pure: the same snapshot makes the same bytes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from compiler.message import MessageError, compile_message
from compiler.snapshot import MessageRow, Snapshot
from engine.audiences import Audiences, read
from engine.features import features_of
from engine.table import prepare
from wire.bundle import EVERYONE, Bundle, CompiledMessage, Manifest, sha_of
from wire.features import Feature
from wire.problems import Problem
from wire.rule_tree import Rule


@dataclass(frozen=True, slots=True)
class Compiled:
    """`bundles` by sha. `problems`: id of each message that was left out for a fault of its own → every reason.

    `preparing`: how many messages were left out because an audience of theirs cannot be decided yet.
    `changes_ms`: the next moment at which a message starts or ends; None: never.
    """

    manifest: Manifest
    bundles: Mapping[str, bytes]
    problems: Mapping[str, Sequence[Problem]]
    preparing: int
    changes_ms: int | None


class _Targeted(NamedTuple):
    audience_id: str
    message: CompiledMessage

    @property
    def needs(self) -> list[str]:
        """The audiences that it names."""
        message, when = self.message, (self.message.trigger or {}).get("audienceId")
        targeted = [] if self.audience_id == EVERYONE else [self.audience_id]
        return [*targeted, *message.exclude_audience_ids, *([when] if when else [])]


def compile_org(snapshot: Snapshot, now_ms: int) -> Compiled:
    """Paused and ended messages are left out, those that start later are in, with their windows."""
    audiences = read(snapshot.audiences)
    current = [row for row in snapshot.messages if row.active and (row.ends_ms is None or row.ends_ms > now_ms)]
    compiled, problems = _compile_messages(current, audiences)
    messages = [message for message in compiled if audiences.are_ready(message.needs)]
    bundles = _bundles(messages, audiences)
    encoded = {bundle.audience_id: bundle.encode() for bundle in bundles}
    shas = {audience_id: sha_of(data) for audience_id, data in encoded.items()}
    features = _features(audiences.usable[audience_id] for audience_id in shas if audience_id != EVERYONE)
    manifest = Manifest(snapshot.version, len(messages), shas, snapshot.keys, features, snapshot.settings)
    return Compiled(
        manifest,
        {shas[audience_id]: data for audience_id, data in encoded.items()},
        problems,
        len(compiled) - len(messages),
        _next_boundary_ms(current, now_ms),
    )


def check(compiled: Compiled) -> None:
    """What every edge will do with these bytes. Raises TableError or DecodeError, which would be a bug of ours."""
    manifest = Manifest.decode(compiled.manifest.encode())
    prepare(
        manifest, {audience_id: Bundle.decode(compiled.bundles[sha]) for audience_id, sha in manifest.bundles.items()}
    )


def _compile_messages(
    rows: Iterable[MessageRow], audiences: Audiences
) -> tuple[list[_Targeted], dict[str, Sequence[Problem]]]:
    messages: list[_Targeted] = []
    problems: dict[str, Sequence[Problem]] = {}
    for row in rows:
        try:
            message = compile_message(row, audiences)
        except MessageError as error:
            problems[str(row.id)] = error.problems
        else:
            messages.append(_Targeted(EVERYONE if row.audience_id is None else str(row.audience_id), message))
    return messages, problems


def _bundles(messages: Sequence[_Targeted], audiences: Audiences) -> list[Bundle]:
    """One for each audience that a message needs, also where none is aimed at it, and one for everyone."""
    by_audience: dict[str, list[CompiledMessage]] = {}
    for audience_id, message in messages:
        by_audience.setdefault(audience_id, []).append(message)
    everyone = by_audience.pop(EVERYONE, [])
    needed = audiences.with_references(chain.from_iterable(message.needs for message in messages))
    bundles = [
        Bundle(audience_id, audiences.rule_json(audience_id), _in_order(by_audience.get(audience_id, [])))
        for audience_id in sorted(needed)
    ]
    return [*bundles, Bundle(EVERYONE, None, _in_order(everyone))] if everyone else bundles


def _features(rules: Iterable[Rule | None]) -> tuple[Feature, ...]:
    """What the rules ask of user states, in the order of their ids."""
    found = features_of(rule for rule in rules if rule is not None)
    return tuple(found[feature_id] for feature_id in sorted(found))


def _in_order(messages: Iterable[CompiledMessage]) -> tuple[CompiledMessage, ...]:
    return tuple(sorted(messages, key=lambda message: message.id))


def _next_boundary_ms(rows: Iterable[MessageRow], now_ms: int) -> int | None:
    moments = chain.from_iterable((row.starts_ms, row.ends_ms) for row in rows)
    return min((moment for moment in moments if moment is not None and moment > now_ms), default=None)
