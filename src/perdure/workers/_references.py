"""References: what one sandbox has lent to the world, and borrowed from it, with numbers and counts (`LentTable`).

Everything that comes in was written by a guest. What it lent is called in events of its own; when its session ends, all
who hold that are told why, and what it held is released. Effects: none (the session delivers).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from perdure.api import Capability, Copies, Parcel, Sent, Stub, Target, kind_of, release, retain
from perdure.errors import PerdureError, UsageError, ValueNotCloneableError, again
from perdure.limits import KEPT_STUBS_DEPTH_MAX
from perdure.web import Request, Response
from perdure.wire import Borrowed, BorrowedTable, LentTable, from_expression

Read = Callable[[object], object]
"""The value of an expression that stands in `env` or `props`."""


class Deliver(Protocol):
    """How a session is asked on behalf of whoever holds something of its."""

    async def ask_lent(
        self, number: int, path: Sequence[str], sent: Sent | None, *, cause: int | None, request: Request | None = None
    ) -> Any: ...  # noqa: ANN401  # whatever it answers

    def returned(self) -> None:
        """There are references to be given back to the guest."""
        ...

    def channel(self, what: object, fields: object, read: Read) -> Target:
        """What a guest's own stub stands for; `read` reads its props. Raises UsageError."""
        ...


class GuestReference(Capability):
    """A function or target that lives in a sandbox. `cause`: the guest's operation that brought it, if one did."""

    __slots__ = ("borrowed", "cause", "references")

    def __init__(self, references: References, borrowed: Borrowed, cause: int | None) -> None:
        super().__init__(borrowed.kind)
        self.references = references
        self.borrowed = borrowed
        self.cause = cause

    def fetch(self, request: Request) -> Awaitable[Response]:
        return self.references.ask(self, (), None, request)

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        return self.references.ask(self, path, Sent.of(arguments))

    def get(self, path: Sequence[str]) -> Awaitable[Any]:
        return self.references.ask(self, path, None)

    def unheld(self) -> None:
        self.references.given_back(self)


class References:
    """The tables of one isolate's life: a fresh isolate begins with fresh ones.

    `after`: those of the life before. Numbers go on, so that a message written for that finds nothing in this.
    """

    def __init__(self, session: Deliver, *, after: References | None = None) -> None:
        self._session = session
        self._lent: LentTable[Target] = LentTable(last=0 if after is None else after.last_number)
        self._borrowed = BorrowedTable()
        self._error: PerdureError | None = None

    @property
    def last_number(self) -> int:
        """The last number that something lent has got."""
        return self._lent.last

    @property
    def is_held(self) -> bool:
        """Whether somebody holds what this guest has lent."""
        return bool(len(self._borrowed))

    def parcel(self, *, cause: int | None = None) -> GuestParcel:
        """For one message to or from the guest."""
        return GuestParcel(self, self._lent, self._borrowed, cause)

    def find(self, number: object) -> Target:
        """What the guest calls by its number. Raises UsageError."""
        return self._lent.find(number)

    def own(self, number: object) -> GuestReference:
        """What the guest itself has lent, and somebody holds. Raises UsageError."""
        return GuestReference(self, self._borrowed.again(number), None)

    def give_back(self, returned: Sequence[tuple[int, int]]) -> None:
        """The guest gives references back. Raises ValueError for what it never had."""
        for number, count in returned:
            gone = self._lent.give_back(number, count)
            if gone is not None:
                release(gone)

    async def ask(
        self, reference: GuestReference, path: Sequence[str], sent: Sent | None, request: Request | None = None
    ) -> Any:  # noqa: ANN401  # whatever the guest answers
        """Call, read or fetch what the guest has lent. Raises what ended the session."""
        try:
            self.check()
            return await self._session.ask_lent(
                reference.borrowed.number, path, sent, cause=reference.cause, request=request
            )
        finally:
            if sent is not None:
                sent.close()

    def lend_again(self, number: int, target: Target) -> None:
        """Lend to a fresh guest what the one before was lent, under the same number."""
        if self._lent.lend_as(number, target):
            retain(target)

    def check(self) -> None:
        """Raise what ended this life of the guest."""
        if self._error is not None:
            raise again(self._error)

    def given_back(self, reference: GuestReference) -> None:
        """Nobody holds a reference any more."""
        if self._borrowed.drop(reference.borrowed) and self._error is None:
            self._session.returned()

    def take_returned(self) -> list[tuple[int, int]]:
        """Numbers and counts of references that go back to the guest with the next turn."""
        return self._borrowed.take_returned()

    def end(self, error: PerdureError) -> None:
        """The guest's memory is gone: release what it held, and tell who calls what it lent."""
        if self._error is None:
            self._error = error
            self._borrowed.clear()
            for target in self._lent.clear():
                release(target)

    def channel(self, what: object, fields: object, *, depth: int = 0) -> Target:
        """What a guest's own stub stands for, in the props of `depth` others. Raises UsageError."""
        return self._session.channel(what, fields, KeptReader(self, depth).read)

    def is_alive(self) -> bool:
        """Whether the isolate is still there."""
        return self._error is None


class KeptReader:
    """Reads `env` and `props` that a guest wrote, for any thread: copies, and services that it can reach itself."""

    __slots__ = ("_depth", "_references")

    def __init__(self, references: References, depth: int = 0) -> None:
        self._references = references
        self._depth = depth

    def read(self, tree: object) -> object:
        """The value. Raises ValueNotCloneableError, UsageError."""
        return from_expression(tree, self)

    def resolve(self, expression: list[object]) -> Stub:
        """The stub for a service: one that the guest was given, or one of its own worker."""
        self._references.check()
        match expression:
            case ["import", number]:
                target = self._references.find(number)
            case ["channel", what, fields]:
                if self._depth >= KEPT_STUBS_DEPTH_MAX:
                    raise UsageError(f"stubs stand in the props of more than {KEPT_STUBS_DEPTH_MAX} others, the limit")
                target = self._references.channel(what, fields, depth=self._depth + 1)
            case _:
                raise ValueNotCloneableError(_ALIVE)
        if isinstance(target, Capability):
            raise ValueNotCloneableError(_ALIVE)
        return Stub(target)


_ALIVE: Final = (
    'could not serialize object of type "RpcStub", it cannot be serialized in this context: env and props take stubs '
    "of objects and entry points, which can be reached again"
)


class GuestParcel(Parcel):
    """What one message to or from a guest takes along."""

    __slots__ = ("_borrowed", "_cause", "_fresh", "_lent_table", "_numbers", "_references")

    def __init__(
        self, references: References, lent: LentTable[Target], borrowed: BorrowedTable, cause: int | None
    ) -> None:
        super().__init__()
        self._references = references
        self._lent_table = lent
        self._borrowed = borrowed
        self._cause = cause
        self._numbers: list[int] = []  # of what is lent; 0 for the guest's own
        self._fresh: list[Target] = []

    # ── to the guest ────────────────────────────────────────────────────────────────────────────────────────

    def tag(self, target: Target) -> list[object]:
        self._references.check()
        if isinstance(target, GuestReference) and target.references is self._references:
            self._numbers.append(0)
            return ["import", target.borrowed.number]
        number, is_new = self._lent_table.lend(target)
        if is_new:
            self._fresh.append(target)
        self._numbers.append(number)
        return ["export", number, kind_of(target)]

    def rewind(self, mark: int) -> None:
        super().rewind(mark)
        for number in self._numbers[mark:]:
            if number:
                gone = self._lent_table.give_back(number, 1)
                if gone is not None:
                    self._fresh.remove(gone)
        del self._numbers[mark:]

    def seal(self) -> None:
        """The message is written: the guest holds what it takes along."""
        for target in self._fresh:
            retain(target)
        self._fresh.clear()

    def take_back(self) -> None:
        """The message did not reach the guest."""
        if self._references.is_alive():
            self.seal()
            self._references.give_back([(number, 1) for number in self._numbers if number])
        self._numbers.clear()

    def move_to(self, references: References) -> None:
        """The guest has lost its memory, and its successor is sent the same message."""
        for number, target in zip(self._numbers, self.lent, strict=True):
            if number:
                references.lend_again(number, target)

    # ── from the guest ──────────────────────────────────────────────────────────────────────────────────────

    def target(self, expression: list[object]) -> Target:
        self._references.check()
        match expression:
            case ["export", number, kind]:
                return GuestReference(self._references, self._borrowed.receive(number, kind), self._cause)
            case ["import", number]:
                return self._references.find(number)
            case ["channel", what, fields]:
                return self._references.channel(what, fields)
            case _:
                raise ValueError("it has another shape")

    def read(self, trees: Sequence[object]) -> list[object]:
        """The values of expressions that a guest sent. What was read of a message that is malformed is given back."""
        try:
            return [from_expression(tree, self) for tree in trees]
        except BaseException:
            self.close_received()
            raise
