"""Brings a store to the newest schema, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import SQLAlchemyError

from genre_gen.errors import StoreError
from genre_gen.store.backend import Backend
from genre_gen.store.schema import metadata

FOLDER = Path(__file__).parent / "migrations"
VERSION_TABLE = "schema_version"


def migrate(backend: Backend, folders: Sequence[Path] = (FOLDER,)) -> None:
    """Run the migrations that a store lacks: all of them, or none if one fails or the process ends.

    Raises:
        StoreError: the store was made by a newer version, is another program's database, or a migration failed.
    """
    engine = backend.migrating()
    try:
        with engine.begin() as connection:
            run(connection, folders)
    except SQLAlchemyError as problem:
        raise backend.error(problem) from problem
    finally:
        engine.dispose()


def run(connection: Connection, folders: Sequence[Path] = (FOLDER,), to: str = "head") -> None:
    """Run migrations in the transaction of a connection; raises StoreError as :func:`migrate` does."""
    scripts = ScriptDirectory(str(FOLDER), version_locations=[str(folder) for folder in folders])
    check(connection, scripts)

    def steps(revision: Any, context: MigrationContext) -> Any:
        return scripts._upgrade_revs(to, revision)

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(
            connection=connection, target_metadata=metadata, version_table=VERSION_TABLE, transactional_ddl=True
        )
        environment.run_migrations()


def check(connection: Connection, scripts: ScriptDirectory) -> None:
    """Raise StoreError if this version cannot read a store."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    known = {script.revision for script in scripts.walk_revisions()}
    heads = context.get_current_heads()
    if unknown := [head for head in heads if head not in known]:
        raise StoreError(
            f"the store has schema {unknown[0]}, and this version of genre-gen knows schemas up to "
            f"{scripts.get_current_head()}: install the version that made it, or restore a backup from before"
        )
    if not heads and (tables := inspect(connection).get_table_names()):
        raise StoreError(f"a database of another program, with the table {tables[0]}; give the address of an empty one")
