"""What the compiler publishes and the edge evaluates: an org's Manifest and its per-audience Bundles.

A bundle is immutable and named by the SHA-256 of its bytes; the manifest says which bundles make up an org now.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from wire import codec
from wire.codec import DecodeError
from wire.features import Feature

FORMAT = 1
EVERYONE = "everyone"
"""The bundle of the messages that have no audience."""


class Version(NamedTuple):
    """Orders manifests: an edge never goes back. `generation` is raised by an operator who restored Postgres."""

    generation: int
    epoch: int
    revision: int

    def __str__(self) -> str:
        return f"{self.generation}.{self.epoch}.{self.revision}"

    @classmethod
    def parse(cls, text: str) -> "Version":
        try:
            generation, epoch, revision = map(int, text.split("."))
        except ValueError as error:
            raise DecodeError(f"not a manifest version: {text[:64]}") from error
        return cls(generation, epoch, revision)


@dataclass(frozen=True, slots=True)
class FrequencyCap:
    """At most `max_impressions` within `per_s` seconds (None: ever), `min_interval_s` apart, none after a stop."""

    max_impressions: int | None
    per_s: int | None
    min_interval_s: int | None
    stop_after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """One message, ready to be decided about. `json` is the whole object an SDK gets, encoded at compile time."""

    id: str
    version: int
    type: str
    slot: str
    priority: int
    created_ms: int
    exclude_audience_ids: tuple[str, ...]
    starts_ms: int | None
    ends_ms: int | None
    trigger: Mapping[str, Any] | None
    cap: FrequencyCap | None
    json: bytes

    def encode(self) -> bytes:
        """What stands for it in a bundle."""
        return codec.pack(_message_fields(self))


@dataclass(frozen=True, slots=True)
class Bundle:
    """An audience with the messages that target it. `rule` is its JSON; None for everyone and for static lists."""

    audience_id: str
    rule: Mapping[str, Any] | None
    messages: tuple[CompiledMessage, ...]

    def encode(self) -> bytes:
        return encode_bundle(self.audience_id, self.rule, [message.encode() for message in self.messages])

    @classmethod
    def decode(cls, data: bytes) -> "Bundle":
        """Raises DecodeError."""
        try:
            form, audience_id, rule, messages = codec.unpack(data)
            codec.expect_format(form, FORMAT)
            return cls(audience_id, rule, tuple(_message(fields) for fields in messages))
        except (TypeError, ValueError, IndexError) as error:
            raise _as_decode_error(error, "bundle") from error

    @classmethod
    def decode_named(cls, sha: str, data: bytes | None) -> "Bundle":
        """The bundle of this name. Raises DecodeError, also when there are no bytes or they are another's."""
        if data is None:
            raise DecodeError(f"bundle {sha} is missing")
        if sha_of(data) != sha:
            raise DecodeError(f"bundle {sha} holds other bytes")
        return cls.decode(data)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an org asks of the edge."""

    require_identity_token: bool = False
    identity_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an org consists of now. `bundles`: audience id or `everyone` → sha; `keys`: SHA-256 of live public keys.

    `features`: all that the rules of its bundles ask of user states, each of them complete there.
    """

    version: Version
    message_count: int
    bundles: Mapping[str, str]
    keys: frozenset[bytes]
    features: tuple[Feature, ...] = ()
    settings: Settings = Settings()

    def encode(self) -> bytes:
        return codec.pack(
            {
                "format": FORMAT,
                "generation": self.version.generation,
                "epoch": self.version.epoch,
                "revision": self.version.revision,
                "messageCount": self.message_count,
                "bundles": dict(sorted(self.bundles.items())),
                "keys": sorted(self.keys),
                "features": [feature.fields() for feature in self.features],
                "settings": {
                    "requireIdentityToken": self.settings.require_identity_token,
                    "identitySecret": self.settings.identity_secret,
                },
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """Raises DecodeError."""
        try:
            fields = codec.unpack(data)
            codec.expect_format(fields["format"], FORMAT)
            settings = fields["settings"]
            return cls(
                Version(fields["generation"], fields["epoch"], fields["revision"]),
                fields["messageCount"],
                fields["bundles"],
                frozenset(fields["keys"]),
                tuple(map(Feature.from_fields, fields["features"])),
                Settings(settings["requireIdentityToken"], settings["identitySecret"]),
            )
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise _as_decode_error(error, "manifest") from error


def encode_bundle(audience_id: str, rule: Mapping[str, Any] | None, messages: Sequence[bytes]) -> bytes:
    """The bytes of a Bundle, put together from those of its messages."""
    head = [codec.pack(part) for part in (FORMAT, audience_id, rule)]
    return codec.pack_list([*head, codec.pack_list(messages)])


def sha_of(data: bytes) -> str:
    """The name of a bundle: SHA-256 of its bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def org_change(org_id: UUID, version: Version) -> dict[str, str]:
    """The fields of a `changes` entry that announces a manifest, but for its `seq`."""
    return {"kind": "org", "org": str(org_id), "body": str(version)}


def _message_fields(message: CompiledMessage) -> list[Any]:
    cap = message.cap
    return [
        message.id,
        message.version,
        message.type,
        message.slot,
        message.priority,
        message.created_ms,
        list(message.exclude_audience_ids),
        message.starts_ms,
        message.ends_ms,
        message.trigger,
        None if cap is None else [cap.max_impressions, cap.per_s, cap.min_interval_s, list(cap.stop_after)],
        message.json,
    ]


def _message(fields: list[Any]) -> CompiledMessage:
    id_, version, type_, slot, priority, created_ms, exclude, starts_ms, ends_ms, trigger, cap, json = fields
    return CompiledMessage(
        id_, version, type_, slot, priority, created_ms, tuple(exclude), starts_ms, ends_ms, trigger, _cap(cap), json
    )


def _cap(fields: list[Any] | None) -> FrequencyCap | None:
    if fields is None:
        return None
    max_impressions, per_s, min_interval_s, stop_after = fields
    return FrequencyCap(max_impressions, per_s, min_interval_s, tuple(stop_after))


def _as_decode_error(error: Exception, what: str) -> DecodeError:
    return error if isinstance(error, DecodeError) else DecodeError(f"not a {what}: {type(error).__name__}")
