"""Routing rules, tags, the blocklist, claimed numbers that are asked about, and the digest."""

import sqlalchemy as sa
from alembic import op

from core.migrations.vocabulary import widen

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KINDS = (
    "reply",
    "notice",
    "received",
    "follow-up-received",
    "follow-up-rejected",
    "new-ticket",
    "password-reset",
    "invitation",
    "address-link",
    "address-changed",
    "held-refused",
)
NEW_KINDS = ("number-claim", "digest")

# What the organisation's version depends on: not the columns that intake counts in.
RULE_COLUMNS = ("position", "name", "scope", "conditions", "actions", "stop", "valid")


def upgrade() -> None:
    """Add the tables with their triggers, the preference, and the new kinds of mail."""
    _create_tables()
    if op.get_bind().dialect.name == "sqlite":
        _create_sqlite_triggers()
    else:
        _create_postgresql_triggers()
    op.execute("ALTER TABLE staff ADD COLUMN digest BOOLEAN NOT NULL DEFAULT true")
    op.execute("ALTER TABLE staff ADD COLUMN digest_on DATE")
    widen("outgoing_mails", "kind", "outgoingkind", KINDS, NEW_KINDS)


def _create_tables() -> None:
    op.create_table(
        "routing_rules",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        _word("scope", "routingscope", "new", "follow-up", "both"),
        sa.Column("conditions", sa.JSON(), nullable=False),
        sa.Column("actions", sa.JSON(), nullable=False),
        sa.Column("stop", sa.Boolean(), nullable=False),
        sa.Column("valid", sa.Boolean(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("last_hit_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_rules")),
        sa.UniqueConstraint("name", name=op.f("uq_routing_rules_name")),
    )
    op.create_table(
        "blocked_senders",
        sa.Column("id", sa.Integer(), nullable=False),
        _word("kind", "blockedkind", "address", "domain", "peer"),
        sa.Column("value", sa.String(length=320), nullable=False),
        sa.Column("comment", sa.String(length=300), nullable=False),
        sa.Column("staff_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("last_hit_at", sa.DateTime(timezone=True), nullable=True),
        _foreign("blocked_senders", "staff_id", "staff"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocked_senders")),
        sa.UniqueConstraint("kind", "value", name=op.f("uq_blocked_senders_kind_value")),
    )
    op.create_table(
        "ticket_tags",
        sa.Column("ticket_id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(length=50), nullable=False),
        _foreign("ticket_tags", "ticket_id", "tickets"),
        sa.PrimaryKeyConstraint("ticket_id", "tag", name=op.f("pk_ticket_tags")),
    )
    op.create_index("ix_ticket_tags_tag", "ticket_tags", ["tag", "ticket_id"])
    op.create_table(
        "number_claims",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("customer_user_id", sa.Integer(), nullable=True),
        sa.Column("outgoing_id", sa.Integer(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        _foreign("number_claims", "delivery_id", "deliveries"),
        _foreign("number_claims", "customer_id", "customers"),
        _foreign("number_claims", "customer_user_id", "customer_users"),
        _foreign("number_claims", "outgoing_id", "outgoing_mails"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_number_claims")),
        sa.UniqueConstraint("outgoing_id", name=op.f("uq_number_claims_outgoing_id")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_number_claims_token_hash")),
    )
    op.create_index(op.f("ix_number_claims_delivery_id"), "number_claims", ["delivery_id"])
    op.create_index("ix_number_claims_customer", "number_claims", ["customer_id", "created_at"])


def _word(column: str, name: str, *words: str) -> sa.Column[str]:
    return sa.Column(
        column,
        sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32),
        nullable=False,
    )


def _foreign(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"))


def _create_sqlite_triggers() -> None:
    changed = f"UPDATE OF {', '.join(RULE_COLUMNS)}"
    for table, event in (
        ("routing_rules", "INSERT"),
        ("routing_rules", "DELETE"),
        ("routing_rules", changed),
        ("blocked_senders", "INSERT"),
        ("blocked_senders", "DELETE"),
    ):
        name = f"{table}_{event.split()[0].lower()}_renews_version"
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event} ON {table} "
            "BEGIN UPDATE organisation_version SET version = random(); END"
        )


def _create_postgresql_triggers() -> None:
    for table, events in (
        ("routing_rules", f"INSERT OR DELETE OR UPDATE OF {', '.join(RULE_COLUMNS)}"),
        ("blocked_senders", "INSERT OR DELETE"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_renews_version AFTER {events} ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION renew_organisation_version()"
        )
