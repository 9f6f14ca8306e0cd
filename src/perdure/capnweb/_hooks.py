"""Hooks: what a call can be made on, here or at the peer's, whether it is there already or still to come.

A hook is owned by exactly one holder, who disposes of it; `dup` makes one more. `call` and `get` never wait and never
raise: what fails is told by the hook that they return. Effects: tasks, threads, log.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final

from perdure.capnweb._payload import Payload
from perdure.capnweb._references import Path
from perdure.errors import UsageError, again

_LOG: Final = logging.getLogger("perdure.capnweb")


class MapBudget:
    """How many steps are left to a `map()` with all that it maps inside."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class Hook(ABC):
    """A capability or a value."""

    __slots__ = ()

    @abstractmethod
    def call(self, path: Path, arguments: Payload) -> Hook:
        """Call what `path` leads to; `arguments` are the callee's now."""

    @abstractmethod
    def get(self, path: Path) -> Hook:
        """What `path` leads to, as a promise."""

    @abstractmethod
    def map(self, path: Path, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget) -> Hook:
        """Apply a recorded function to what `path` leads to, element by element; `captures` are its own now."""

    @abstractmethod
    def dup(self) -> Hook:
        """One more."""

    @abstractmethod
    async def pull(self) -> Payload:
        """The value, of which the receiver owns the payload. Raises what it was rejected with."""

    @abstractmethod
    def dispose(self) -> None:
        """It is not needed any more. Doing it twice is nothing."""


class FailedHook(Hook):
    """What came to nothing."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def call(self, path: Path, arguments: Payload) -> Hook:
        arguments.dispose()
        return self

    def get(self, path: Path) -> Hook:
        return self

    def map(self, path: Path, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget) -> Hook:
        for each in captures:
            each.dispose()
        return self

    def dup(self) -> Hook:
        return self

    async def pull(self) -> Payload:
        raise again(self.error)

    def dispose(self) -> None:
        return


class PendingHook(Hook):
    """What is still being made: what is called on it happens as soon as it is there, in the order of the calls."""

    __slots__ = ("_box", "_is_disposed")

    def __init__(self, box: Box) -> None:
        self._box = box
        box.holders += 1
        self._is_disposed = False

    @classmethod
    def new(cls) -> PendingHook:
        """A hook for what is yet to be put into its box."""
        return cls(Box())

    @property
    def box(self) -> Box:
        """Where what it stands for is put."""
        return self._box

    def call(self, path: Path, arguments: Payload) -> Hook:
        return self._box.then(lambda hook: hook.call(path, arguments))

    def get(self, path: Path) -> Hook:
        return self._box.then(lambda hook: hook.get(path))

    def map(self, path: Path, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget) -> Hook:
        return self._box.then(lambda hook: hook.map(path, captures, instructions, budget))

    def dup(self) -> Hook:
        return (
            FailedHook(UsageError("RPC promise used after being disposed"))
            if self._is_disposed
            else PendingHook(self._box)
        )

    async def pull(self) -> Payload:
        own = PendingHook(self._box)  # It stays while we wait.
        try:
            return await (await self._box.wait()).pull()
        finally:
            own.dispose()

    def dispose(self) -> None:
        if not self._is_disposed:
            self._is_disposed = True
            self._box.leave()


class Box:
    """A hook to come, shared by the pending hooks that stand for it."""

    __slots__ = ("_hook", "_uses", "holders")

    def __init__(self) -> None:
        self.holders = 0
        self._hook: Hook | None = None
        self._uses: list[Callable[[Hook], None]] = []

    def put(self, hook: Hook) -> None:
        """It is there; it is the box's now. What was waiting goes first, so that nothing overtakes."""
        assert self._hook is None, "a promise was kept twice"
        self._hook = hook
        uses, self._uses = self._uses, []
        # One after the other: a chain of promises, however long, must not nest.
        _act(lambda: _use_all(uses, hook))
        if self.holders == 0:
            _act(hook.dispose)

    @property
    def hook_or_none(self) -> Hook | None:
        """The hook, if it is there already."""
        return self._hook

    def then(self, use: Callable[[Hook], Hook]) -> Hook:
        """What `use` makes of the hook, now or once it is there."""
        if self._hook is not None:
            return use(self._hook)
        later = Box()
        self._uses.append(lambda hook: later.put(use(hook)))
        return PendingHook(later)

    def when_there(self, act: Callable[[], None]) -> None:
        """Do something as soon as the hook is there, or now."""
        if self._hook is not None:
            act()
        else:
            self._uses.append(lambda _: act())

    async def wait(self) -> Hook:
        """The hook, which stays the box's."""
        if self._hook is None:
            there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._uses.append(lambda _: None if there.done() else there.set_result(None))
            await there
        assert self._hook is not None, "it was just put there"
        return self._hook

    def leave(self) -> None:
        """One holder fewer. A call that has begun is not taken back: what it gives is for nobody then."""
        self.holders -= 1
        if self.holders == 0 and self._hook is not None:
            _act(self._hook.dispose)


def _use_all(uses: list[Callable[[Hook], None]], hook: Hook) -> None:
    for use in uses:
        use(hook)


class _Acts(threading.local):
    """What is being done, and what follows from it; each thread may have an event loop."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()


_ACTS: Final = _Acts()


def _act(act: Callable[[], None]) -> None:
    """Do something now, or after what is being done: acts that follow from each other make no deeper stack."""
    waiting = _ACTS.waiting
    waiting.append(act)
    if len(waiting) > 1:
        return
    while waiting:
        try:
            waiting[0]()
        except Exception:  # noqa: BLE001  # one promise that cannot be kept must not keep the others
            _LOG.exception("a promise could not be kept, or not be disposed of")
        finally:
            waiting.popleft()
