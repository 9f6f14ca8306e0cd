"""Travels: objects brought back to what they were, or made of what others were.

Whatever lives in the tree is reset and waited for; then its databases are rewritten under the lock that openings take,
as one record. A rewind ends well or changes nothing, and gives the bookmark that takes it back. Effects: disk, tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from perdure.clock import Clock
from perdure.errors import BookmarkError, FacetError, ObjectResetError, OverloadedError, UsageError
from perdure.history import (
    AsOf,
    Bookmark,
    Past,
    SegmentArchive,
    When,
    alarms_of,
    forget_restores,
    keep_numbers,
    keep_usage,
    read_bookmark,
    restore_cause,
)
from perdure.objects._actor import Actor
from perdure.objects._facets import FacetSlots
from perdure.objects._lifecycle import State
from perdure.objects._restores import Restore, remember
from perdure.objects._root_index import files_held, index_held
from perdure.storage import (
    AlarmChange,
    Captured,
    Database,
    Lineage,
    ObjectKey,
    RootStore,
    Store,
    UsageRow,
    all_usage,
    number_of,
)
from perdure.workers import shared_task

Result = TypeVar("Result")
_ATTEMPTS_MAX: Final = 100
_REWOUND: Final = "the object was brought back to an earlier state: call it again"
_HIGHEST_NUMBER: Final = "SELECT ifnull(max(number), 0) FROM _cf_FACETS"
_NAME_FACET: Final = (
    "INSERT INTO _cf_FACETS(number, parent, name) VALUES (?1, ?2, ?3) "
    "ON CONFLICT (number) DO UPDATE SET parent = ?2, name = ?3"
)


class Slots(Protocol):
    """What is in memory: the directory."""

    def slot_or_none(self, key: ObjectKey) -> Actor | None: ...
    @property
    def users(self) -> Mapping[RootStore, AbstractSet[Actor]]:
        """Who has a database of a root open, or is about to."""
        ...

    def admitted(self, root: RootStore) -> AbstractContextManager[None]:
        """Meanwhile an object is made: it counts from now on, if it comes to be. Raises QuotaExceededError."""
        ...


class Travels:
    """Rewinds and forks. Each runs to its end, even when whoever asked gives up."""

    def __init__(self, store: Store, slots: Slots, clock: Clock) -> None:
        self._store = store
        self._slots = slots
        self._clock = clock
        self._tasks: set[asyncio.Task[object]] = set()
        self._last_us = 0
        self._is_finished = False

    def _now_us(self) -> int:
        """Microseconds that always grow, so that bookmarks do."""
        self._last_us = max(self._clock.now_ms() * 1000, self._last_us + 1)
        return self._last_us

    def past(self, key: ObjectKey) -> Past:
        """What an object was."""
        archive = self._store.archive
        return Past(
            self._store.root(*key),
            archive if isinstance(archive, SegmentArchive) else None,
            layout=self._store.layout,
            clock=self._clock,
            now_us=self._now_us,
        )

    async def finish(self) -> None:
        """Wait for what is under way; nothing begins from now on."""
        self._is_finished = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _to_its_end(self, work: Coroutine[object, object, Result]) -> Result:
        if self._is_finished:
            work.close()
            raise UsageError("the platform has been stopped")
        task = shared_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def rewind(self, key: ObjectKey, to: When, *, path: Sequence[str] = ()) -> str:
        """Bring an object, or the facet that names lead to with all below it, back to a bookmark or a time.

        Returns the bookmark that takes it back. Raises BookmarkError, FacetError, UsageError when too much differs.
        """
        return await self._to_its_end(self._rewind(key, to, tuple(path)))

    async def fork(self, key: ObjectKey, target: ObjectKey, *, name: str | None, at: When = None) -> None:
        """Make a new object of what another is or was, with its facets and alarms. Raises UsageError if it exists.

        Raises QuotaExceededError when the namespace has as many as it may.
        """
        await self._to_its_end(self._fork(key, target, name, at))

    # ── rewinding ────────────────────────────────────────────────────────────────────────────────────────────

    async def _rewind(self, key: ObjectKey, to: When, path: tuple[str, ...]) -> str:
        past = self.past(key)
        sequence = await past.sequence(to)
        cause = restore_cause(str(Bookmark(sequence, 0)), None)
        async with past.as_of(str(Bookmark(sequence, 0))) as then:
            for _ in range(_ATTEMPTS_MAX):
                root = self._store.root(*key)
                try:
                    if path:
                        before = await self._rewind_facet(key, root, then, path, cause)
                    else:
                        self._reset(self._slots.slot_or_none(key))
                        for user in list(self._slots.users.get(root, ())):
                            await user.wait_closed()
                        with self._slots.admitted(root):  # It may have been deleted since.
                            before = await rewind_tree(root, then, cause)
                except ObjectResetError:
                    continue  # Somebody called it meanwhile.
                finally:
                    if root not in self._slots.users:
                        self._store.release(root)
                return str(Bookmark(before, self._now_us()))
        raise OverloadedError(f"object `{key.object_id.hex()}` is started all the time: try again")

    def _reset(self, actor: Actor | None) -> None:
        if actor is not None and actor.state is not State.COLD:
            actor.break_(ObjectResetError(_REWOUND, retryable=True))

    async def _rewind_facet(
        self, key: ObjectKey, root: RootStore, then: AsOf, path: tuple[str, ...], cause: str
    ) -> int:
        wanted = then.lineage(path)
        parent = self._slots.slot_or_none(key)
        for name in path[:-1]:
            parent = parent.facets.slot_or_none(name) if parent and isinstance(parent.facets, FacetSlots) else None
        facets = parent.facets if parent is not None and isinstance(parent.facets, FacetSlots) else None
        slot = facets.slot_or_none(path[-1]) if facets is not None else None
        self._reset(slot)
        for user in list(self._slots.users.get(root, ())):
            if user.state is State.BROKEN:  # An earlier reset, too, may have left a turn on a thread.
                await user.wait_closed()
        now, parent_now = await self._lineages_now(root, path)
        if parent_now != wanted[:-1]:
            raise FacetError(f"the parent of facet `{'/'.join(path)}` was made anew since then: rewind that instead")
        try:
            return await self._rewrite_below(key, root, then, wanted, now, cause)
        finally:
            if facets is not None and parent is not None and parent.state is State.RUNNING:
                await facets.look_again()

    async def _rewrite_below(
        self, key: ObjectKey, root: RootStore, then: AsOf, wanted: Lineage, now: Sequence[Lineage], cause: str
    ) -> int:
        """Make a facet and all below it what they were, in place of those there are `now`; the last record before."""
        files: dict[Lineage, Path | None] = dict.fromkeys(now)
        files.update({line: file for line, file in then.files.items() if line[: len(wanted)] == wanted})
        kept = {lineage: file for lineage, file in files.items() if file is not None}
        await root.aside(lambda: forget_restores(kept))
        alarms = await root.aside(lambda: alarms_of(kept))
        top = self._slots.slot_or_none(key)
        is_live = top is not None and top.state is State.RUNNING

        def rename() -> Captured | None:
            return _rename(root, top, now, {line: then.names[number_of(line)] for line in kept})

        async with index_held(top) if top is not None and is_live else nullcontext():
            return await root.rewrite(files, cause=cause, alarms=alarms, before=rename)

    async def _lineages_now(self, root: RootStore, path: tuple[str, ...]) -> tuple[list[Lineage], Lineage]:
        """The databases of a facet and all below it, and the lineage of its parent."""
        async with files_held(self._slots.users, root):
            # By names: a parent that only has facets has no database of its own, so no lineage in the chain.
            parent = tuple(root.find(path[:depth]) for depth in range(1, len(path)))
            try:
                number = root.find(path)
            except FacetError:
                number = -1
        lineages = root.log.chain.live_lineages()
        return [line for line in lineages if number in line], parent

    # ── what an object's own code asks ───────────────────────────────────────────────────────────────────────

    async def bookmark(self, actor: Actor, act: str, argument: object) -> str:
        """`current`; `at` a time; or `restore` at its next start, which gives the bookmark of the state before it."""
        past = self.past(actor.root.key)
        match act, argument:
            case "current", _:
                return str(past.bookmark())
            case "at", int(at_ms) if not isinstance(argument, bool):
                return str(await past.bookmark_at(at_ms))
            case "restore", str(to):
                await past.sequence(to)
                restore = Restore(to, str(past.bookmark().promise()))
                await actor.visit(partial(_remember, restore), cause="restore at the next start", inside=True)
                return restore.undo
            case _:
                raise BookmarkError(
                    f"`{str(act)[:20]}` of `{str(argument)[:80]}` is nothing that can be asked about the past"
                )

    async def restore(self, actor: Actor, wanted: Restore) -> None:
        """Bring an object or facet back that is about to start, with all below it, none of which is open."""
        if isinstance(actor.facets, FacetSlots):
            for facet in actor.facets.unclosed():
                await facet.wait_closed()
        root = actor.root
        past = self.past(root.key)
        sequence = await past.sequence(wanted.to)
        cause = restore_cause(wanted.to, read_bookmark(wanted.undo))
        async with past.as_of(str(Bookmark(sequence, 0))) as then:
            if actor.parent is None:
                await rewind_tree(root, then, cause)
                return
            lineage = root.log.chain.lineage(actor.number)
            if lineage not in then.files:
                raise BookmarkError("the facet did not exist at that moment, or was made anew since then")
            now = [line for line in root.log.chain.live_lineages() if actor.number in line]
            await self._rewrite_below(root.key, root, then, lineage, now, cause)

    # ── forking ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _fork(self, key: ObjectKey, target: ObjectKey, name: str | None, at: When) -> None:
        past = self.past(key)
        if not past.root.exists and at is None:
            raise UsageError(f"there is no object `{key.object_id.hex()}` in `{key.namespace}` to fork")
        async with past.as_of(at) as then:
            bookmark = Bookmark(then.sequence, 0)
            cause = f"forked from {key.namespace}/{past.root.name or key.object_id.hex()} at {bookmark}"
            await self.make(target, then.files, name=name, cause=cause)
        if past.root not in self._slots.users:
            self._store.release(past.root)

    async def make(self, target: ObjectKey, files: Mapping[Lineage, Path], *, name: str | None, cause: str) -> None:
        """Make a new object of files, whose alarms are in them.

        Raises UsageError when it exists, QuotaExceededError when its namespace has as many as it may.
        """
        slot = self._slots.slot_or_none(target)
        if () not in files:
            raise UsageError("the object did not exist at that moment, so there is nothing to make another of")
        if slot is not None and slot.state is not State.COLD:
            raise UsageError(f"object `{name or target.object_id.hex()}` exists: choose another name")
        root = self._store.root(*target)
        try:
            with self._slots.admitted(root):
                await root.aside(lambda: forget_restores(files))
                await root.aside(lambda: keep_usage(files[()], ()))
                alarms = await root.aside(lambda: alarms_of(files))
                due = {number: change.at_ms for number, change in alarms.items() if change.at_ms is not None}
                await root.adopt(files, alarms=due, cause=cause, new_name=name)
        finally:
            if root not in self._slots.users:
                self._store.release(root)


async def rewind_tree(root: RootStore, then: AsOf, cause: str) -> int:
    """Bring all databases of a root, none of which is open, to what they were; the last record before that."""
    highest = 0
    used: list[UsageRow] = []
    if root.exists:
        async with root.files_aside:
            if root.is_open(0):
                raise ObjectResetError(_REWOUND, retryable=True)
            database = root.open_database(0)
            if database.host_exec("SELECT 1 FROM sqlite_schema WHERE name = '_cf_FACETS'"):
                highest = int(str(database.host_exec(_HIGHEST_NUMBER)[0][0]))
            used = all_usage(database)
            root.close_database(0)
    if () not in then.files:
        raise UsageError("the object did not exist at that moment: delete it instead")
    await root.aside(lambda: keep_numbers(then.files[()], highest))
    await root.aside(lambda: keep_usage(then.files[()], used))
    await root.aside(lambda: forget_restores(then.files))
    alarms: dict[int, AlarmChange] = await root.aside(lambda: alarms_of(then.files))
    files: dict[Lineage, Path | None] = dict.fromkeys(root.log.chain.live_lineages())
    return await root.rewrite({**files, **then.files}, cause=cause, alarms=alarms)


def _rename(
    root: RootStore, top: Actor | None, now: Sequence[Lineage], names: Mapping[Lineage, str]
) -> Captured | None:
    """One step of the loop: the root's table says which facets there are, in the unit of nobody else."""
    if top is not None and top.state is State.RUNNING:
        top.end_turn()
    # Stays open: what is committed here is in no record yet, and closing it now would lose it.
    database = root.open_database(0)
    if database.in_unit:
        raise OverloadedError("the root object has a transaction open: try again when it has ended")
    for lineage in now:
        if lineage not in names:
            database.host_exec("UPDATE _cf_FACETS SET name = NULL WHERE number = ?", (number_of(lineage),))
    for lineage, name in sorted(names.items()):
        database.host_exec(_NAME_FACET, (number_of(lineage), number_of(lineage[:-1]), name))
    return database.commit()


def _remember(restore: Restore, database: Database) -> tuple[None, Captured | None]:
    return database.host_turn(lambda database: remember(database, restore), deadline=lambda: False, may_write=True)
