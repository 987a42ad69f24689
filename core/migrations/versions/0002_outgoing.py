"""What goes out: outbox, texts, templates, links with a secret; merged tickets; more flags."""

import sqlalchemy as sa
from alembic import op

from core.migrations.vocabulary import widen

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FLAGS = ("sender-not-verified", "new-address", "stranger", "unreadable")
NEW_FLAGS = (
    "other-person",
    "foreign-address",
    "automatic",
    "sender-unclear",
    "delivery-report",
    "burst",
)


def upgrade() -> None:
    """Add tables and columns, and the new flags to what the old tables allow."""
    _create_tables()
    _add_columns()
    for table in ("tickets", "articles"):
        widen(table, "flag", "flag", FLAGS, NEW_FLAGS)


def _add_columns() -> None:
    """SQLite takes a new column with its reference, but no constraint afterwards."""
    for statement in (
        "ALTER TABLE articles ADD COLUMN raw_id INTEGER "
        "CONSTRAINT fk_articles_raw_id REFERENCES raw_mails (id)",
        "ALTER TABLE articles ADD COLUMN sent_to VARCHAR(2000) NOT NULL DEFAULT ''",
        "ALTER TABLE articles ADD COLUMN sent_cc VARCHAR(2000) NOT NULL DEFAULT ''",
        "ALTER TABLE queues ADD COLUMN signature VARCHAR NOT NULL DEFAULT ''",
        "ALTER TABLE tickets ADD COLUMN merged_into_id INTEGER "
        "CONSTRAINT fk_tickets_merged_into_id REFERENCES tickets (id)",
    ):
        op.execute(statement)
    op.create_index(
        "ix_tickets_merged_into",
        "tickets",
        ["merged_into_id"],
        unique=False,
        sqlite_where=sa.text("merged_into_id IS NOT NULL"),
        postgresql_where=sa.text("merged_into_id IS NOT NULL"),
    )


def _create_tables() -> None:
    op.create_table(
        "bouncing_addresses",
        sa.Column("address_key", sa.String(length=320), nullable=False),
        sa.Column("bounces", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_text", sa.String(length=500), nullable=False),
        sa.PrimaryKeyConstraint("address_key", name=op.f("pk_bouncing_addresses")),
    )
    op.create_table(
        "password_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("login", sa.String(length=320), nullable=False),
        sa.Column("staff", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("peer", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_requests")),
    )
    op.create_table(
        "account_tokens",
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column(
            "purpose",
            sa.Enum(
                "reset",
                "invitation",
                name="tokenpurpose",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("customer_user_id", sa.Integer(), nullable=True),
        sa.Column("staff_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(customer_user_id IS NULL) <> (staff_id IS NULL)",
            name=op.f("ck_account_tokens_one_account"),
        ),
        sa.ForeignKeyConstraint(
            ["customer_user_id"],
            ["customer_users.id"],
            name=op.f("fk_account_tokens_customer_user_id"),
        ),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_account_tokens_staff_id")
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_account_tokens")),
    )
    op.create_index(
        op.f("ix_account_tokens_customer_user_id"),
        "account_tokens",
        ["customer_user_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_account_tokens_expires_at"), "account_tokens", ["expires_at"], unique=False
    )
    op.create_index(
        op.f("ix_account_tokens_staff_id"), "account_tokens", ["staff_id"], unique=False
    )
    op.create_table(
        "auto_responses",
        sa.Column("queue_id", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "received",
                "follow-up-received",
                "follow-up-rejected",
                "new-ticket",
                name="autoresponse",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("subject_de", sa.String(length=300), nullable=False),
        sa.Column("text_de", sa.String(), nullable=False),
        sa.Column("subject_en", sa.String(length=300), nullable=False),
        sa.Column("text_en", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["queue_id"], ["queues.id"], name=op.f("fk_auto_responses_queue_id")
        ),
        sa.PrimaryKeyConstraint("queue_id", "kind", name=op.f("pk_auto_responses")),
    )
    op.create_table(
        "reply_templates",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("queue_id", sa.Integer(), nullable=True),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("valid", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["queue_id"], ["queues.id"], name=op.f("fk_reply_templates_queue_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reply_templates")),
        sa.UniqueConstraint("name", name=op.f("uq_reply_templates_name")),
    )
    op.create_index(
        op.f("ix_reply_templates_queue_id"), "reply_templates", ["queue_id"], unique=False
    )
    op.create_table(
        "ticket_mutes",
        sa.Column("customer_user_id", sa.Integer(), nullable=False),
        sa.Column("ticket_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_user_id"],
            ["customer_users.id"],
            name=op.f("fk_ticket_mutes_customer_user_id"),
        ),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_ticket_mutes_ticket_id")
        ),
        sa.PrimaryKeyConstraint("customer_user_id", "ticket_id", name=op.f("pk_ticket_mutes")),
    )
    op.create_table(
        "outgoing_mails",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "reply",
                "notice",
                "received",
                "follow-up-received",
                "follow-up-rejected",
                "new-ticket",
                "password-reset",
                "invitation",
                name="outgoingkind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "sent",
                "failed",
                "bounced",
                "cancelled",
                "suppressed",
                name="outgoingstate",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("queue_id", sa.Integer(), nullable=True),
        sa.Column("ticket_id", sa.Integer(), nullable=True),
        sa.Column("article_id", sa.Integer(), nullable=True),
        sa.Column("customer_user_id", sa.Integer(), nullable=True),
        sa.Column("staff_id", sa.Integer(), nullable=True),
        sa.Column("raw_id", sa.Integer(), nullable=True),
        sa.Column("mail_from", sa.String(length=320), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("recipient_key", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.String(length=500), nullable=False),
        sa.Column("message_id", sa.String(length=500), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reply", sa.String(length=500), nullable=False),
        sa.Column("bounced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bounce", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_outgoing_mails_article_id")
        ),
        sa.ForeignKeyConstraint(
            ["customer_user_id"],
            ["customer_users.id"],
            name=op.f("fk_outgoing_mails_customer_user_id"),
        ),
        sa.ForeignKeyConstraint(
            ["queue_id"], ["queues.id"], name=op.f("fk_outgoing_mails_queue_id")
        ),
        sa.ForeignKeyConstraint(
            ["raw_id"], ["raw_mails.id"], name=op.f("fk_outgoing_mails_raw_id")
        ),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_outgoing_mails_staff_id")
        ),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_outgoing_mails_ticket_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outgoing_mails")),
    )
    op.create_index(
        "ix_outgoing_mails_due",
        "outgoing_mails",
        ["next_try_at", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_outgoing_mails_recipient",
        "outgoing_mails",
        ["recipient_key", "created_at"],
        unique=False,
    )
    op.create_index("ix_outgoing_mails_state", "outgoing_mails", ["state", "id"], unique=False)
    op.create_index("ix_outgoing_mails_ticket", "outgoing_mails", ["ticket_id", "id"], unique=False)
