"""Whether edges can use what was compiled: it is decoded and prepared as they will do, before they are given it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from compiler.compile import Compiled
from engine.table import OrgTable, TableError, prepare
from wire.bundle import Bundle, CompiledMessage, Manifest


class _Sound(NamedTuple):
    """A bundle whose bytes were decoded and whose messages were prepared. `named`: audiences that these name."""

    sha: str
    bundle: Bundle
    named: frozenset[str]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the next check need not look at again. `bundles` by audience id; `rules`: a table without messages."""

    bundles: Mapping[str, _Sound]
    rules: OrgTable


def check(compiled: Compiled, before: Checked | None = None) -> Checked:
    """Raises TableError or DecodeError, which would be a bug of ours.

    `before`: of any earlier check. Bundles and messages that were in there are not prepared again, but they still have
    to fit what is there now.
    """
    manifest = Manifest.decode(compiled.manifest.encode())
    known = before.bundles if before else {}
    bundles = {
        audience_id: _decoded(sha, compiled.bundles[sha], known.get(audience_id))
        for audience_id, sha in manifest.bundles.items()
    }
    _expect_whole(manifest, bundles)
    none = {audience_id: replace(each.bundle, messages=()) for audience_id, each in bundles.items()}
    rules = prepare(replace(manifest, message_count=0), none, before.rules if before else None)
    new = {audience_id: _new_messages(each, known.get(audience_id)) for audience_id, each in bundles.items()}
    prepare(
        replace(manifest, message_count=sum(map(len, new.values()))),
        {audience_id: replace(none[audience_id], messages=messages) for audience_id, messages in new.items()},
        rules,
    )
    return Checked(bundles, rules)


def _decoded(sha: str, data: bytes, known: _Sound | None) -> _Sound:
    if known is not None and known.sha == sha:
        return known
    bundle = Bundle.decode(data)
    return _Sound(sha, bundle, frozenset(named for message in bundle.messages for named in _named(message)))


def _named(message: CompiledMessage) -> list[str]:
    when = message.trigger.get("audienceId") if message.trigger else None
    return [*message.exclude_audience_ids, *([when] if when else [])]


def _expect_whole(manifest: Manifest, bundles: Mapping[str, _Sound]) -> None:
    """What is true of bundles only together; the engine is shown no more than the new messages."""
    number = sum(len(each.bundle.messages) for each in bundles.values())
    if number != manifest.message_count:
        raise TableError(f"{number} messages where the manifest says {manifest.message_count}")
    for each in bundles.values():
        if lacking := each.named - manifest.bundles.keys():
            raise TableError(f"a message names an audience without a bundle: {min(lacking)}")


def _new_messages(now: _Sound, known: _Sound | None) -> tuple[CompiledMessage, ...]:
    if known is None:
        return now.bundle.messages
    if known is now:
        return ()
    seen = {message.id: message for message in known.bundle.messages}
    return tuple(message for message in now.bundle.messages if seen.get(message.id) != message)
