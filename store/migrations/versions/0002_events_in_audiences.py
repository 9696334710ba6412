"""Events in audiences, goals of messages, imports of customers"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audiences", sa.Column("preparing", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("in_app_messages", sa.Column("goal", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_index(
        "in_app_messages_goal_idx", "in_app_messages", ["org_id"], postgresql_where=sa.text("goal IS NOT NULL")
    )
    op.create_index(
        "in_app_message_impressions_seen_idx",
        "in_app_message_impressions",
        ["org_id", "subject", "message_id", "occurred_ms"],
    )
    op.drop_index(op.f("in_app_message_impressions_org_id_subject_idx"), "in_app_message_impressions")
    op.create_table(
        "in_app_message_conversions",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("occurred_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "message_id", "subject", name=op.f("in_app_message_conversions_pkey")),
    )
    op.create_index(
        op.f("in_app_message_conversions_org_id_subject_idx"), "in_app_message_conversions", ["org_id", "subject"]
    )
    op.create_index(
        op.f("events_org_id_type_occurred_ms_idx"),
        "events",
        ["org_id", "type", "occurred_ms"],
        postgresql_include=["subject"],
    )
    op.execute("ALTER TABLE events SET (autovacuum_vacuum_insert_scale_factor = 0.02)")
    op.create_table(
        "event_features",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("where", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.Column("ready", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("after", sa.Text(collation="C"), nullable=True),
        sa.Column("pass_id", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("event_features_pkey")),
    )
    op.create_table(
        "event_rings",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("feature_id", sa.Text(collation="C"), nullable=False),
        sa.Column("recent_ms", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "subject", "feature_id", name=op.f("event_rings_pkey")),
    )
    op.create_index(op.f("event_rings_org_id_feature_id_idx"), "event_rings", ["org_id", "feature_id"])
    op.create_table(
        "customer_imports",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_line", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("accepted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rejected", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "digest", name=op.f("customer_imports_pkey")),
    )


def downgrade() -> None:
    op.drop_table("customer_imports")
    op.drop_table("event_rings")
    op.drop_table("event_features")
    op.execute("ALTER TABLE events RESET (autovacuum_vacuum_insert_scale_factor)")
    op.drop_index(op.f("events_org_id_type_occurred_ms_idx"), "events")
    op.drop_table("in_app_message_conversions")
    op.create_index(
        op.f("in_app_message_impressions_org_id_subject_idx"), "in_app_message_impressions", ["org_id", "subject"]
    )
    op.drop_index("in_app_message_impressions_seen_idx", "in_app_message_impressions")
    op.drop_index("in_app_messages_goal_idx", "in_app_messages")
    op.drop_column("in_app_messages", "goal")
    op.drop_column("audiences", "preparing")
