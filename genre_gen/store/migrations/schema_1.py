"""Schema 1, from an empty database: the tables as they were then."""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

revision, down_revision = "1", None
MAX_ID = 500

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)
_OF_LIST = "list_id IS NOT NULL"
# SQLite numbers rows by itself only in a column that is declared as INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

meta = Table(
    "meta",
    metadata,
    Column("key", String(100), primary_key=True),
    Column("value", Text, nullable=False),
)
domain = Table(
    "domain",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("settings", Text),
    Column("live_generation", String(100)),
    Column("created", Double, nullable=False),
)
name = Table(
    # Ids of items and kinds of events, which events and lists repeat: they hold the number. None is ever deleted.
    "name",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("domain", Integer, ForeignKey("domain.id"), nullable=False),
    Column("text", String(MAX_ID), nullable=False),
    UniqueConstraint("domain", "text"),
)
subject = Table(
    # Users. What is a person's refers to one row here, and is deleted with it.
    "subject",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("domain", Integer, ForeignKey("domain.id"), nullable=False),
    Column("user_id", String(MAX_ID), nullable=False),
    Column("labels", Text),
    Column("created", Double, nullable=False),
    UniqueConstraint("domain", "user_id"),
    sqlite_autoincrement=True,
)
deleted_user = Table(
    # A trained model knows its users until the next training: a start must make it forget these.
    "deleted_user",
    metadata,
    Column("domain", Integer, ForeignKey("domain.id"), primary_key=True),
    Column("user_id", String(MAX_ID), primary_key=True),
    Column("at", Double, nullable=False),
)
item = Table(
    "item",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("domain", Integer, ForeignKey("domain.id"), nullable=False),
    Column("item_id", String(MAX_ID), nullable=False),
    Column("title", Text, nullable=False),
    Column("fields", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("available", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("changed", Double, nullable=False),
    Column("withdrawn", Double),
    Column("version", Integer, nullable=False),
    UniqueConstraint("domain", "item_id"),
    sqlite_autoincrement=True,
)
event = Table(
    # Domains and names are never deleted, so references to them need no check of each event.
    "event",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("domain", Integer, nullable=False),
    Column("event_id", String(MAX_ID), nullable=False),
    Column("subject", Integer, ForeignKey("subject.id", ondelete="CASCADE"), nullable=False),
    Column("item", Integer, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("happened", Double, nullable=False),
    Column("received", Double, nullable=False),
    Column("rating", Double),
    Column("value", Double),
    Column("list_id", String(MAX_ID)),
    Column("position", Integer),
    Column("session", String(MAX_ID)),
    UniqueConstraint("domain", "event_id"),
    Index("event_of_subject", "subject", "seq"),
    Index("event_of_list", "list_id", sqlite_where=text(_OF_LIST), postgresql_where=text(_OF_LIST)),
    sqlite_autoincrement=True,  # a number is used once, also after the last events are deleted
)
served_list = Table(
    "list",
    metadata,
    Column("domain", Integer, ForeignKey("domain.id"), primary_key=True),
    Column("list_id", String(MAX_ID), primary_key=True),
    Column("at", Double, nullable=False),
    Column("subject", Integer, ForeignKey("subject.id", ondelete="CASCADE")),
    Column("request", Text, nullable=False),
    Column("generation", String(100), nullable=False),
    Column("view", Integer, nullable=False),
    Column("history_seq", BigInteger, nullable=False),
    Column("policy", String(100), nullable=False),
    Column("items", LargeBinary, nullable=False),  # int32, names
    Column("scores", LargeBinary, nullable=False),  # float32
    Column("shown", LargeBinary, nullable=False),  # int32, names
    Column("notes", Text, nullable=False),
    Column("extra", Text, nullable=False),
    Column("micros", Integer, nullable=False),
    Index("list_of_subject", "subject"),
    Index("list_by_time", "domain", "at"),
)
api_key = Table(
    "api_key",
    metadata,
    Column("prefix", String(20), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("role", String(20), nullable=False),
    Column("domains", Text),
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
    Column("last_used", Double),
    Column("rate", Double),
    Column("burst", Integer),
    Column("label", Text, nullable=False),
)
audit = Table(
    "audit",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("at", Double, nullable=False),
    Column("key", String(20), nullable=False),
    Column("action", String(100), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("chain", String(64), nullable=False),
    sqlite_autoincrement=True,
)
idempotency = Table(
    "idempotency",
    metadata,
    Column("domain", Integer, ForeignKey("domain.id"), primary_key=True),
    Column("key", String(MAX_ID), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("status", Integer),  # null while the request runs
    Column("answer", Text),
    Column("expires", Double, nullable=False),
)


def upgrade() -> None:
    """Make all tables."""
    metadata.create_all(op.get_bind(), checkfirst=False)
