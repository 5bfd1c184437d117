"""The store of the live server: events, items, lists, users and keys in SQLite or PostgreSQL; no HTTP."""
