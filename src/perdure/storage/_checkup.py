"""A checkup of a stopped data directory: every file against what the journal says of it. Nothing is changed.

The caller holds the directory's lock. An object that a crash left behind is checked as the next start would make it,
in a copy. Effects: disk.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copyfile
from typing import Final

import apsw

from perdure.errors import DamagedDataError
from perdure.storage._alarm import ALARM_TABLE_QUERY
from perdure.storage._disk import SystemDisk
from perdure.storage._findings import Finding, Level, Repair, note, problem
from perdure.storage._journal_checkup import JournaledObject, JournalReader
from perdure.storage._layout import ROOT, Layout, Lineage, number_of, wal_path
from perdure.storage._lost_and_found import LOST_AND_FOUND
from perdure.storage._recovery import FoldedFile, fold_history
from perdure.storage._template import APPLICATION_ID, PAGE_SIZE

_KNOWN: Final = frozenset(
    {"classes", "lock", "admin.sock", "journal", "objects", "history", "temporary", LOST_AND_FOUND}
)
_JOURNAL_FILES: Final = frozenset({"0.db", "0.db-wal", "0.db-shm"})
_DATABASE: Final = re.compile(r"[0-9a-f]{64}(?:\.[1-9][0-9]{0,9})*\.sqlite(?P<wal>-wal)?")
_FORMAT_MIN: Final = 2  # of a journal whose tables are read here
_OTHERS: Final = 0o077
_UNREADABLE: Final = (apsw.IOError, apsw.FullError, apsw.CantOpenError)
"""What SQLite says when the disk fails, or has no room for what it needs to read: the file itself may be whole."""
_CHECK_DISK: Final = "Check the disk and its free space first"
_SAID_MAX: Final = 5  # lines of quick_check for one database


def check_directory(layout: Layout) -> Iterator[Finding]:
    """Everything that can be checked without running anything."""
    yield from check_names(layout, is_running=False)
    try:
        reader = JournalReader(layout.journal)
    except apsw.Error as error:
        yield problem(f"the journal `{layout.journal}` cannot be read: {error}", path=layout.journal)
        return
    try:
        whole = True
        for finding in reader.findings(is_running=False):
            whole = whole and finding.level is Level.NOTE
            yield finding
        if whole and reader.format >= _FORMAT_MIN:
            yield from _check_objects(layout, reader)
    except _UNREADABLE as error:
        yield problem(f"the journal `{layout.journal}` cannot be read: {error}. {_CHECK_DISK}", path=layout.journal)
    except apsw.Error as error:
        yield problem(
            f"the journal `{layout.journal}` is damaged: {error}. Restore it together with the objects",
            path=layout.journal,
        )
    finally:
        reader.close()


# ── names and modes ──────────────────────────────────────────────────────────────────────────────────────────


def check_names(layout: Layout, *, is_running: bool) -> Iterator[Finding]:
    """Files that nobody knows, what was left over, and who may read."""
    directory = layout.directory
    if directory.stat().st_mode & _OTHERS:
        yield note(f"`{directory}` may be read by other users: chmod 700 would keep them out", path=directory)
    for path in sorted(directory.iterdir()):
        if path.name not in _KNOWN:
            yield problem(f"`{path}` is not perdure's", repair=Repair.MOVE, path=path)
        elif not os.access(path, os.R_OK | os.W_OK):
            yield problem(f"`{path}` may not be read and written by this user: check its owner and mode", path=path)
    yield from _strangers(layout.journal.parent, _JOURNAL_FILES.__contains__)
    if layout.objects.is_dir():
        for namespace in sorted(layout.objects.iterdir()):
            if namespace.is_dir():
                yield from _strangers(namespace, lambda name: _DATABASE.fullmatch(name) is not None)
                yield from _lonely_logs(namespace)
            else:
                yield problem(f"`{namespace}` is not perdure's", repair=Repair.MOVE, path=namespace)
    if is_running:
        return
    if layout.admin_socket.exists():
        yield note(f"`{layout.admin_socket}` is left over from a crash", repair=Repair.REMOVE, path=layout.admin_socket)
    for path in sorted(layout.temporary.iterdir()) if layout.temporary.is_dir() else ():
        yield note(f"`{path}` is left over from work that was not finished", repair=Repair.REMOVE, path=path)


def _strangers(directory: Path, is_known: Callable[[str], bool]) -> Iterator[Finding]:
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if not is_known(path.name):
            yield problem(f"`{path}` is not perdure's", repair=Repair.MOVE, path=path)


def _lonely_logs(namespace: Path) -> Iterator[Finding]:
    for path in sorted(namespace.glob("*.sqlite-wal")):
        if not path.with_name(path.name.removesuffix("-wal")).exists():
            yield problem(f"`{path}` has no database beside it", repair=Repair.MOVE, path=path)


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────


def _check_objects(layout: Layout, reader: JournalReader) -> Iterator[Finding]:
    was_clean = reader.was_stopped_cleanly
    on_disk = set(layout.databases())
    for each in reader.objects():
        yield from reader.history_findings(each.key, each.history)
        try:
            folded = fold_history(each.key, each.history).files
        except DamagedDataError as error:
            yield problem(str(error), key=each.key)
            on_disk -= {(key, lineage) for key, lineage in on_disk if key == each.key}
            continue
        for lineage in sorted({*each.history.files, *folded}):
            on_disk.discard((each.key, lineage))
            yield from _check_file(layout, each, lineage, folded.get(lineage), was_clean=was_clean)
        yield from _check_facets(layout, each, folded)
        yield from _alarms_of_nobody(each, folded)
    for key, lineage in sorted(on_disk):
        path = layout.database(key, lineage)
        if was_clean:
            yield problem(f"`{path}` belongs to no object: the journal does not know it", repair=Repair.MOVE, path=path)
        else:
            yield note(f"`{path}` was begun just before the crash: the next clean stop removes it", path=path)


def _check_file(
    layout: Layout, each: JournaledObject, lineage: Lineage, file: FoldedFile | None, *, was_clean: bool
) -> Iterator[Finding]:
    path = layout.database(each.key, lineage)
    if file is not None and file.is_deleted:
        return
    if file is None:
        state = SystemDisk().file_state_or_none(path)
        if state is None:
            yield problem(f"`{path}` is missing: restore it from a backup together with the journal", key=each.key)
            return
        if state != each.history.files[lineage]:
            yield problem(
                f"`{path}` was changed by another program since it was last closed: put it back as it was, or take it "
                "as it is with --adopt-changed-files at the next start",
                path=path,
            )
        if was_clean and wal_path(path).exists():
            yield problem(
                f"`{wal_path(path)}` was left by another program: a clean stop leaves none",
                repair=Repair.MOVE,
                path=wal_path(path),
            )
        yield from _check_database(path, each, lineage, shown=path)
        return
    if not file.is_created and not path.exists():
        yield problem(f"`{path}` is missing, and the journal holds only its latest changes: restore a backup")
        return
    with tempfile.TemporaryDirectory(prefix="perdure-doctor-") as directory:
        copy = Path(directory) / path.name
        if file.is_created:
            copy.touch()
        else:
            copyfile(path, copy)
        SystemDisk().write_pages(copy, file.pages, page_size=file.page_size, file_pages=file.file_pages)
        yield from _check_database(copy, each, lineage, shown=path)


def _check_database(
    path: Path, each: JournaledObject, lineage: Lineage, shown: Path | None = None
) -> Iterator[Finding]:
    shown = shown or path
    size = path.stat().st_size
    if size % PAGE_SIZE:
        yield problem(f"`{shown}` was cut off: its {size} bytes are no whole number of pages", path=shown)
        return
    try:
        connection = open_as_it_is(path)
    except apsw.Error as error:
        yield problem(f"`{shown}` cannot be opened: {error}", path=shown)
        return
    try:
        if connection.pragma("application_id") != APPLICATION_ID or connection.pragma("page_size") != PAGE_SIZE:
            yield problem(f"`{shown}` is no database of perdure: it was replaced, or its header changed", path=shown)
            return
        for (said,) in connection.execute(f"PRAGMA quick_check({_SAID_MAX})"):
            if said != "ok":
                yield problem(f"`{shown}` is damaged: {said}", path=shown)
        yield from _check_alarm(connection, each, lineage)
    except _UNREADABLE as error:
        yield problem(f"`{shown}` cannot be read: {error}. {_CHECK_DISK}", path=shown)
    except apsw.Error as error:
        yield problem(f"`{shown}` is damaged: {error}", path=shown)
    finally:
        connection.close()


def open_as_it_is(path: Path) -> apsw.Connection:
    """A database's main file, for reading: nothing is written, and no `-wal` is looked at."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(f"{path.absolute().as_uri()}?immutable=1", flags=flags)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    return connection


def _check_alarm(connection: apsw.Connection, each: JournaledObject, lineage: Lineage) -> Iterator[Finding]:
    number = number_of(lineage)
    at_ms = alarm_of(connection)
    known_ms = each.alarms.get(number)
    if at_ms == known_ms:
        return
    what = (
        f"database {'.'.join(map(str, lineage)) or 'of the root'} of `{each.key.namespace}/{each.key.object_id.hex()}`"
    )
    if known_ms is None:
        text = f"the alarm of {what} is not in the index: it would never fire"
    elif at_ms is None:
        text = f"the index of alarms has one of {what}, which has none"
    else:
        text = f"the index has the alarm of {what} at {known_ms} ms, the database at {at_ms} ms"
    yield problem(text, repair=Repair.RESTATE_ALARM, key=each.key, number=number)


def alarm_of(connection: apsw.Connection) -> int | None:
    """When the alarm of a database is due; None when it has none."""
    if not connection.execute(ALARM_TABLE_QUERY).fetchall():
        return None
    rows = connection.execute("SELECT attempt_ms FROM _cf_ALARM").fetchall()
    at_ms = rows[0][0] if rows else None
    return at_ms if isinstance(at_ms, int) else None


def _alarms_of_nobody(each: JournaledObject, folded: dict[Lineage, FoldedFile]) -> Iterator[Finding]:
    """Entries of the index whose database does not exist."""
    live = {number_of(lineage) for lineage in _live(each, folded)}
    for number, at_ms in each.alarms.items():
        if number not in live:
            yield problem(
                f"the index of alarms has one at {at_ms} ms for database {number} of "
                f"`{each.key.namespace}/{each.key.object_id.hex()}`, which does not exist",
                key=each.key,
            )


def _live(each: JournaledObject, folded: dict[Lineage, FoldedFile]) -> set[Lineage]:
    lineages = {*each.history.files, *folded}
    return {lineage for lineage in lineages if lineage not in folded or not folded[lineage].is_deleted}


def _check_facets(layout: Layout, each: JournaledObject, folded: dict[Lineage, FoldedFile]) -> Iterator[Finding]:
    """Facets whose files nobody can reach. A name without a file is fine: nothing was ever stored in that facet."""
    live = _live(each, folded)
    name = f"{each.key.namespace}/{each.key.object_id.hex()}"
    if ROOT not in live:
        if live:
            yield problem(f"`{name}` has facets but no database of its own", key=each.key)
        return
    if ROOT in folded or len(live) == 1:
        return  # What a crash left is checked once it is recovered.
    try:
        connection = open_as_it_is(layout.database(each.key, ROOT))
        try:
            known = _facet_lineages(connection)
        finally:
            connection.close()
    except apsw.Error:
        return  # It is damaged, as was said already.
    for lineage in sorted(live - known - {ROOT}):
        yield problem(f"facet {lineage} of `{name}` has a file but no name: nothing can reach it", key=each.key)


def _facet_lineages(connection: apsw.Connection) -> set[Lineage]:
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = '_cf_FACETS'").fetchall():
        return set()
    parents = {
        int(number): int(parent)
        for number, parent in connection.execute("SELECT number, parent FROM _cf_FACETS WHERE name IS NOT NULL")
    }
    found: set[Lineage] = set()
    for number in parents:
        lineage: tuple[int, ...] = (number,)
        while parents.get(lineage[0]) and len(lineage) < len(parents):
            lineage = (parents[lineage[0]], *lineage)
        found.add(lineage)
    return found
