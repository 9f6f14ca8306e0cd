"""Which file is whose: the only place that builds or reads a path of the data directory.

    <data>/lock                                        held while a store is open
    <data>/admin.sock                                  where a running server answers its operator
    <data>/journal/0.db                                the journal
    <data>/objects/<namespace>/<hexid>.sqlite          a root object's database
    <data>/objects/<namespace>/<hexid>.1.3.sqlite      facet 3, child of facet 1: names show the tree
    <data>/history/<namespace>/<hexid>/                older records of a root object, with its facets'
    <data>/classes/<n>.json                            which classes there are; the latest version
    <data>/temporary/                                  work under way; emptied at start
Effects: disk (`databases` lists names, `size_bytes` looks).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

Lineage = tuple[int, ...]
"""The facets' numbers from the root's child down to one database; `()` is the root's own database."""

ROOT: Final[Lineage] = ()

_OBJECT_ID: Final = re.compile(r"[0-9a-f]{64}")
_PLAIN_CHARACTERS: Final = frozenset(string.ascii_letters + string.digits + "_-.")


class ObjectKey(NamedTuple):
    """Names one root object in the whole store."""

    namespace: str
    object_id: bytes


def number_of(lineage: Lineage) -> int:
    """A database's number within its root object; 0 is the root's own."""
    return lineage[-1] if lineage else 0


def wal_path(database: Path) -> Path:
    """The write-ahead log that SQLite keeps beside `database`."""
    return database.with_name(database.name + "-wal")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one data directory."""

    directory: Path

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def admin_socket(self) -> Path:
        return self.directory / "admin.sock"

    @property
    def journal(self) -> Path:
        return self.directory / "journal" / "0.db"

    @property
    def objects(self) -> Path:
        return self.directory / "objects"

    @property
    def histories(self) -> Path:
        return self.directory / "history"

    def classes(self, version: int) -> Path:
        """A version of what is known of classes and their migrations."""
        return self.directory / "classes" / f"{version}.json"

    @property
    def temporary(self) -> Path:
        return self.directory / "temporary"

    def history(self, key: ObjectKey) -> Path:
        """The directory of an object's older records."""
        return self.histories / _file_name(key.namespace) / key.object_id.hex()

    def keys_with_history(self) -> Iterator[ObjectKey]:
        """The objects that have older records; walks all names there are."""
        for path in sorted(self.histories.glob("*/*")):
            if _OBJECT_ID.fullmatch(path.name):
                yield ObjectKey(unquote(path.parent.name), bytes.fromhex(path.name))

    def namespace(self, namespace: str) -> Path:
        """The directory of a namespace's databases."""
        return self.objects / _file_name(namespace)

    def database(self, key: ObjectKey, lineage: Lineage) -> Path:
        """The file of one database."""
        tree = "".join(f".{number}" for number in lineage)
        return self.namespace(key.namespace) / f"{key.object_id.hex()}{tree}.sqlite"

    def size_bytes(self, key: ObjectKey, lineage: Lineage) -> int:
        """What one database takes, with its `-wal`; 0 when it has no file."""
        path = self.database(key, lineage)
        return sum(file.stat().st_size for file in (path, wal_path(path)) if file.exists())

    def databases(self) -> Iterator[tuple[ObjectKey, Lineage]]:
        """The databases of which there is a file; walks all names there are."""
        for path in self.objects.glob("*/*.sqlite"):
            yield _database_of(path)

    def lone_logs(self) -> Iterator[tuple[ObjectKey, Lineage]]:
        """The databases of which there is a `-wal`, and no file any more; walks all names there are."""
        for path in self.objects.glob("*/*.sqlite-wal"):
            database = path.with_suffix(".sqlite")
            if not database.exists():
                yield _database_of(database)


def _database_of(path: Path) -> tuple[ObjectKey, Lineage]:
    name, *lineage = path.name.removesuffix(".sqlite").split(".")
    return ObjectKey(unquote(path.parent.name), bytes.fromhex(name)), tuple(map(int, lineage))


def _file_name(text: str) -> str:
    """`text` as a file name: other than plain characters, and a leading dot, become `%XX`."""
    quoted = "".join(
        character if character in _PLAIN_CHARACTERS else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in text
    )
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted
