"""`ctx`: what an object knows about itself and may ask of the platform. Effects: none (it asks its ports)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from perdure.api._facets import Facets
from perdure.api._object_id import ObjectId
from perdure.api._storage import Storage

if TYPE_CHECKING:
    from perdure.api._host_calls import ContextCalls, FacetCalls, StorageCalls

T = TypeVar("T")


class Context:
    """Given to the constructor of every DurableObject as `ctx`."""

    __slots__ = ("_calls", "exports", "facets", "id", "props", "storage")

    def __init__(
        self,
        *,
        id: ObjectId,  # noqa: A002  # the reference's name
        props: Any,
        exports: Any,
        storage: StorageCalls,
        facets: FacetCalls,
        calls: ContextCalls,
    ) -> None:
        self.id = id
        self.props = props
        self.exports = exports
        self.storage = Storage(storage)
        self.facets = Facets(facets)
        self._calls = calls

    def wait_until(self, work: Awaitable[object]) -> None:
        """Keep the object awake until `work` is done; its failure is logged, not raised."""
        self._calls.wait_until(work)

    async def block_concurrency_while(self, callback: Callable[[], Awaitable[T]]) -> T:
        """Run `callback` while no other event is delivered. If it raises, or takes 30 s, the object is reset."""
        return await self._calls.block_concurrency_while(callback)

    def abort(
        self, reason: str = "Application called abort() to reset Durable Object", *, retry_alarm: bool = True
    ) -> NoReturn:
        """Reset this object at once: what the turn wrote is dropped, calls under way fail with `reason`.

        An alarm whose handler runs is tried again unless `retry_alarm` is false; one set meanwhile stays in any case.
        """
        self._calls.abort(str(reason), retry_alarm=retry_alarm)


class WorkerContext:
    """Given as `ctx` to stateless entry points."""

    __slots__ = ("_wait_until", "exports", "props")

    def __init__(self, *, props: Any, exports: Any, wait_until: Callable[[Awaitable[object]], None]) -> None:
        self.props = props
        self.exports = exports
        self._wait_until = wait_until

    def wait_until(self, work: Awaitable[object]) -> None:
        """Let `work` go on after the answer has been sent."""
        self._wait_until(work)
