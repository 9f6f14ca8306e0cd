"""The peer's capabilities, as hooks: calls on them are messages.

Once a promise of the peer's is resolved, what is called on it goes to what it resolved to. Effects: tasks (futures for
whoever waits).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from perdure.capnweb._exports import Exporter
from perdure.capnweb._hooks import Box, FailedHook, Hook, MapBudget, PendingHook
from perdure.capnweb._payload import Payload
from perdure.capnweb._protocol import Protocol as WireProtocol
from perdure.capnweb._references import Path
from perdure.capnweb._stubs import PeerStub, hook_and_path
from perdure.errors import RpcSessionError, UsageError
from perdure.limits import CAPNWEB_STREAM_WINDOW_BYTES


class Connection(Protocol):
    """The session, as imports see it."""

    protocol: WireProtocol
    exporter: Exporter
    imports: Imports

    @property
    def error(self) -> Exception | None: ...
    def flush(self) -> None: ...
    def end(self, error: Exception) -> None: ...
    def spawn(self, work: Coroutine[Any, Any, Hook], box: Box) -> None: ...
    def number_of_import(self, hook: Hook) -> int | None: ...
    def copy(self, value: object) -> Payload:
        """A copy of what user code gave, with stubs for its objects."""
        ...


class _Entry:
    """One import, and how it is resolved."""

    __slots__ = ("box", "is_pulled", "number")

    def __init__(self, number: int, *, is_pulled: bool) -> None:
        self.number = number
        self.is_pulled = is_pulled
        self.box = Box()


class Imports:
    """The imports of one session that somebody here holds."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._entries: dict[int, _Entry] = {}

    def hook(self, number: int, *, is_pulled: bool = False) -> ImportHook:
        """One more hook for an import. `is_pulled`: it is resolved unasked."""
        if number not in self._entries:
            self._entries[number] = _Entry(number, is_pulled=is_pulled)
        return ImportHook(self._connection, self._entries[number])

    def settle(self, number: int, hook: Hook) -> None:
        """The peer has resolved an import; it needs to hold it no longer."""
        entry = self._entries.pop(number, None)
        self._connection.protocol.release(number)
        if entry is None:
            hook.dispose()
        else:
            entry.box.put(hook)

    def drop(self, number: int) -> None:
        """Nobody here holds an import any more."""
        entry = self._entries.pop(number, None)
        if entry is None or self._connection.error is not None:
            return
        if number == 0:
            self._connection.end(RpcSessionError("the session was ended: its main stub was closed"))
            return
        entry.box.put(FailedHook(UsageError("RPC was canceled because the RpcPromise was disposed")))
        self._connection.protocol.release(number)
        self._connection.flush()

    def break_(self, error: Exception) -> None:
        """The session has ended: whatever is not resolved never will be."""
        entries, self._entries = self._entries, {}
        for entry in entries.values():
            entry.box.put(FailedHook(error))


class ImportHook(Hook):
    """A capability of the peer's, or the result of a call there."""

    __slots__ = ("_connection", "_entry", "_is_disposed")

    def __init__(self, connection: Connection, entry: _Entry) -> None:
        self._connection = connection
        self._entry = entry
        self._is_disposed = False
        entry.box.holders += 1

    def number_in(self, connection: object) -> int | None:
        """Its number, where it is an import of that session and not resolved yet."""
        is_there = self._connection is connection and self._entry.box.hook_or_none is None and not self._is_disposed
        return self._entry.number if is_there else None

    @property
    def box(self) -> Box:
        """Where its resolution is put."""
        return self._entry.box

    def call(self, path: Path, arguments: Payload) -> Hook:
        hook = self._entry.box.hook_or_none
        if hook is not None:
            return hook.call(path, arguments)
        if not self._refer_to_promises(arguments):
            return self._call_when_filled(path, arguments)
        return self._pushed(path, arguments)

    def _pushed(self, path: Path, arguments: Payload | None) -> Hook:
        connection = self._connection
        if connection.error is not None:
            return FailedHook(connection.error)
        number = connection.exporter.push(self._entry.number, path, arguments)
        hook = connection.imports.hook(number)
        connection.flush()
        return hook

    def _refer_to_promises(self, arguments: Payload) -> bool:
        """Have the peer fill in the promises among the arguments, where all of them are its own."""
        for vacancy in arguments.vacancies:
            promise = vacancy.promise
            if (
                not isinstance(promise, PeerStub)
                or self._connection.number_of_import(hook_and_path(promise)[0]) is None
            ):
                return False
        for vacancy in arguments.vacancies:
            vacancy.container[vacancy.key] = vacancy.promise
        arguments.vacancies.clear()
        return True

    def _call_when_filled(self, path: Path, arguments: Payload) -> Hook:
        promise = PendingHook.new()
        own = self.dup()

        async def call() -> Hook:
            try:
                return own.call(path, await arguments.filled())
            except BaseException:
                arguments.dispose()
                raise
            finally:
                own.dispose()

        self._connection.spawn(call(), promise.box)
        return promise

    def get(self, path: Path) -> Hook:
        hook = self._entry.box.hook_or_none
        return self._pushed(path, None) if hook is None else hook.get(path)

    def map(self, path: Path, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget) -> Hook:
        hook, connection = self._entry.box.hook_or_none, self._connection
        if hook is not None:
            return hook.map(path, captures, instructions, budget)
        if connection.error is not None:
            return FailedHook(connection.error).map(path, captures, instructions, budget)
        number = connection.exporter.push_map(self._entry.number, path, captures, instructions)
        mapped = connection.imports.hook(number)
        connection.flush()
        return mapped

    def dup(self) -> Hook:
        if self._is_disposed:
            return FailedHook(UsageError("RPC stub used after being disposed"))
        return ImportHook(self._connection, self._entry)

    async def pull(self) -> Payload:
        own = self.dup()
        try:
            entry = self._entry
            if entry.box.hook_or_none is None and not entry.is_pulled and self._connection.error is None:
                entry.is_pulled = True
                self._connection.protocol.pull(entry.number)
                self._connection.flush()
            return await (await entry.box.wait()).pull()
        finally:
            own.dispose()

    def dispose(self) -> None:
        if not self._is_disposed:
            self._is_disposed = True
            self._entry.box.leave()
            if self._entry.box.holders == 0 and self._entry.box.hook_or_none is None:
                self._connection.imports.drop(self._entry.number)


class PeerSink:
    """A stream of the peer's: what is written is sent at once, and the writer waits while too much is under way."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self._number = number
        self._stub = connection.imports.hook(number)
        self._under_way = 0
        self._error: BaseException | None = None
        self._room: asyncio.Event = asyncio.Event()
        self._is_closed = False

    async def write(self, chunk: object) -> None:
        """Raises what the peer said to an earlier chunk."""
        payload = self._connection.copy([chunk])
        try:
            await payload.filled()
            hook, size = self._push("write", payload)
        finally:
            payload.dispose()
        self._under_way += size
        hook.box.when_there(lambda: self._written(hook, size))
        while self._under_way >= CAPNWEB_STREAM_WINDOW_BYTES and self._error is None:
            self._room.clear()
            await self._room.wait()

    def _written(self, hook: ImportHook, size: int) -> None:
        self._under_way -= size
        made = hook.box.hook_or_none
        if isinstance(made, FailedHook):
            self._error = self._error or made.error
        hook.dispose()
        self._room.set()

    async def close(self) -> None:
        """Raises what the peer said to any chunk."""
        await self._finish("close", Payload(root=[[]]))

    async def abort(self, reason: object) -> None:
        """Tell the reader."""
        await self._finish("abort", self._connection.copy([reason]))

    async def _finish(self, method: str, payload: Payload) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            hook, _ = self._push(method, payload)
            await hook.pull()
            hook.dispose()
        finally:
            self._stub.dispose()

    def _push(self, method: str, payload: Payload) -> tuple[ImportHook, int]:
        error = self._error or self._connection.error
        if error is not None:
            raise error.with_traceback(None)
        number, size = self._connection.exporter.push_stream(self._number, method, payload)
        hook = self._connection.imports.hook(number, is_pulled=True)
        self._connection.flush()
        return hook, size

    def dispose(self) -> None:
        """Nobody writes any more."""
        self._stub.dispose()
