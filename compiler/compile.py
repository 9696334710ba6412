"""An org's snapshot → its manifest and bundles. Pure: the same snapshot makes the same bytes, whatever came before."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import attrgetter
from typing import Final, NamedTuple

from compiler.message import ReadMessage, problems_of, read_message
from compiler.snapshot import MessageRow, Snapshot
from engine.audiences import Audiences, StoredAudience, read
from engine.features import features_of
from wire.bundle import EVERYONE, Manifest, encode_bundle, sha_of
from wire.features import Feature
from wire.problems import Problem

_ID = attrgetter("id")


class EncodedBundle(NamedTuple):
    """A bundle, and all that its bytes follow from. `rule`: its JSON as it is stored."""

    rule: str | None
    messages: tuple[ReadMessage, ...]
    data: bytes
    sha: str


@dataclass(frozen=True, slots=True)
class Parts:
    """What a compile was put together from. `messages` and `bundles` by message and audience id.

    The next one takes from it what is made of the same rows: that is all that any of it depends on, so it never goes
    stale, however long it was kept and whatever happened in the meantime.
    """

    stored: tuple[StoredAudience, ...]
    audiences: Audiences
    messages: Mapping[str, ReadMessage]
    bundles: Mapping[str, EncodedBundle]
    features: tuple[Feature, ...]


NO_PARTS: Final = Parts((), read(()), {}, {}, ())


@dataclass(frozen=True, slots=True)
class Compiled:
    """`bundles` by sha. `problems`: id of each message that was left out for a fault of its own → every reason.

    `preparing`: how many messages were left out because an audience of theirs cannot be decided yet.
    `changes_ms`: the next moment at which a message starts or ends; None: never. `parts`: for the next compile.
    """

    manifest: Manifest
    bundles: Mapping[str, bytes]
    problems: Mapping[str, Sequence[Problem]]
    preparing: int
    changes_ms: int | None
    parts: Parts


def compile_org(snapshot: Snapshot, now_ms: int, before: Parts = NO_PARTS) -> Compiled:
    """Paused and ended messages are left out, those that start later are in, with their windows.

    `before`: parts of any earlier compile; the more rows are the same, the less there is to do.
    """
    audiences = before.audiences if snapshot.audiences == before.stored else read(snapshot.audiences)
    current = [row for row in snapshot.messages if row.active and (row.ends_ms is None or row.ends_ms > now_ms)]
    messages = _read_messages(current, before.messages)
    given, problems, preparing = _sorted_out(messages.values(), audiences)
    rules = {str(audience.id): audience.rule for audience in snapshot.audiences}
    bundles = _bundles(given, audiences, rules, before.bundles)
    features = _features(bundles.keys(), audiences, before)
    shas = {audience_id: bundle.sha for audience_id, bundle in bundles.items()}
    return Compiled(
        Manifest(snapshot.version, len(given), shas, snapshot.keys, features, snapshot.settings),
        {bundle.sha: bundle.data for bundle in bundles.values()},
        problems,
        preparing,
        _next_boundary_ms(current, now_ms),
        Parts(snapshot.audiences, audiences, messages, bundles, features),
    )


def _read_messages(rows: Iterable[MessageRow], before: Mapping[str, ReadMessage]) -> dict[str, ReadMessage]:
    """Most rows stand where they stood before, and need not be looked for."""
    messages = {}
    for row, there in zip(rows, chain(before.values(), repeat(None)), strict=False):
        message = there if there is not None and there.row == row else _found(row, before)
        messages[message.id] = message
    return messages


def _found(row: MessageRow, before: Mapping[str, ReadMessage]) -> ReadMessage:
    message = before.get(str(row.id))
    return message if message is not None and message.row == row else read_message(row)


def _sorted_out(
    messages: Iterable[ReadMessage], audiences: Audiences
) -> tuple[list[ReadMessage], dict[str, list[Problem]], int]:
    """The messages that can be given, the problems of those that cannot by id, and how many wait for an audience."""
    ready, given, preparing = audiences.ready(), [], 0
    problems: dict[str, list[Problem]] = {}
    for message in messages:
        if message.encoded and ready.issuperset(message.needs):
            given.append(message)
        elif found := problems_of(message, audiences):
            problems[message.id] = found
        else:
            preparing += 1
    return given, problems, preparing


def _bundles(
    messages: Sequence[ReadMessage],
    audiences: Audiences,
    rules: Mapping[str, str | None],
    before: Mapping[str, EncodedBundle],
) -> dict[str, EncodedBundle]:
    """One for each audience that a message needs, also where none is aimed at it, and one for everyone.

    A rule is the same as before when its text is: read, 1 and true are equal, and not the same.
    """
    aimed: dict[str, list[ReadMessage]] = {}
    for message in messages:
        aimed.setdefault(message.audience_id, []).append(message)
    needed = sorted(audiences.with_references(set(chain.from_iterable(message.needs for message in messages))))
    bundles = {}
    for audience_id in [*needed, EVERYONE] if EVERYONE in aimed else needed:
        rule, members = rules.get(audience_id), tuple(sorted(aimed.get(audience_id, ()), key=_ID))
        bundle = before.get(audience_id)
        if bundle is None or bundle.rule != rule or bundle.messages != members:
            bundle = _encoded(audience_id, rule, members, audiences)
        bundles[audience_id] = bundle
    return bundles


def _encoded(
    audience_id: str, rule: str | None, messages: tuple[ReadMessage, ...], audiences: Audiences
) -> EncodedBundle:
    rule_json = None if rule is None else audiences.rule_json(audience_id)
    data = encode_bundle(audience_id, rule_json, [message.encoded for message in messages])
    return EncodedBundle(rule, messages, data, sha_of(data))


def _features(audience_ids: Collection[str], audiences: Audiences, before: Parts) -> tuple[Feature, ...]:
    """What the rules of these audiences ask of user states, in the order of their ids."""
    if audiences is before.audiences and audience_ids == before.bundles.keys():
        return before.features
    rules = (audiences.usable[audience_id] for audience_id in audience_ids if audience_id != EVERYONE)
    found = features_of(rule for rule in rules if rule is not None)
    return tuple(found[feature_id] for feature_id in sorted(found))


def _next_boundary_ms(rows: Iterable[MessageRow], now_ms: int) -> int | None:
    moments = chain.from_iterable((row.starts_ms, row.ends_ms) for row in rows)
    return min((moment for moment in moments if moment is not None and moment > now_ms), default=None)
