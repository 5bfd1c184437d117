"""Secrets of a store, made once: what signs tokens must outlive the process, and be known to no other store."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection

from genre_gen.store import schema
from genre_gen.store.database import Database

BYTES = 32


def secret(database: Database, name: str) -> bytes:
    """Return 32 random bytes, the same for a name as long as the store exists; waits for the writer.

    Raises:
        BusyError, StoreError: the store cannot be written.
    """
    meta, key = schema.meta, f"secret.{name}"

    def find_or_make(connection: Connection) -> str:
        found = connection.execute(meta.select().where(meta.c.key == key)).first()
        if found is not None:
            return str(found.value)
        made = secrets.token_hex(BYTES)
        connection.execute(meta.insert().values(key=key, value=made))
        return made

    return bytes.fromhex(database.writer.submit(find_or_make).result())
