"""What a guest has put into a database: everything but the host's own tables.

It is deleted piece by piece inside the open unit, so that a crash, or the end of the instance, leaves all of it or
none. The pages become free and are used again; the file does not shrink. Effects: disk.
"""

from __future__ import annotations

from typing import Final

import apsw

from perdure.storage._authorizer import is_host_name

# A virtual table takes the tables behind it along, a table its indexes and triggers, a view its triggers.
_DROPPED: Final = """
SELECT CASE WHEN type = 'view' THEN 'VIEW' ELSE 'TABLE' END, name FROM sqlite_schema
WHERE type IN ('table', 'view') AND name <> 'sqlite_sequence'
ORDER BY sql LIKE 'CREATE VIRTUAL%' DESC, type DESC, name"""


def delete_content(connection: apsw.Connection) -> None:
    """Drop and empty it all. Raises apsw.Error."""
    enforces_keys = connection.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, -1)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 0)  # In no order could tables that refer to each other go.
    try:
        while dropped := _next_or_none(connection):
            kind, name = dropped
            quoted = name.replace('"', '""')
            connection.execute(f'DROP {kind} "{quoted}"', can_cache=False)
        connection.execute("DELETE FROM _cf_KV")
    finally:
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, enforces_keys)


def _next_or_none(connection: apsw.Connection) -> tuple[str, str] | None:
    """Asked after each, because some go along with others."""
    for kind, name in connection.execute(_DROPPED).fetchall():
        assert isinstance(kind, str), "the query says which kind it is"
        assert isinstance(name, str), "everything in a schema has a name"
        if not is_host_name(name):
            return kind, name
    return None
