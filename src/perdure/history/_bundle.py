"""Bundles: an object with its facets in one zip file of plain SQLite files, and back.

    manifest.json     {"format": "perdure-object", "version": 1, "name", "class", "at", "databases": [{"file", "path",
                      "lineage", "bytes", "sha256", "alarm_ms"}]}
    databases/N.sqlite

What is read is hostile: its sizes are bounded, its names are the manifest's own and never a path of ours, and each file
is checked as SQLite before anything is made of it. Effects: disk.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import apsw

from perdure.errors import UsageError
from perdure.history._past import AsOf
from perdure.history._targets import alarms_of, reading
from perdure.limits import (
    ALARM_MS_MAX,
    BUNDLE_DATABASES_MAX,
    BUNDLE_MANIFEST_BYTES_MAX,
    DATABASE_BYTES_MAX,
    FACET_DEPTH_MAX,
    FACETS_PER_ROOT_MAX,
)
from perdure.storage import APPLICATION_ID, PAGE_SIZE, Disk, Lineage, SystemDisk, number_of

_FORMAT: Final = "perdure-object"
_VERSION: Final = 1
_MANIFEST: Final = "manifest.json"
_FILE: Final = re.compile(r"databases/[0-9]{1,6}\.sqlite")
_CHUNK_BYTES: Final = 1024 * 1024
_SYSTEM_DISK: Final = SystemDisk()
_CHECK_STEPS: Final = 10_000_000
_RESERVED: Final = (
    "SELECT type, name FROM sqlite_schema WHERE '_cf_' IN (lower(substr(name, 1, 4)), lower(substr(tbl_name, 1, 4))) "
    "AND type <> 'table' AND name NOT LIKE 'sqlite_autoindex%'"
)
_ALARM_ROWS: Final = "SELECT scheduled_ms, attempt_ms, retries, exponent, generation FROM _cf_ALARM LIMIT 2"


class Bundle(NamedTuple):
    """What a bundle held: the files, now ours, and what the object was called."""

    name: str | None
    class_name: str
    files: dict[Lineage, Path]


def write_bundle(
    target: Path, then: AsOf, *, name: str | None, class_name: str, at: str, disk: Disk = _SYSTEM_DISK
) -> None:
    """Write an object as of some moment. `target` must not exist: raises FileExistsError, OSError.

    It is whole and durable, its name too, or not there.
    """
    with target.open("xb") as file:
        try:
            _write(file, then, name=name, class_name=class_name, at=at)
            file.flush()
            disk.sync_file(target)
            disk.sync_directory(target.parent)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _write(file: IO[bytes], then: AsOf, *, name: str | None, class_name: str, at: str) -> None:
    alarms = alarms_of(then.files)
    databases: list[dict[str, object]] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for index, (lineage, path) in enumerate(sorted(then.files.items())):
            member = f"databases/{index}.sqlite"
            digest = hashlib.sha256()
            with path.open("rb") as source, archive.open(member, "w", force_zip64=True) as sink:
                while chunk := source.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    sink.write(chunk)
            databases.append(
                {
                    "file": member,
                    "path": list(then.path(lineage)),
                    "lineage": list(lineage),
                    "bytes": path.stat().st_size,
                    "sha256": digest.hexdigest(),
                    "alarm_ms": alarms[number_of(lineage)].at_ms,
                }
            )
        manifest = {
            "format": _FORMAT,
            "version": _VERSION,
            "class": class_name,
            "name": name,
            "at": at,
            "databases": databases,
        }
        archive.writestr(_MANIFEST, json.dumps(manifest, indent=2))


def read_bundle(source: Path, directory: Path) -> Bundle:
    """Unpack a bundle's databases into `directory`, checked. Raises UsageError that says what is wrong with it."""
    try:
        with zipfile.ZipFile(source) as archive:
            return _read(archive, directory)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError, KeyError, OSError) as error:
        raise UsageError(f"`{source}` cannot be read as an object's bundle: {error}") from error
    except Exception as error:
        if type(error).__module__ == "zlib":
            raise UsageError(f"`{source}` cannot be read as an object's bundle: {error}") from error
        raise


def _read(archive: zipfile.ZipFile, directory: Path) -> Bundle:
    infos = archive.infolist()
    if len(infos) > BUNDLE_DATABASES_MAX + 1:
        raise _refused(f"it has {len(infos)} files, the limit is {BUNDLE_DATABASES_MAX + 1}")
    with archive.open(_MANIFEST) as file:
        text = file.read(BUNDLE_MANIFEST_BYTES_MAX + 1)
    if len(text) > BUNDLE_MANIFEST_BYTES_MAX:
        raise _refused(f"its manifest has more than {BUNDLE_MANIFEST_BYTES_MAX} bytes")
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(f"its manifest is no JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise _refused("its manifest is not that of an object")
    if manifest.get("version") != _VERSION:
        raise _refused(f"its format has version {manifest.get('version')!r}, this program reads {_VERSION}")
    name, class_name, entries = manifest.get("name"), manifest.get("class"), manifest.get("databases")
    if not isinstance(entries, list) or not isinstance(class_name, str) or not isinstance(name, str | None):
        raise _refused("its manifest lacks what an object has")
    files: dict[Lineage, Path] = {}
    for index, entry in enumerate(entries):
        lineage = _lineage(entry)
        path = directory / f"{index}.sqlite"
        if lineage in files:
            raise _refused(f"database {lineage} occurs twice")
        _unpack(archive, entry, path)
        _check_database(path)
        files[lineage] = path
    _check_tree(files)
    return Bundle(name, class_name, files)


def _lineage(entry: object) -> Lineage:
    lineage = entry.get("lineage") if isinstance(entry, dict) else None
    if not isinstance(lineage, list) or len(lineage) >= FACET_DEPTH_MAX:
        raise _refused("a database lies too deep, or nowhere")
    if not all(type(number) is int and 0 < number <= FACETS_PER_ROOT_MAX for number in lineage):
        raise _refused(f"{lineage} are no numbers of facets")
    if any(child <= parent for parent, child in zip((0, *lineage), lineage, strict=False)):
        raise _refused(f"facet numbers {lineage} do not grow from parent to child")
    return tuple(lineage)


def _unpack(archive: zipfile.ZipFile, entry: dict[str, Any], path: Path) -> None:
    member, size, digest = entry.get("file"), entry.get("bytes"), entry.get("sha256")
    if not isinstance(member, str) or not _FILE.fullmatch(member):
        raise _refused(f"`{str(member)[:80]}` is no name of a database's file")
    if type(size) is not int or not 0 < size <= DATABASE_BYTES_MAX or size % PAGE_SIZE:
        raise _refused(f"`{member}` has {size!r} bytes, which no database of ours has")
    found = hashlib.sha256()
    written = 0
    with archive.open(member) as source, path.open("xb") as target:
        for chunk in _chunks(source.read):
            written += len(chunk)
            if written > size:
                raise _refused(f"`{member}` is larger than the manifest says")
            found.update(chunk)
            target.write(chunk)
    if written != size or found.hexdigest() != digest:
        raise _refused(f"`{member}` is not what the manifest says: its checksum differs")


def _chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while chunk := read(_CHUNK_BYTES):
        yield chunk


def _check_database(path: Path) -> None:
    """SQLite finds nothing wrong with it, and it is one of ours."""
    connection = reading(path)
    try:
        connection.set_progress_handler(lambda: True, _CHECK_STEPS * max(1, path.stat().st_size // 1_000_000))
        if connection.pragma("application_id") != APPLICATION_ID or connection.pragma("page_size") != PAGE_SIZE:
            raise _refused("one of its files is no database of perdure")
        if _journal_versions(path) != b"\x02\x02":
            raise _refused("one of its databases is not in WAL mode")
        columns = connection.execute("SELECT name, pk FROM pragma_table_info('_cf_KV')").fetchall()
        if columns != [("key", 1), ("value", 0)]:
            raise _refused("one of its databases lacks the table `_cf_KV`")
        _check_host_tables(connection)
        problems = connection.execute("PRAGMA quick_check(1)").get
        if problems != "ok":
            raise _refused(f"one of its databases is damaged: {str(problems)[:200]}")
    except apsw.Error as error:
        raise _refused(f"one of its databases cannot be read: {error}") from error
    finally:
        connection.close()


def _check_host_tables(connection: apsw.Connection) -> None:
    """What we write into a database ourselves is made of tables, with nothing of anybody's on them."""
    for kind, name in connection.execute(_RESERVED):
        raise _refused(f"{kind} `{str(name)[:80]}` is in the place of a table of perdure's own, or stands on one")
    if connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = '_cf_ALARM'").get:
        rows = connection.execute(_ALARM_ROWS).fetchall()
        if len(rows) > 1 or not all(type(value) is int and 0 <= value <= ALARM_MS_MAX for row in rows for value in row):
            raise _refused("one of its alarms is no time, or has no number where one belongs")


def _journal_versions(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(20)[18:]


def _check_tree(files: dict[Lineage, Path]) -> None:
    """The root's index and the files name the same facets."""
    if () not in files:
        raise _refused("it has no root database")
    connection = reading(files[()])
    try:
        found: dict[int, int] = {}
        if connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = '_cf_FACETS'").get:
            rows = connection.execute("SELECT number, parent FROM _cf_FACETS WHERE name IS NOT NULL").fetchall()
            found = {int(str(number)): int(str(parent)) for number, parent in rows}
    except apsw.Error as error:
        raise _refused(f"its index of facets cannot be read: {error}") from error
    finally:
        connection.close()
    for lineage in files:
        for parent, number in zip((0, *lineage), lineage, strict=False):
            if found.get(number) != parent:
                raise _refused(f"its index of facets does not know database {lineage}")


def _refused(why: str) -> UsageError:
    return UsageError(f"this bundle is refused: {why}")
