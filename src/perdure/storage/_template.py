"""The file that every new database is copied from: in WAL mode, with the key-value table already in it.

Because the table is there, the first `put` changes one page instead of making a schema. The bytes depend on nothing
but this module, not even on the version of SQLite: a database whose file was lost is rebuilt by laying its records
over them. Changing them is a change of the storage format. Effects: none.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import apsw

PAGE_SIZE: Final = 4096
KV_SCHEMA: Final = "CREATE TABLE _cf_KV(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"

APPLICATION_ID: Final = 0x70657264  # "perd": how `file` and the like can tell whose database this is

# Places in the header.
_JOURNAL_VERSIONS: Final = slice(18, 20)  # both are 2 in WAL mode, which a database in memory cannot enter
_SQLITE_VERSION: Final = slice(96, 100)  # who wrote it last; for information only


@cache
def new_database() -> bytes:
    """The content of a new database's file."""
    connection = apsw.Connection(":memory:")
    connection.execute(
        f"PRAGMA page_size = {PAGE_SIZE}; PRAGMA encoding = 'UTF-8'; "
        f"PRAGMA application_id = {APPLICATION_ID}; {KV_SCHEMA}"
    )
    content = bytearray(connection.serialize("main"))
    connection.close()
    content[_JOURNAL_VERSIONS] = b"\x02\x02"
    content[_SQLITE_VERSION] = bytes(4)
    return bytes(content)


@cache
def template_pages() -> dict[int, bytes]:
    """The same by page number, as records hold it."""
    content = new_database()
    return {start // PAGE_SIZE + 1: content[start : start + PAGE_SIZE] for start in range(0, len(content), PAGE_SIZE)}
