"""Transactions by hand: of one turn, and those that stay open while their code awaits (spec 3.5, 3.6).

Each is a savepoint of the turn's own transaction, so they nest. One that may last runs in a critical section: nothing
else of the object runs meanwhile, and nothing of it is stored before it ends. Effects: none (it asks `StorageCalls`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from perdure.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from types import TracebackType

    from perdure.api._host_calls import StorageCalls, TransactionSection
    from perdure.api._ready import Ready


class AsyncStorage(Protocol):
    """The asynchronous face of `ctx.storage`."""

    def get(self, *arguments: Any, **options: Any) -> Ready[Any]: ...
    def put(self, *arguments: Any, **options: Any) -> Ready[None]: ...
    def delete(self, *arguments: Any, **options: Any) -> Ready[Any]: ...
    def list(self, *arguments: Any, **options: Any) -> Ready[dict[str, Any]]: ...
    def get_alarm(self, *arguments: Any, **options: Any) -> Ready[datetime | None]: ...
    def set_alarm(self, *arguments: Any, **options: Any) -> Ready[None]: ...
    def delete_alarm(self, *arguments: Any, **options: Any) -> Ready[None]: ...


class SyncTransaction:
    """`with storage.transaction_sync():` what is written inside is undone if an exception leaves it."""

    __slots__ = ("_calls", "_number")

    def __init__(self, calls: StorageCalls) -> None:
        self._calls = calls
        self._number = 0

    def __enter__(self) -> None:
        self._number = self._calls.begin(is_sync=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._calls.release(self._number)
        else:
            self._calls.roll_back(self._number)

    def run(self, callback: Callable[[], Any]) -> Any:  # whatever `callback` returns
        """The result of `callback`, run inside. Raises UsageError when it is async."""
        with self:
            result = callback()
            if inspect.isawaitable(result):
                if inspect.iscoroutine(result):
                    result.close()
                raise UsageError(
                    "transaction_sync() takes a function that is not async: use `await storage.transaction(callback)`"
                )
        return result


class Transaction:
    """What the code of a transaction is given: the storage inside it, and `rollback`.

    `ctx.storage` itself is inside the transaction too.
    """

    __slots__ = ("_calls", "_has_ended", "_is_rolled_back", "_number", "_storage")

    def __init__(self, storage: AsyncStorage, calls: StorageCalls, number: int) -> None:
        self._storage = storage
        self._calls = calls
        self._number = number
        self._is_rolled_back = False
        self._has_ended = False

    def get(self, *arguments: Any, **options: Any) -> Ready[Any]:
        """As `storage.get`."""
        return self._checked("get()").get(*arguments, **options)

    def put(self, *arguments: Any, **options: Any) -> Ready[None]:
        """As `storage.put`."""
        return self._checked("put()").put(*arguments, **options)

    def delete(self, *arguments: Any, **options: Any) -> Ready[Any]:
        """As `storage.delete`."""
        return self._checked("delete()").delete(*arguments, **options)

    def list(self, **options: Any) -> Ready[dict[str, Any]]:
        """As `storage.list`."""
        return self._checked("list()").list(**options)

    def get_alarm(self, **options: Any) -> Ready[datetime | None]:
        """As `storage.get_alarm`."""
        return self._checked("getAlarm()").get_alarm(**options)

    def set_alarm(self, *arguments: Any, **options: Any) -> Ready[None]:
        """As `storage.set_alarm`: undone with the transaction."""
        return self._checked("setAlarm()").set_alarm(*arguments, **options)

    def delete_alarm(self, **options: Any) -> Ready[None]:
        """As `storage.delete_alarm`: undone with the transaction."""
        return self._checked("deleteAlarm()").delete_alarm(**options)

    def delete_all(self, **_options: Any) -> Ready[None]:
        """Raises UsageError: not inside a transaction."""
        raise UsageError("Cannot call deleteAll() within a transaction: call it before, or after")

    def rollback(self) -> None:
        """Undo what was written so far, and end the transaction; its code may go on, outside of it. Twice is once."""
        if not self._is_rolled_back:
            self._checked("rollback()")
            self._calls.roll_back(self._number)
            self._is_rolled_back = True

    def end(self, *, is_well: bool) -> None:
        """Its code has ended."""
        self._has_ended = True
        if self._is_rolled_back:
            return
        if is_well:
            self._calls.release(self._number)
        else:
            self._calls.roll_back(self._number)

    def _checked(self, operation: str) -> AsyncStorage:
        if self._is_rolled_back:
            raise UsageError(f"Cannot {operation} on rolled back transaction")
        if self._has_ended:
            raise UsageError(
                f"Cannot call {operation} on transaction that has already committed: use `txn` inside its own code only"
            )
        return self._storage


class TransactionScope(SyncTransaction):
    """`async with storage.transaction() as txn:`, or `with storage.transaction():` for one that awaits nothing."""

    __slots__ = ("_entered", "_section", "_storage", "_transaction")

    def __init__(self, storage: AsyncStorage, calls: StorageCalls) -> None:
        super().__init__(calls)
        self._storage = storage
        self._entered: AbstractAsyncContextManager[TransactionSection] | None = None
        self._section: TransactionSection | None = None
        self._transaction: Transaction | None = None

    async def __aenter__(self) -> Transaction:
        assert self._entered is None, "a transaction was entered twice: make one for each `async with`"
        entered = self._calls.section()
        self._section = await entered.__aenter__()
        try:
            self._transaction = Transaction(self._storage, self._calls, self._calls.begin(is_sync=False))
        except BaseException:
            await entered.__aexit__(None, None, None)
            raise
        self._entered = entered
        return self._transaction

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._entered is not None, "a transaction was left that had not been entered"
        assert self._section is not None, "it has a section"
        assert self._transaction is not None, "it has begun"
        try:
            if kind is not GeneratorExit:  # Then the object is gone, and nothing may be awaited.
                await self._section.until_innermost()
            self._transaction.end(is_well=kind is None)
        finally:
            await self._entered.__aexit__(None, None, None)
