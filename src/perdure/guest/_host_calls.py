"""The guest's side of the ports in `perdure.api`: every call becomes one WebAssembly import.

Storage is answered at once. What leaves the object is only noted: the report of the turn carries it to the host, and a
later turn brings the answer. Effects: host calls.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeVar

from perdure.api import (
    CURRENT_SECTION,
    Budget,
    FacetEvent,
    FacetUsage,
    Section,
    Sections,
    StartFacet,
    TransactionSection,
    check_alarm_handler,
    no_start_facet,
)
from perdure.errors import FacetError
from perdure.guest._errors import error_shape, raise_reply
from perdure.guest._importer import WorkerImporter
from perdure.guest._loop import GuestLoop
from perdure.guest._references import GuestReferences, StoredChannels
from perdure.guest._remotes import Pinned
from perdure.wire import (
    ERROR_MARK,
    START_FACET,
    HostOp,
    KvRange,
    SqlPage,
    SqlValue,
)

T = TypeVar("T")
Ask = Callable[[int, str, str], str]
"""`host_call(op, key, payload)`: the one import."""

_COMPACT: Final = json.JSONEncoder(separators=(",", ":")).encode


def checked(reply: str) -> str:
    """The reply to a host call, unless it is an error: then that is raised."""
    if reply[:1] == ERROR_MARK:
        raise_reply(reply[1:])
    return reply


class GuestStorage:
    """`StorageCalls` over the import."""

    def __init__(self, ask: Ask, references: GuestReferences, life: GuestLife, instance: Callable[[], object]) -> None:
        self._ask = ask
        self._operations = references.operations
        self._channels = StoredChannels(references)
        self._life = life
        self._instance = instance

    @property
    def channels(self) -> StoredChannels:
        return self._channels

    def kv_get(self, key: str) -> str | None:
        return checked(self._ask(HostOp.KV_GET, key, "")) or None

    def kv_put(self, key: str, value: str) -> None:
        checked(self._ask(HostOp.KV_PUT, key, value))

    def kv_delete(self, key: str) -> bool:
        return checked(self._ask(HostOp.KV_DELETE, key, "")) == "1"

    def kv_get_many(self, keys: Sequence[str]) -> tuple[list[tuple[str, str]], Sequence[str]]:
        tree = json.loads(checked(self._ask(HostOp.KV_GET_MANY, "", _COMPACT(list(keys)))))
        return [(key, _COMPACT(value)) for key, value in tree["r"]], tree["m"]

    def kv_write(self, puts: Sequence[tuple[str, str]], deletes: Sequence[str], *, is_confirmed: bool) -> int:
        batch: dict[str, object] = {"p": [text for entry in puts for text in entry], "d": list(deletes)}
        if not is_confirmed:
            batch["u"] = 1
        return int(checked(self._ask(HostOp.KV_WRITE, "", _COMPACT(batch))))

    def kv_list(self, wanted: KvRange) -> list[tuple[str, str]]:
        options = {
            "start": wanted.start,
            "start_after": wanted.start_after,
            "end": wanted.end,
            "prefix": wanted.prefix,
            "reverse": wanted.reverse or None,
            "limit": wanted.limit,
        }
        payload = _COMPACT({name: value for name, value in options.items() if value is not None})
        rows = json.loads(checked(self._ask(HostOp.KV_LIST, "", payload)))
        return [(key, _COMPACT(value)) for key, value in rows]

    def sql_exec(self, query: str, bindings: Sequence[SqlValue]) -> SqlPage:
        payload = _COMPACT([_cell(value) for value in bindings])
        return _page(checked(self._ask(HostOp.SQL_EXEC, query, payload)))

    def sql_next(self, cursor_id: int) -> SqlPage:
        return _page(checked(self._ask(HostOp.SQL_NEXT, str(cursor_id), "")))

    def sql_close(self, cursor_id: int) -> None:
        checked(self._ask(HostOp.SQL_CLOSE, str(cursor_id), ""))

    def database_size(self) -> int:
        return int(checked(self._ask(HostOp.DATABASE_SIZE, "", "")))

    def begin(self, *, is_sync: bool) -> int:
        return int(checked(self._ask(HostOp.SAVEPOINT, "begin", "sync" if is_sync else "async")))

    def release(self, number: int) -> None:
        checked(self._ask(HostOp.SAVEPOINT, "release", str(number)))

    def roll_back(self, number: int) -> None:
        checked(self._ask(HostOp.SAVEPOINT, "rollback", str(number)))

    def section(self) -> AbstractAsyncContextManager[TransactionSection]:
        return self._life.transaction_section()

    def delete_all(self, *, keeps_alarm: bool) -> None:
        checked(self._ask(HostOp.DELETE_ALL, "keep alarm" if keeps_alarm else "", ""))

    def sync(self) -> Awaitable[None]:
        return self._operations.start("sync", {})

    def bookmark(self, act: str, argument: str | int | None) -> Awaitable[str]:
        return self._operations.start("bookmark", {"a": act, "v": argument})

    def alarm_get(self) -> int | None:
        reply = checked(self._ask(HostOp.ALARM_GET, "", ""))
        return int(reply) if reply else None

    def alarm_set(self, at_ms: int | None, *, is_confirmed: bool) -> None:
        if at_ms is not None:
            check_alarm_handler(self._instance())
        option = "" if is_confirmed else "unconfirmed"
        checked(self._ask(HostOp.ALARM_SET, option, "" if at_ms is None else str(at_ms)))

    def now_ms(self) -> int:
        return int(checked(self._ask(HostOp.CLOCK, "", "")))


def _cell(value: SqlValue) -> object:
    if isinstance(value, bytes):
        return ["b", base64.b64encode(value).decode("ascii")]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ["inf" if value > 0 else "-inf"]
    return value


_SPECIAL_FLOATS: Final = {"inf": math.inf, "-inf": -math.inf}


def _value(cell: Any) -> SqlValue:  # noqa: ANN401  # JSON
    if not isinstance(cell, list):
        return cell  # type: ignore[no-any-return]  # JSON of the host's
    if cell[0] == "b":
        return base64.b64decode(cell[1])
    return int(cell[1]) if cell[0] == "i" else _SPECIAL_FLOATS[cell[0]]


def _page(text: str) -> SqlPage:
    tree = json.loads(text)
    rows_read, rows_written = tree["i"]
    return SqlPage(
        columns=tuple(tree.get("n", ())),
        rows=[tuple([_value(cell) for cell in row]) for row in tree["r"]],
        cursor_id=tree["c"],
        rows_read=rows_read,
        rows_written=rows_written,
    )


class GuestFacets:
    """`FacetCalls`: facets are started, called and stopped by the host."""

    def __init__(self, ask: Ask, references: GuestReferences, instance: Callable[[], object]) -> None:
        self._ask = ask
        self._references = references
        self._operations = references.operations
        self._instance = instance
        self._numbers: dict[str, int] = {}
        self._starts: dict[int, StartFacet] = {}

    def start_by_name(self, name: str) -> StartFacet:
        instance = self._instance()
        if instance is not None and not callable(getattr(instance, START_FACET, None)):
            raise no_start_facet(name, type(instance).__name__)
        return lambda: self.start_facet(name)

    def start_facet(self, name: str) -> object:
        """What the object says of a facet to be started by its name."""
        start: Callable[[str], object] = getattr(self._instance(), START_FACET)
        return start(name)

    def get(self, name: str, start: StartFacet) -> Pinned:
        number = self._numbers.setdefault(name, len(self._numbers) + 1)
        self._starts[number] = start  # The latest callback of a name is the one that starts it.
        return Pinned(self._references, "facet", {"f": name, "cb": number})

    def abort(self, name: str, reason: str) -> None:
        self._operations.start("facet.abort", {"f": name, "reason": reason})

    def delete(self, name: str) -> None:
        self._check_change(name)
        self._operations.start("facet.delete", {"f": name})

    def clone(self, source: str, target: str) -> Awaitable[None]:
        self._check_change(target)
        return self._operations.start("facet.clone", {"f": source, "to": target})

    def list(self, start_after: str, limit: int) -> list[str]:
        names: list[str] = json.loads(checked(self._ask(HostOp.FACET_LIST, start_after, str(limit))))
        return names

    def rewind(self, name: str, to: str | int) -> Awaitable[str]:
        return self._operations.start("facet.rewind", {"f": name, "to": to})

    async def usage(self, name: str | None) -> FacetUsage:
        shape = await self._operations.start("facet.usage", {"f": name})
        last_used_ms = shape.pop("last_used")
        last_used = None if last_used_ms is None else datetime.fromtimestamp(last_used_ms / 1000, UTC)
        return FacetUsage(**shape, last_used=last_used)

    def set_budget(self, name: str, budget: Budget | None) -> None:
        numbers = None if budget is None else dataclasses.asdict(budget)
        self._operations.start("facet.budget", {"f": name, "budget": numbers})

    def events(self) -> AsyncIterator[FacetEvent]:
        raise FacetError("facets.events() is for trusted supervisors: ask facets.usage(name) instead")

    def _check_change(self, name: str) -> None:
        checked(self._ask(HostOp.FACET_CHANGE, "", json.dumps(name)))

    def start_callback(self, number: int) -> StartFacet:
        """The callback the host asks to be run."""
        return self._starts[number]


class GuestTransactionSection:
    """`TransactionSection` of a guest: its loop holds what is outside of the innermost section."""

    def __init__(self, sections: Sections, section: Section) -> None:
        self._sections = sections
        self._section = section

    async def until_innermost(self) -> None:
        if self._sections.innermost is not self._section:
            await asyncio.sleep(0)  # The loop holds it until it is.


class GuestLife:
    """`ContextCalls`: background work, critical sections, the end."""

    def __init__(
        self,
        ask: Ask,
        loop: GuestLoop,
        sections: Sections,
        importer: WorkerImporter,
        report_lost: Callable[[BaseException], None],
    ) -> None:
        self._ask = ask
        self._loop = loop
        self._importer = importer
        self._report_lost = report_lost
        self._background: set[asyncio.Future[Any]] = set()
        self._changes: list[list[object]] = []
        self._sections = sections
        self._starts: dict[Section, asyncio.Future[None]] = {}

    def wait_until(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work, loop=self._loop)  # owned by `_background`
        self._background.add(task)
        task.add_done_callback(self._background_done)

    async def block_concurrency_while(self, callback: Callable[[], Awaitable[T]]) -> T:
        async with self.section() as section:
            try:
                return await callback()
            except BaseException as error:
                self.fail_section(section, error)
                raise

    @asynccontextmanager
    async def section(self) -> AsyncIterator[Section]:
        """The code inside runs in a critical section. Raises UsageError, OverloadedError."""
        section = await self._enter()
        before = CURRENT_SECTION.get()
        CURRENT_SECTION.set(section)
        try:
            yield section
        finally:
            CURRENT_SECTION.set(before)
            self.end_section(section)

    async def _enter(self) -> Section:
        before = CURRENT_SECTION.get()
        section = self._sections.request(before)
        self._changes.append(["want", section.number])
        start = self._starts[section] = self._loop.create_future()
        CURRENT_SECTION.set(section)  # What wakes this task up belongs to the section already.
        try:
            await start
        except BaseException:
            if self._starts.pop(section, None) is not None:
                self._sections.withdraw(section)
                self._changes.append(["end", section.number])
            else:  # Its turn came, and whoever waited for it was cancelled.
                self.end_section(section)
            raise
        finally:
            CURRENT_SECTION.set(before)
        return section

    @asynccontextmanager
    async def transaction_section(self) -> AsyncIterator[GuestTransactionSection]:
        """The same for a transaction: what fails inside does not reset the object."""
        async with self.section() as section:
            yield GuestTransactionSection(self._sections, section)

    def abort(self, reason: str, *, retry_alarm: bool) -> NoReturn:
        self._ask(HostOp.ABORT, "" if retry_alarm else "drop alarm", reason)
        raise AssertionError("the host did not stop this sandbox")

    def begin_section(self) -> Section:
        """One that is open at once: nothing else runs yet."""
        section = self._sections.request(None)
        self._sections.open_next()
        self._changes.append(["begin", section.number])
        return section

    def open_next(self) -> None:
        """A turn begins: the section whose turn it is begins with it, ahead of everything else."""
        if self._sections.next_or_none() is not None:
            section = self._sections.open_next()
            self._changes.append(["begin", section.number])
            start = self._starts.pop(section)
            if not start.done():
                start.set_result(None)

    @property
    def wants_turn(self) -> bool:
        """Whether a section waits for nothing but a turn of its own."""
        return self._sections.next_or_none() is not None

    def end_section(self, section: Section) -> None:
        """What was held may go on."""
        self._sections.end(section)
        self._changes.append(["end", section.number])
        self._loop.release_held()

    def fail_section(self, section: Section, error: BaseException) -> None:
        """The host resets the object."""
        shape = error_shape(error, self._importer.owns, modules=self._importer.names)
        self._changes.append(["fail", section.number, shape])

    @property
    def pending(self) -> int:
        """How much background work is under way."""
        return len(self._background)

    def take_sections(self) -> list[list[object]]:
        """What changed in this turn."""
        changes, self._changes = self._changes, []
        return changes

    def _background_done(self, task: asyncio.Future[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report_lost(error)
