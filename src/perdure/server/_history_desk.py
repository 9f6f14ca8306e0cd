"""The past of objects as an operator sees it: commits, states, differences, ways back, copies, files.

Effects: clock, disk, tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, assert_never

from perdure.clock import Clock
from perdure.errors import UsageError
from perdure.history import CommitInfo, DatabaseDiff, RowsDiff, When
from perdure.limits import VISIT_ASIDE_S
from perdure.objects import Directory, IdFactory, Travels
from perdure.server._admin_requests import (
    Answer,
    ExportObject,
    ForkObject,
    ImportObject,
    RewindObject,
    ShowDiff,
    ShowHistory,
)
from perdure.server._finder import Finder, Target
from perdure.server._history import ObjectHistory, import_object
from perdure.server._references import facet_path, reference
from perdure.server._sql_cells import cells
from perdure.storage import Database, ObjectKey, Store

Result = TypeVar("Result")
HistoryRequest = ShowHistory | ShowDiff | RewindObject | ForkObject | ExportObject | ImportObject


class HistoryDesk:
    """Looks back, goes back, copies."""

    def __init__(self, store: Store, directory: Directory, finder: Finder, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._finder = finder
        self._clock = clock

    @property
    def is_kept(self) -> bool:
        """Whether what is done can be undone."""
        return self._store.archive is not None

    async def answer(self, request: HistoryRequest) -> Answer:
        """Do what is asked."""
        match request:
            case ShowHistory():
                return await self.show(request)
            case ShowDiff():
                return await self.diff(request)
            case RewindObject():
                return await self.rewind(request)
            case ForkObject():
                return await self.fork(request)
            case ExportObject():
                return await self.export(request)
            case ImportObject():
                return await self.import_(request)
            case _:
                assert_never(request)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────

    async def show(self, request: ShowHistory) -> Answer:
        """Commits, the newest first."""
        target = await self._finder.find(request.object, is_deleted_too=True)
        commits = await self._of(target).commits(limit=request.limit + 1, before=_moment(request.before))
        items: list[object] = [_commit(commit) for commit in commits[: request.limit]]
        summary: dict[str, object] = {"object": target.text, "count": len(items), "is_kept": self.is_kept}
        if len(commits) > len(items):
            summary["before"] = commits[request.limit].bookmark
        return Answer(items, summary)

    async def look(self, target: Target, at: str, work: Callable[[Database], Result]) -> Result:
        """The result of `work` in a copy of one database as it was; it holds up nobody. Raises BookmarkError."""
        async with self._directory.travels.past(target.key).as_of(_moment(at)) as then:
            path = then.files[then.lineage(target.path)]
            return await asyncio.to_thread(self._look, path, work)

    def _look(self, path: Path, work: Callable[[Database], Result]) -> Result:
        end_s = self._clock.monotonic_s() + VISIT_ASIDE_S
        database = Database.open(path, number=0)
        try:
            return database.host_turn(work, deadline=lambda: self._clock.monotonic_s() > end_s, may_write=False)[0]
        finally:
            database.close()

    async def diff(self, request: ShowDiff) -> Answer:
        """What differs between two moments, by database, and the commits between them."""
        target = await self._finder.find(request.object, is_deleted_too=True)
        diff = await self._of(target).diff(_moment(request.before), _moment(request.after))
        databases = [each for each in diff.databases if each.path[: len(target.path)] == target.path]
        if target.path and not databases:  # Unless it is there, it was never meant: no facet differs less than none.
            facet_path("/".join(target.path), await self._finder.facets(target.key))
        items: list[object] = [_difference(target, each) for each in databases]
        summary: dict[str, object] = {
            "object": target.text,
            "before": diff.before,
            "after": diff.after,
            "commits": [_commit(commit) for commit in diff.commits],
            "is_truncated": diff.is_truncated,
        }
        return Answer(items, summary)

    async def export(self, request: ExportObject) -> Answer:
        """One file with the object and its facets."""
        target = await self._finder.find(request.object, is_deleted_too=True)
        _refuse_facet(target, "exported")
        path = _absolute(request.path)
        await self._of(target).export(path, at=_moment(request.at))
        return Answer(summary={"object": target.text, "path": str(path), "size_bytes": path.stat().st_size})

    # ── doing ────────────────────────────────────────────────────────────────────────────────────────────────

    async def rewind(self, request: RewindObject) -> Answer:
        """Go back; the answer says how to take that back."""
        target = await self._finder.find(request.object, is_deleted_too=True)
        undo = await self._of(target).rewind(_moment(request.to), facet=target.path)
        return Answer(summary={"object": target.text, "undo": self.way_back(target, undo)})

    async def fork(self, request: ForkObject) -> Answer:
        """A new object of what this one is or was."""
        target = await self._finder.find(request.object, is_deleted_too=True)
        _refuse_facet(target, "forked")
        name = request.name.removeprefix(f"{target.key.namespace}/")
        namespace, slash, _ = name.partition("/")
        if slash and namespace in self._finder.namespaces():
            raise UsageError(f"a copy of `{target.text}` is a `{target.key.namespace}` too, no `{namespace}`")
        key = ObjectKey(target.key.namespace, IdFactory(target.key.namespace).from_name(name))
        self._refuse_existing(key, name)
        await self._of(target).fork(name, at=_moment(request.at))
        return self._made(key, name)

    async def import_(self, request: ImportObject) -> Answer:
        """A new object of an exported one."""
        namespace, _, name = request.object.partition("/")
        if not namespace or not name:
            raise UsageError(f"`{request.object[:80]}` names no object: write `Class/name`")
        key = ObjectKey(namespace, IdFactory(namespace).from_name(name))
        path = _absolute(request.path)
        self._refuse_existing(key, name)
        await import_object(self._directory.travels, key, name, path, temporary=self._store.layout.temporary)
        return self._made(key, name)

    def _refuse_existing(self, key: ObjectKey, name: str) -> None:
        if self._store.exists(key):
            raise UsageError(f"object `{reference(key, name)}` exists: choose another name, or delete it first")

    def _made(self, key: ObjectKey, name: str) -> Answer:
        text = reference(key, name)
        undo = ["perdure", "delete", text, *([] if self.is_kept else ["--yes"])]
        return Answer(summary={"object": text, "undo": undo})

    # ── ways back ────────────────────────────────────────────────────────────────────────────────────────────

    async def bookmark_or_none(self, target: Target) -> str | None:
        """The state before something is done; None when no history is kept to go back to it."""
        return await self._of(target).bookmark() if self.is_kept else None

    def way_back(self, target: Target, bookmark: str) -> list[str]:
        """The command that brings an object or facet back to a bookmark."""
        return ["perdure", "rewind", target.text, bookmark]

    def _of(self, target: Target) -> ObjectHistory:
        async def travels() -> Travels:
            return self._directory.travels

        return ObjectHistory(
            travels,
            key=target.key,
            name=target.listed.name,
            key_of=lambda name: ObjectKey(target.key.namespace, IdFactory(target.key.namespace).from_name(name)),
        )


def _moment(text: str) -> When:
    """A moment as requests have it: a bookmark, `@` and milliseconds since 1970, or nothing for now."""
    if not text:
        return None
    if text.startswith("@") and text[1:].isdecimal() and len(text) < 18:
        return int(text[1:])
    return text


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise UsageError(f"`{text[:80]}` is no absolute path: the server has a working directory of its own")
    return path


def _refuse_facet(target: Target, act: str) -> None:
    if target.path:
        raise UsageError(f"`{target.text}` is a facet: only a whole object can be {act}, with all its facets")


def _commit(commit: CommitInfo) -> dict[str, object]:
    at_ms = int((commit.at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000 + 0.5)
    return {"bookmark": commit.bookmark, "at_ms": at_ms, "cause": commit.cause}


def _difference(target: Target, each: DatabaseDiff) -> dict[str, object]:
    return {
        "object": reference(target.key, target.listed.name, each.path),
        "fate": each.fate,
        "kv": _rows(each.kv),
        "tables": {name: _rows(rows) for name, rows in each.tables.items()},
        "schema": list(each.schema),
    }


def _rows(rows: RowsDiff) -> dict[str, object]:
    return {
        "added": cells(rows.added),
        "removed": cells(rows.removed),
        "changed": cells(rows.changed),
        "is_truncated": rows.is_truncated,
    }
