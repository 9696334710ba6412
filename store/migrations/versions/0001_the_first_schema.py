"""The first schema"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sa.schema.CreateSequence(sa.Sequence("customer_rev")))
    op.create_table(
        "compiler_lease",
        sa.Column("id", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("generation", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("expires_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("compiler_lease_pkey")),
    )
    op.create_table(
        "customer_aliases",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("anonymous_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("claimed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "anonymous_id", name=op.f("customer_aliases_pkey")),
    )
    op.create_index(
        op.f("customer_aliases_org_id_subject_idx"), "customer_aliases", ["org_id", "subject"], unique=False
    )
    op.create_table(
        "customers",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "traits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "stamps", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "subject", name=op.f("customers_pkey")),
    )
    op.create_index(op.f("customers_org_id_last_seen_ms_idx"), "customers", ["org_id", "last_seen_ms"], unique=False)
    op.create_table(
        "erased_customers",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("erased_ms", sa.BigInteger(), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "subject", name=op.f("erased_customers_pkey")),
    )
    op.create_table(
        "events",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("occurred_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("properties", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("context", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("events_pkey")),
    )
    op.create_index(
        op.f("events_org_id_subject_type_occurred_ms_idx"),
        "events",
        ["org_id", "subject", "type", "occurred_ms"],
        unique=False,
    )
    op.create_table(
        "in_app_message_impressions",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("occurred_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("in_app_message_impressions_pkey")),
    )
    op.create_index(
        op.f("in_app_message_impressions_org_id_message_id_occurred_ms_idx"),
        "in_app_message_impressions",
        ["org_id", "message_id", "occurred_ms"],
        unique=False,
    )
    op.create_index(
        op.f("in_app_message_impressions_org_id_subject_idx"),
        "in_app_message_impressions",
        ["org_id", "subject"],
        unique=False,
    )
    op.create_table(
        "message_stats_hourly",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("hour_ms", sa.BigInteger(), nullable=False),
        sa.Column("impressions", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("clicks", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("dismissals", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("conversions", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "message_id", "hour_ms", name=op.f("message_stats_hourly_pkey")),
    )
    op.create_table(
        "message_user_state",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("impressions", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("clicks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("dismissals", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("recent_ms", postgresql.ARRAY(sa.BigInteger()), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "subject", "message_id", name=op.f("message_user_state_pkey")),
    )
    op.create_index(
        op.f("message_user_state_org_id_message_id_idx"), "message_user_state", ["org_id", "message_id"], unique=False
    )
    op.create_table(
        "orgs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("app_schemes", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("require_identity_token", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("identity_secret", sa.Text(), nullable=True),
        sa.Column("bundle_revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("orgs_pkey")),
    )
    op.create_table(
        "rejected_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=True),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("rejected_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("rejected_events_pkey")),
        sa.UniqueConstraint(
            "org_id",
            "event_id",
            "reason",
            name=op.f("rejected_events_org_id_event_id_reason_key"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("env", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("api_keys_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("digest", name=op.f("api_keys_digest_key")),
    )
    op.create_index(op.f("api_keys_org_id_idx"), "api_keys", ["org_id"], unique=False)
    op.create_table(
        "audiences",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("rule", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("audiences_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("audiences_pkey")),
        sa.UniqueConstraint("org_id", "name", name=op.f("audiences_org_id_name_key")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_type", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column(
            "changes", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("audit_log_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
    )
    op.create_index(op.f("audit_log_org_id_created_ms_idx"), "audit_log", ["org_id", "created_ms"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("inbox_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("inbox_pkey")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("outbox_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )
    op.create_table(
        "audience_members",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("audience_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.ForeignKeyConstraint(
            ["audience_id"], ["audiences.id"], name=op.f("audience_members_audience_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("audience_members_org_id_fkey")),
        sa.PrimaryKeyConstraint("audience_id", "subject", name=op.f("audience_members_pkey")),
    )
    op.create_index(
        op.f("audience_members_org_id_subject_idx"), "audience_members", ["org_id", "subject"], unique=False
    )
    op.create_table(
        "in_app_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("trigger", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("audience_id", sa.Uuid(), nullable=True),
        sa.Column("exclude_audience_ids", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("appearance", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("starts_ms", sa.BigInteger(), nullable=True),
        sa.Column("ends_ms", sa.BigInteger(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("slot", sa.Text(), nullable=True),
        sa.Column("frequency_cap", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column(
            "problems", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("published_ms", sa.BigInteger(), nullable=True),
        sa.Column("archived_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["audience_id"], ["audiences.id"], name=op.f("in_app_messages_audience_id_fkey")),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("in_app_messages_org_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("in_app_messages_pkey")),
    )
    op.create_index(op.f("in_app_messages_audience_id_idx"), "in_app_messages", ["audience_id"], unique=False)
    op.create_index(
        op.f("in_app_messages_org_id_created_ms_id_idx"),
        "in_app_messages",
        ["org_id", "created_ms", "id"],
        unique=False,
    )
    op.create_table(
        "message_versions",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("published_ms", sa.BigInteger(), nullable=False),
        sa.Column("published_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["in_app_messages.id"], name=op.f("message_versions_message_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("message_versions_org_id_fkey")),
        sa.PrimaryKeyConstraint("message_id", "version", name=op.f("message_versions_pkey")),
    )
    op.execute("INSERT INTO compiler_lease (id) VALUES (1)")


def downgrade() -> None:
    op.drop_table("message_versions")
    op.drop_index(op.f("in_app_messages_org_id_created_ms_id_idx"), table_name="in_app_messages")
    op.drop_index(op.f("in_app_messages_audience_id_idx"), table_name="in_app_messages")
    op.drop_table("in_app_messages")
    op.drop_index(op.f("audience_members_org_id_subject_idx"), table_name="audience_members")
    op.drop_table("audience_members")
    op.drop_table("outbox")
    op.drop_table("inbox")
    op.drop_index(op.f("audit_log_org_id_created_ms_idx"), table_name="audit_log")
    op.drop_table("audit_log")
    op.drop_table("audiences")
    op.drop_index(op.f("api_keys_org_id_idx"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("rejected_events")
    op.drop_table("orgs")
    op.drop_index(op.f("message_user_state_org_id_message_id_idx"), table_name="message_user_state")
    op.drop_table("message_user_state")
    op.drop_table("message_stats_hourly")
    op.drop_index(op.f("in_app_message_impressions_org_id_subject_idx"), table_name="in_app_message_impressions")
    op.drop_index(
        op.f("in_app_message_impressions_org_id_message_id_occurred_ms_idx"), table_name="in_app_message_impressions"
    )
    op.drop_table("in_app_message_impressions")
    op.drop_index(op.f("events_org_id_subject_type_occurred_ms_idx"), table_name="events")
    op.drop_table("events")
    op.drop_table("erased_customers")
    op.drop_index(op.f("customers_org_id_last_seen_ms_idx"), table_name="customers")
    op.drop_table("customers")
    op.drop_index(op.f("customer_aliases_org_id_subject_idx"), table_name="customer_aliases")
    op.drop_table("customer_aliases")
    op.drop_table("compiler_lease")
    op.execute(sa.schema.DropSequence(sa.Sequence("customer_rev")))
