"""Admin: what an operator may see and do of a data directory, over a store and its directory of objects.

The same for a live platform and for a stopped one, whose files the command line opens itself: looking never wakes an
object, and needs no code of the app. Whatever destroys says which command takes it back.
Effects: disk, tasks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, assert_never

from perdure.clock import Clock
from perdure.errors import DataDirectoryError, SqlInterruptedError, UnavailableError, UsageError
from perdure.limits import ADMIN_ANSWER_BYTES_MAX, ADMIN_ITEMS_MAX, VISIT_ASIDE_S, VISIT_ON_LOOP_S
from perdure.objects import Directory
from perdure.server._admin_requests import (
    AdminRequest,
    Answer,
    CancelAlarm,
    CheckUp,
    DeleteObject,
    ExportObject,
    ForkObject,
    ImportObject,
    ListAlarms,
    ListKv,
    ListObjects,
    RewindObject,
    RunSql,
    SetAlarm,
    ShowDiff,
    ShowHistory,
    ShowStatistics,
    ShowTree,
)
from perdure.server._alarm_desk import AlarmDesk
from perdure.server._finder import Finder
from perdure.server._history_desk import HistoryDesk
from perdure.server._references import FacetNames, reference
from perdure.server._self_checkup import examine_running
from perdure.server._sql_cells import cells
from perdure.storage import Database, Layout, ListedObject, ObjectKey, Store
from perdure.wire import KvRange, SqlPage, SqlValue

_PAGE: Final = 1_000  # objects looked at in one step of the loop
_STALE: Final = "`{}` is in memory: what its instance keeps in attributes is not changed until it starts again"


class Admin:
    """Answers requests. Errors are PerdureErrors whose text is for people."""

    def __init__(self, *, store: Store, directory: Directory, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._finder = Finder(store, directory)
        self._history = HistoryDesk(store, directory, self._finder, clock)
        self._alarms = AlarmDesk(store, directory, self._finder, clock)

    async def answer(self, request: AdminRequest) -> Answer:
        """Do what is asked."""
        match request:
            case ListObjects():
                return await self._list_objects(request)
            case ShowTree():
                return await self._show_tree(request)
            case RunSql():
                return await self._run_sql(request)
            case ListKv():
                return await self._list_kv(request)
            case DeleteObject():
                return await self._delete(request)
            case ListAlarms():
                return await self._alarms.list(request)
            case CancelAlarm():
                return await self._alarms.cancel(request)
            case SetAlarm():
                return await self._alarms.set(request)
            case ShowHistory() | ShowDiff() | RewindObject() | ForkObject() | ExportObject() | ImportObject():
                return await self._history.answer(request)
            case CheckUp():
                return await examine_running(self._store.layout, self._directory, self._all())
            case ShowStatistics():
                return Answer(summary={**self._directory.statistics(), **self._store.statistics()})
            case _:
                assert_never(request)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _list_objects(self, request: ListObjects) -> Answer:
        namespace, _, prefix = request.pattern.partition("/")
        after = _key_or_none(request.after)
        found: list[ListedObject] = []
        async for listed in self._walk(namespace or None, after):
            if not listed.is_deleted and _matches(listed, prefix):
                found.append(listed)
                if len(found) > request.limit:
                    break
        shown = found[: request.limit]
        last = shown[-1].key if len(found) > len(shown) else None
        sizes = await asyncio.to_thread(_sizes, self._store.layout, [listed.key for listed in shown])
        # Without a file: deleted a moment ago, or lost by a power loss that the journal makes good.
        shown = [listed for listed in shown if listed.key in sizes or self._is_there(listed.key)]
        summary: dict[str, object] = {"count": len(shown)}
        if last is not None:
            summary["after"] = _key_text(last)
        if not found and namespace:
            summary["classes"] = list(self._finder.namespaces())
        return Answer([self._listed(listed, sizes.get(listed.key)) for listed in shown], summary)

    def _is_there(self, key: ObjectKey) -> bool:
        try:
            return self._store.exists(key)
        except (UnavailableError, DataDirectoryError):  # It cannot be made whole: whoever opens it is told why.
            return True

    def _all(self) -> Iterator[ListedObject]:
        after: ObjectKey | None = None
        while page := self._store.objects(after=after, limit=_PAGE):
            yield from page
            after = page[-1].key

    async def _walk(self, namespace: str | None, after: ObjectKey | None) -> AsyncIterator[ListedObject]:
        while True:
            page = self._store.objects(namespace=namespace, after=after, limit=_PAGE)
            for listed in page:
                yield listed
            if len(page) < _PAGE:
                return
            after = page[-1].key
            await asyncio.sleep(0)

    def _listed(self, listed: ListedObject, sizes: _Sizes | None) -> dict[str, object]:
        return {
            "object": reference(listed.key, listed.name),
            "class": listed.key.namespace,
            "name": listed.name,
            "id": listed.key.object_id.hex(),
            "is_live": self._directory.is_live(listed.key),
            "size_bytes": sizes.size_bytes if sizes else 0,
            "facets": max(0, sizes.files - 1) if sizes else 0,
            "commits": listed.head,
            "created_ms": listed.created_ms,
            "changed_ms": sizes.changed_ms if sizes else None,
            "alarm_ms": listed.alarm_at_ms,
        }

    async def _show_tree(self, request: ShowTree) -> Answer:
        target = await self._finder.find(request.object)
        names = await self._finder.facets(target.key)
        sizes = await asyncio.to_thread(_tree_sizes, self._store.layout, target.key, names)
        items: list[object] = [
            {
                "object": reference(target.key, target.listed.name, path),
                "path": list(path),
                "is_live": self._directory.is_live(target.key, path),
                "size_bytes": size_bytes,
            }
            for path, size_bytes in islice(sizes, ADMIN_ITEMS_MAX)
        ]
        return Answer(items, {"object": target.text, "id": target.key.object_id.hex(), "count": len(items)})

    async def _run_sql(self, request: RunSql) -> Answer:
        if request.at and request.may_write:
            raise UsageError("what was can only be read: make an object of it (fork), or go back to it (rewind)")
        target = await self._finder.find(request.object, is_deleted_too=bool(request.at))
        work = partial(_query, request=request)
        before = await self._history.bookmark_or_none(target) if request.may_write else None
        try:
            if request.at:
                result = await self._history.look(target, request.at, work)
            else:
                result = await self._directory.visit(
                    target.key, target.path, work, cause="perdure sql", may_write=request.may_write
                )
        except SqlInterruptedError as error:
            raise _overdue(error) from None
        except UsageError as error:
            if getattr(error, "sqlite_code", "") == "SQLITE_READONLY":
                raise UsageError(f"{error}: add --write") from None
            raise
        items = await asyncio.to_thread(cells, result.rows)
        summary: dict[str, object] = {
            "object": target.text,
            "columns": list(result.columns),
            "count": len(items),
            "is_complete": result.is_complete,
            "rows_written": result.rows_written,
            "undo": None if before is None else self._history.way_back(target, before),
        }
        has_written = request.may_write and (result.rows_written > 0 or not result.columns)
        if has_written and self._directory.is_live(target.key, target.path):
            summary["warnings"] = [_STALE.format(target.text)]
        return Answer(items, summary)

    async def _list_kv(self, request: ListKv) -> Answer:
        target = await self._finder.find(request.object)
        wanted = KvRange(prefix=request.prefix or None, start_after=request.after or None)
        work = partial(_entries, wanted=wanted, limit=request.limit)
        entries = await self._directory.visit(target.key, target.path, work, cause="perdure kv")
        shown = entries[: request.limit]
        summary: dict[str, object] = {"object": target.text, "count": len(shown)}
        if len(entries) > len(shown):
            summary["after"] = shown[-1][0]
        return Answer([{"key": key, "value": value} for key, value in shown], summary)

    # ── doing ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _delete(self, request: DeleteObject) -> Answer:
        target = await self._finder.find(request.object)
        before = await self._history.bookmark_or_none(target)
        if before is None and not request.is_confirmed:
            raise UsageError(f"deleting `{target.text}` cannot be undone, since nothing keeps its history: add --yes")
        if target.path:
            await self._directory.delete_facet(target.key, target.path)
        else:
            await self._directory.delete(target.key)
        return Answer(
            summary={"object": target.text, "undo": None if before is None else self._history.way_back(target, before)}
        )


# ── work inside a visit ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Result:
    columns: Sequence[str]
    rows: list[tuple[SqlValue, ...]]
    is_complete: bool
    rows_written: int


def _query(database: Database, *, request: RunSql) -> _Result:
    page: SqlPage = database.sql_exec(request.query, request.bindings)
    columns, size = page.columns, 0
    rows: list[tuple[SqlValue, ...]] = []
    while True:
        for row in page.rows:
            size += sum(_size(value) for value in row)
            if len(rows) == request.limit or size > ADMIN_ANSWER_BYTES_MAX:
                database.sql_close(page.cursor_id)
                return _Result(columns, rows, is_complete=False, rows_written=page.rows_written)
            rows.append(row)
        if not page.cursor_id:
            return _Result(columns, rows, is_complete=True, rows_written=page.rows_written)
        page = database.sql_next(page.cursor_id)


def _size(value: SqlValue) -> int:
    return len(value) if isinstance(value, str | bytes) else 8


def _entries(database: Database, *, wanted: KvRange, limit: int) -> list[tuple[str, str]]:
    """Entries up to one more than the limit."""
    entries: list[tuple[str, str]] = []
    size = 0
    while len(entries) <= limit and size <= ADMIN_ANSWER_BYTES_MAX:
        page = database.kv_list(wanted)
        if not page:
            break
        entries += page
        size += sum(len(value) for _, value in page)
        wanted = KvRange(prefix=wanted.prefix, start_after=page[-1][0])
    return entries[: limit + 1]


def _overdue(error: SqlInterruptedError) -> UsageError:
    if error.limit != "cpu":
        return UsageError(str(error))
    return UsageError(
        f"the query took too long: at an object in memory whose code is trusted it may take {VISIT_ON_LOOP_S:g} s, "
        f"because everybody waits for it, else {VISIT_ASIDE_S:g} s. Narrow it, or try again when the object is idle"
    )


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Sizes:
    files: int = 0
    size_bytes: int = 0
    changed_ms: int = 0


def _sizes(layout: Layout, keys: Sequence[ObjectKey]) -> dict[ObjectKey, _Sizes]:
    """What the files of some objects take. Walks the names of their directories once."""
    wanted = {(layout.namespace(key.namespace), key.object_id.hex()): key for key in keys}
    sizes: dict[ObjectKey, _Sizes] = {}
    for directory in {directory for directory, _ in wanted}:
        for entry in _entries_of(directory):
            key = wanted.get((directory, entry.name.partition(".")[0]))
            if key is not None:
                _count(sizes.setdefault(key, _Sizes()), entry)
    return sizes


def _entries_of(directory: os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            yield from entries
    except FileNotFoundError:
        return


def _count(sizes: _Sizes, entry: os.DirEntry[str]) -> None:
    try:
        status = entry.stat()
    except FileNotFoundError:
        return  # It was deleted meanwhile.
    sizes.files += entry.name.endswith(".sqlite")
    sizes.size_bytes += status.st_size
    sizes.changed_ms = max(sizes.changed_ms, status.st_mtime_ns // 1_000_000)


def _tree_sizes(layout: Layout, key: ObjectKey, names: FacetNames) -> list[tuple[tuple[str, ...], int]]:
    """The databases of one object by their names, each before what is below it, with the sizes of their files."""
    found: list[tuple[tuple[str, ...], int]] = []

    def add(path: tuple[str, ...], lineage: tuple[int, ...]) -> None:
        found.append((path, layout.size_bytes(key, lineage)))
        for name, number in names.get(lineage[-1] if lineage else 0, {}).items():
            add((*path, name), (*lineage, number))

    add((), ())
    return found


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────


def _matches(listed: ListedObject, prefix: str) -> bool:
    return not prefix or (listed.name or "").startswith(prefix) or listed.key.object_id.hex().startswith(prefix)


def _key_text(key: ObjectKey) -> str:
    return f"{key.namespace}/{key.object_id.hex()}"


def _key_or_none(text: str) -> ObjectKey | None:
    """The key in `text`, which `_key_text` wrote."""
    if not text:
        return None
    namespace, _, digits = text.rpartition("/")
    try:
        return ObjectKey(namespace, bytes.fromhex(digits))
    except ValueError:
        raise UsageError(f"`{text[:80]}` is no place to go on after: give what the former answer said") from None
