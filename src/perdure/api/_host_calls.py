"""HostCalls: the ports through which user code reaches everything outside itself.

Trusted code gets them as method calls in the same process, a guest as one WebAssembly import; the classes that users
touch are written once, over these. Storage is synchronous; whatever leaves the object is awaited.
Effects: none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from perdure.api._object_id import ObjectId
    from perdure.api._supervision import Budget, FacetEvent, FacetUsage
    from perdure.api._targets import Target
    from perdure.wire import Channels, KvRange, SqlPage, SqlValue

T = TypeVar("T")

StartFacet = Callable[[], object | Awaitable[object]]
"""Called whenever the facet is cold; returns FacetOptions, `{"class": …}`, or the class handle itself."""


class TransactionSection(Protocol):
    """The critical section that a transaction runs in."""

    async def until_innermost(self) -> None:
        """Until no other one is open inside it."""
        ...


class StorageCalls(Protocol):
    """One object's database. Values of kv are expressions (`perdure.wire.encode`)."""

    @property
    def channels(self) -> Channels | None:
        """Writes and reads the stubs that may be stored, if any may."""
        ...

    def kv_get(self, key: str) -> str | None: ...
    def kv_put(self, key: str, value: str) -> None: ...
    def kv_delete(self, key: str) -> bool: ...
    def kv_get_many(self, keys: Sequence[str]) -> tuple[list[tuple[str, str]], Sequence[str]]:
        """The entries of some of these keys, sorted by key, and the keys still to be asked for."""
        ...

    def kv_write(self, puts: Sequence[tuple[str, str]], deletes: Sequence[str], *, is_confirmed: bool) -> int:
        """Store and forget, all or none; how many of `deletes` were there. Unless `is_confirmed`, no reply waits."""
        ...

    def kv_list(self, wanted: KvRange) -> list[tuple[str, str]]:
        """At most `KV_LIST_PAGE_ROWS` entries, or `wanted.limit` if that is less."""
        ...

    def sql_exec(self, query: str, bindings: Sequence[SqlValue]) -> SqlPage: ...
    def sql_next(self, cursor_id: int) -> SqlPage: ...
    def sql_close(self, cursor_id: int) -> None: ...
    def database_size(self) -> int:
        """Bytes in use: (page_count - freelist_count) * page_size."""
        ...

    def begin(self, *, is_sync: bool) -> int:
        """Open a transaction inside the unit, or inside another one; its number. `is_sync`: it ends in this turn."""
        ...

    def release(self, number: int) -> None:
        """The transaction ended well."""
        ...

    def roll_back(self, number: int) -> None:
        """Undo what the transaction wrote, and end it."""
        ...

    def section(self) -> AbstractAsyncContextManager[TransactionSection]:
        """A critical section for a transaction that may last: what fails inside it does not reset the object."""
        ...

    def delete_all(self, *, keeps_alarm: bool) -> None: ...
    def sync(self) -> Awaitable[None]:
        """Until everything that was written before the call is durable."""
        ...

    def bookmark(self, act: str, argument: str | int | None) -> Awaitable[str]:
        """`current`; `at` a time in milliseconds; `restore` at the next start, which gives the bookmark before it."""
        ...

    def alarm_get(self) -> int | None: ...
    def alarm_set(self, at_ms: int | None, *, is_confirmed: bool) -> None:
        """None deletes it. Raises AlarmError, FacetError."""
        ...

    def now_ms(self) -> int:
        """Wall time."""
        ...


class NamespaceCalls(Protocol):
    """The ids of one class's objects, and the way to these objects. Who knows the class's key makes the ids."""

    def id_from_name(self, name: str, jurisdiction: str | None) -> ObjectId: ...
    def id_from_text(self, text: str) -> ObjectId:
        """The id that was printed, in whatever jurisdiction. Raises ObjectIdError."""
        ...

    def unique_id(self, jurisdiction: str | None) -> ObjectId: ...
    def target(self, identity: ObjectId) -> Target:
        """The object with this id, which must be one that this namespace made."""
        ...


class FacetCalls(Protocol):
    """The facets of one object."""

    def start_by_name(self, name: str) -> StartFacet:
        """The start callback of the object's class for facet `name`: `start_facet`. Raises FacetError."""
        ...

    def get(self, name: str, start: StartFacet) -> Target:
        """Never starts anything: the facet starts with the target's first use."""
        ...

    def abort(self, name: str, reason: str) -> None: ...
    def delete(self, name: str) -> None: ...
    def clone(self, source: str, target: str) -> Awaitable[None]: ...
    def list(self, start_after: str, limit: int) -> list[str]:
        """A page of names in their order."""
        ...

    def rewind(self, name: str, to: str | int) -> Awaitable[str]: ...
    def usage(self, name: str | None) -> Awaitable[FacetUsage]: ...
    def set_budget(self, name: str, budget: Budget | None) -> None: ...
    def events(self) -> AsyncIterator[FacetEvent]: ...


class ContextCalls(Protocol):
    """What an object may ask about its own life."""

    def wait_until(self, work: Awaitable[object]) -> None: ...
    async def block_concurrency_while(self, callback: Callable[[], Awaitable[T]]) -> T: ...
    def abort(self, reason: str, *, retry_alarm: bool) -> NoReturn: ...
