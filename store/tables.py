"""Every table. Moments are bigint milliseconds since the epoch; enums are text with a check in the API, not here."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

EMPTY_OBJECT = text("'{}'::jsonb")

customer_rev = Sequence("customer_rev", metadata=metadata)
"""Orders the states of a customer; drawn under the customer's row lock by all that changes a state."""


def _id() -> Column[object]:
    return Column("id", Uuid, primary_key=True)


def _org_id() -> Column[object]:
    return Column("org_id", Uuid, ForeignKey("orgs.id"), nullable=False)


orgs = Table(
    "orgs",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("app_schemes", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("require_identity_token", Boolean, nullable=False, server_default=false()),
    Column("identity_secret", Text),
    Column("bundle_revision", BigInteger, nullable=False, server_default=text("0")),
    Column("created_ms", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _org_id(),
    Column("kind", Text, nullable=False),
    Column("env", Text, nullable=False),
    Column("role", Text),
    Column("name", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
    Index(None, "org_id"),
)
"""`kind` pk or sk; `role` of an sk: admin, editor, viewer; `hint`: the last 4 characters, to tell keys apart."""

audiences = Table(
    "audiences",
    metadata,
    _id(),
    _org_id(),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("rule", JSONB(none_as_null=True)),
    Column("preparing", Boolean, nullable=False, server_default=false()),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    UniqueConstraint("org_id", "name"),
)
"""`rule` null: a static audience, whose members are `audience_members`. `preparing`: events that its rule, or one that
it refers to, asks about are still being gathered; kept by `store.features.mark_preparing`."""

in_app_messages = Table(
    "in_app_messages",
    metadata,
    _id(),
    _org_id(),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("trigger", JSONB(none_as_null=True)),
    Column("audience_id", Uuid, ForeignKey("audiences.id")),
    Column("exclude_audience_ids", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    Column("appearance", JSONB, nullable=False),
    Column("starts_ms", BigInteger),
    Column("ends_ms", BigInteger),
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("priority", SmallInteger, nullable=False),
    Column("slot", Text),
    Column("frequency_cap", JSONB(none_as_null=True)),
    Column("goal", JSONB(none_as_null=True)),
    Column("problems", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("published_ms", BigInteger),
    Column("archived_ms", BigInteger),
    Index(None, "org_id", "created_ms", "id"),
    Index(None, "audience_id"),
    Index("in_app_messages_goal_idx", "org_id", postgresql_where=text("goal IS NOT NULL")),
)
"""`published_ms` null: a draft. `problems`: why the compiler left it out, `[{pointer, code, message}]`."""

message_versions = Table(
    "message_versions",
    metadata,
    Column("message_id", Uuid, ForeignKey("in_app_messages.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    _org_id(),
    Column("spec", JSONB, nullable=False),
    Column("published_ms", BigInteger, nullable=False),
    Column("published_by", Uuid),
)
"""Every version that was ever published, as the API gave it; `published_by`: the key."""

audience_members = Table(
    "audience_members",
    metadata,
    _org_id(),
    Column("audience_id", Uuid, ForeignKey("audiences.id", ondelete="CASCADE"), primary_key=True),
    Column("subject", Text(collation="C"), primary_key=True),
    Index(None, "org_id", "subject"),
)

customers = Table(
    "customers",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("subject", Text(collation="C"), primary_key=True),
    Column("traits", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("stamps", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("rev", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
    Index(None, "org_id", "last_seen_ms"),
)
"""Users and anonymous visitors. `stamps`: trait → [received_ms, event id] of the event that set it."""

customer_aliases = Table(
    "customer_aliases",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("anonymous_id", Text, primary_key=True),
    Column("subject", Text(collation="C"), nullable=False),
    Column("claimed_ms", BigInteger, nullable=False),
    Index(None, "org_id", "subject"),
)

erased_customers = Table(
    "erased_customers",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("subject", Text(collation="C"), primary_key=True),
    Column("erased_ms", BigInteger, nullable=False),
    Column("rev", BigInteger, nullable=False),
)
"""Tombstones: events of the subject received up to `erased_ms` are dropped. `rev`: that of the empty state."""

events = Table(
    "events",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("subject", Text(collation="C"), nullable=False),
    Column("type", Text, nullable=False),
    Column("occurred_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("properties", JSONB, nullable=False),
    Column("context", JSONB, nullable=False),
    Column("session_id", Text),
    Index(None, "org_id", "subject", "type", "occurred_ms"),
    Index(None, "org_id", "type", "occurred_ms", postgresql_include=["subject"]),
    postgresql_with={"autovacuum_vacuum_insert_scale_factor": 0.02},
)
"""The analytics stream. `subject` is resolved: an event of a claimed anonymous id belongs to its user.

Audiences are counted by the second index alone; that takes pages which a vacuum has seen, the newest ones too.
"""

rejected_events = Table(
    "rejected_events",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("org_id", Uuid),
    Column("event_id", Uuid),
    Column("reason", Text, nullable=False),
    Column("count", Integer, nullable=False, server_default=text("1")),
    Column("body", LargeBinary, nullable=False),
    Column("rejected_ms", BigInteger, nullable=False),
    UniqueConstraint("org_id", "event_id", "reason", postgresql_nulls_not_distinct=True),
)
"""Accepted events that were declared lost, with the reason and the bytes."""

in_app_message_impressions = Table(
    "in_app_message_impressions",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("message_id", Uuid, nullable=False),
    Column("subject", Text(collation="C"), nullable=False),
    Column("occurred_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Index(None, "org_id", "message_id", "occurred_ms"),
    Index("in_app_message_impressions_seen_idx", "org_id", "subject", "message_id", "occurred_ms"),
)
"""One row a render; `id` is the id of its `in_app.impression` event."""

message_stats_hourly = Table(
    "message_stats_hourly",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("message_id", Uuid, primary_key=True),
    Column("hour_ms", BigInteger, primary_key=True),
    Column("impressions", BigInteger, nullable=False, server_default=text("0")),
    Column("clicks", BigInteger, nullable=False, server_default=text("0")),
    Column("dismissals", BigInteger, nullable=False, server_default=text("0")),
    Column("conversions", BigInteger, nullable=False, server_default=text("0")),
)
"""`hour_ms`: when the hour begins in which the events occurred; of a conversion: the goal's event."""

in_app_message_conversions = Table(
    "in_app_message_conversions",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("message_id", Uuid, primary_key=True),
    Column("subject", Text(collation="C"), primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("occurred_ms", BigInteger, nullable=False),
    Index(None, "org_id", "subject"),
)
"""Who reached a message's goal, by which event: at most once a person and message."""

event_features = Table(
    "event_features",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("id", Text(collation="C"), primary_key=True),
    Column("event", Text, nullable=False),
    Column("where", JSONB, nullable=False),
    Column("kept", Integer, nullable=False),
    Column("ready", Integer, nullable=False, server_default=text("0")),
    Column("done", BigInteger, nullable=False, server_default=text("0")),
    Column("total", BigInteger, nullable=False, server_default=text("0")),
    Column("after", Text(collation="C")),
    Column("pass_id", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
"""What the rules of an org's audiences ask about events; a `wire.features.Feature` with its id.

`kept`: how many moments every new event is kept among; `ready`: how many of them are gathered from past events too, for
everybody. While `ready < kept` the past is being gathered: `done` of `total` customers, up to the subject `after`;
`pass_id` is another one each time that it begins anew. `kept` 0: no rule asks any more; the rings are being removed.
"""

event_rings = Table(
    "event_rings",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("subject", Text(collation="C"), primary_key=True),
    Column("feature_id", Text(collation="C"), primary_key=True),
    Column("recent_ms", ARRAY(BigInteger), nullable=False),
    Index(None, "org_id", "feature_id"),
)
"""Moments of a customer's newest events of a feature, newest first, at most as many as it keeps."""

message_user_state = Table(
    "message_user_state",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("subject", Text(collation="C"), primary_key=True),
    Column("message_id", Uuid, primary_key=True),
    Column("impressions", Integer, nullable=False, server_default=text("0")),
    Column("clicks", Integer, nullable=False, server_default=text("0")),
    Column("dismissals", Integer, nullable=False, server_default=text("0")),
    Column("recent_ms", ARRAY(BigInteger), nullable=False, server_default=text("'{}'")),
    Index(None, "org_id", "message_id"),
)
"""What a customer has done with a message; `recent_ms`: its newest impressions, newest first."""

customer_imports = Table(
    "customer_imports",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("name", Text, nullable=False),
    Column("next_line", BigInteger, nullable=False, server_default=text("1")),
    Column("accepted", BigInteger, nullable=False, server_default=text("0")),
    Column("rejected", BigInteger, nullable=False, server_default=text("0")),
    Column("started_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
)
"""How far the import of a file came; `digest`: SHA-256 of its bytes. Moved on in the transaction that asks the recorder
for what was read, so that an import goes on exactly where it stopped."""

inbox = Table(
    "inbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _org_id(),
    Column("kind", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
"""What admin asks of the recorder. The shapes of `body` are in `store.inbox`."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _org_id(),
    Column("created_ms", BigInteger, nullable=False),
)
"""Orgs whose bundles are out of date: the compiler removes a row once a manifest made after it stands."""

compiler_lease = Table(
    "compiler_lease",
    metadata,
    Column("id", Integer, primary_key=True, server_default=text("1")),
    Column("generation", BigInteger, nullable=False, server_default=text("1")),
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("holder", Text),
    Column("expires_ms", BigInteger, nullable=False, server_default=text("0")),
)
"""One row: which compiler may publish. `epoch` rises with each new holder, `generation` by an operator's hand."""

audit_log = Table(
    "audit_log",
    metadata,
    _id(),
    _org_id(),
    Column("key_id", Uuid),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target_type", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("request_id", Text),
    Column("changes", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("created_ms", BigInteger, nullable=False),
    Index(None, "org_id", "created_ms"),
)
"""One row a write. `actor`: the key's name and hint, or `cli`."""
