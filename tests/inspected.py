"""What a database says of our tables, to be held against what they should be."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from sermo_fsm.migrate import VERSION_TABLE, is_ours
from sermo_fsm.storage.schema import tables_for_ddl

COLLATIONS = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
"""MariaDB's and MySQL's: by them ids differ in case, in accents, in spaces at the end."""


def inspected(connection: sa.Connection, schema: str | None = None) -> dict[str, Any]:
    """Columns, constraints, indexes and storage of each table of ours."""
    inspector = sa.inspect(connection)
    found = {}
    for name in sorted(filter(is_ours, inspector.get_table_names(schema))):
        if name != VERSION_TABLE:
            found[name] = {
                "columns": list(map(_plain, inspector.get_columns(name, schema))),
                "primary": _plain(inspector.get_pk_constraint(name, schema)),
                "unique": _sorted(inspector.get_unique_constraints(name, schema)),
                "foreign": _sorted(inspector.get_foreign_keys(name, schema)),
                "checks": _sorted(inspector.get_check_constraints(name, schema)),
                "indexes": _sorted(inspector.get_indexes(name, schema)),
                "storage": inspector.get_table_options(name, schema).get("postgresql_with"),
            }
    return found


def _plain(value: Any) -> Any:
    """As text, but for the collation of a type: that may be the database's."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, sa.types.TypeEngine) and getattr(value, "collation", None):
        value = value.adapt(type(value), collation=None)
    return str(value) if isinstance(value, sa.TextClause) else repr(value)


def _sorted(things: Any) -> list[Any]:
    return sorted(map(_plain, things), key=lambda one: str(one["name"]))


def as_declared(engine: sa.Engine, schema: str | None = None) -> dict[str, Any]:
    """The same of tables made from what the code declares; they are gone afterwards."""
    metadata = tables_for_ddl(schema).metadata
    metadata.create_all(engine)
    with engine.connect() as connection:
        found = inspected(connection, schema)
    metadata.drop_all(engine)
    return found


def not_exact(connection: sa.Connection) -> Iterator[str]:
    """What MySQL would compare, or keep, in another way than we need."""
    said = sa.text(
        "SELECT t.table_name, t.engine, t.table_collation, c.column_name, c.collation_name"
        " FROM information_schema.tables t JOIN information_schema.columns c USING"
        " (table_schema, table_name) WHERE table_schema = DATABASE() AND table_name LIKE 'sermo%'"
        " AND table_name <> :version"
    )
    for table, engine, collation, column, its_own in connection.execute(
        said, {"version": VERSION_TABLE}
    ):
        if engine != "InnoDB" or {collation, its_own} - {None} - set(COLLATIONS):
            yield f"{table}.{column}: {engine}, {collation}, {its_own}"
