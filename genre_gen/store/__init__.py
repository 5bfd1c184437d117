"""The store of the live server: events, items, lists, users and keys in SQLite or PostgreSQL; no HTTP."""

from genre_gen.extras import require

require("sqlalchemy", "serve", "stores")
require("alembic", "serve", "stores")
