"""What this sandbox has lent to the world and borrowed from it: the guest's half of the tables.

A stateless event is a scope: what came to it is disposed of when it has ended, and what it lent is lent no more.
Effects: host calls, tasks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final

from perdure.api import (
    Capability,
    Copies,
    Handle,
    LocalCapability,
    Parcel,
    Sent,
    Stub,
    Target,
    dispose_of,
    kind_of,
    lent_by,
    release,
    retain,
)
from perdure.errors import GuestError, UsageError, ValueNotCloneableError
from perdure.guest._operations import Answer, Operations, answer_to_response
from perdure.web import Request, Response
from perdure.wire import (
    Borrowed,
    BorrowedTable,
    LentTable,
    ReferenceMetError,
    from_expression,
    request_to_wire,
    to_expression,
)


class Scope:
    """One event of a stateless entry point, and all that belongs to it."""

    def __init__(self) -> None:
        self._open = 1
        self.is_ended = False
        self._borrowed: list[HostReference] = []

    def hold(self) -> None:
        """Something goes on: background work, or a holder of what the event returned."""
        self._open += 1

    def release(self, _: object = None) -> None:
        """It has ended; with the last, the scope does."""
        self._open -= 1
        if self._open == 0:
            self.is_ended = True
            for reference in self._borrowed:
                reference.end()
            self._borrowed.clear()

    def own(self, reference: HostReference) -> None:
        """What came to this event goes with it."""
        self._borrowed.append(reference)


SCOPE: Final[ContextVar[Scope | None]] = ContextVar("perdure_scope", default=None)


class Own(LocalCapability):
    """A function or target of this guest. One and the same for as long as it is lent."""

    __slots__ = ("_forget", "_is_result", "scope")

    def __init__(self, value: object, forget: Callable[[Own], None]) -> None:
        super().__init__(value)
        self._forget = forget
        self.scope = SCOPE.get()
        self._is_result = False

    def returned(self) -> None:
        """Whoever called holds it: the event that returned it goes on until that ends."""
        if self.scope is not None and not self._is_result:
            self._is_result = True
            self.scope.hold()

    def check(self) -> None:
        """Raise GuestError when the event that lent it is over."""
        if self.scope is not None and self.scope.is_ended:
            raise GuestError("The execution context which hosts this callback is no longer running.")

    def unheld(self) -> None:
        self._forget(self)
        if self._is_result and self.scope is not None:
            self._is_result = False
            self.scope.release()


class HostReference(Capability):
    """A function, target or service of somebody else's, through the host."""

    __slots__ = ("_borrowed", "_is_ended", "_references", "scope")

    def __init__(self, references: GuestReferences, borrowed: Borrowed) -> None:
        super().__init__(borrowed.kind)
        self._references = references
        self._borrowed = borrowed
        self._is_ended = False
        self.scope = SCOPE.get()
        if self.scope is not None:
            self.scope.own(self)

    def fetch(self, request: Request) -> Awaitable[Response]:
        streams = self._references.operations.streams
        return answer_to_response(self._ask("rpc.fetch", {"r": request_to_wire(request, streams.lend)}, None), streams)

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Answer:
        trees = self._references.write_arguments(arguments)
        return self._ask("rpc.call", {"path": list(path), "a": trees}, self._references.read)

    def get(self, path: Sequence[str]) -> Answer:
        return self._ask("rpc.get", {"path": list(path)}, self._references.read)

    @property
    def number(self) -> int:
        """The host's number for it."""
        self.check()
        return self._borrowed.number

    def check(self) -> None:
        """Raise GuestError unless it may be used here."""
        if self._is_ended or (self.scope is not None and SCOPE.get() is not self.scope):
            raise GuestError(
                "Cannot perform I/O on behalf of a different request. I/O objects (such as streams, request/response "
                "bodies, and others) created in the context of one request handler cannot be accessed from a different "
                "request's handler. (I/O type: RpcStub)"
            )

    def _ask(self, kind: str, payload: dict[str, object], read: Callable[[Any], object] | None) -> Answer:
        return self._references.operations.start(kind, {"n": self.number, **payload}, read)

    def end(self) -> None:
        """Its event is over."""
        if not self._is_ended:
            self._is_ended = True
            self._references.borrowed.drop(self._borrowed)

    def unheld(self) -> None:
        self.end()


class HostService:
    """A fetcher of somebody else's: it is nobody's to dispose of, and goes when nobody here holds it any more."""

    def __init__(self, reference: HostReference) -> None:
        self.reference = reference
        self.fetch = reference.fetch
        self.call = reference.call
        self.get = reference.get

    def __del__(self) -> None:
        self.reference.end()


class GuestReferences:
    """Both tables of this guest."""

    def __init__(self, operations: Operations, *, in_background: Callable[[Awaitable[object]], None]) -> None:
        self.operations = operations
        self.lent: LentTable[Target] = LentTable()
        self.borrowed = BorrowedTable()
        self._in_background = in_background
        self._own: dict[int, Own] = {}
        self.channel: Callable[[object, dict[str, object]], Target] | None = None
        """Makes the target of a stub of this worker's own that was stored."""

    def own(self, value: object) -> Own:
        """The capability of a function or target of this guest."""
        known = self._own.get(id(value))
        if known is None or known.value is not value or (known.scope is not None and known.scope.is_ended):
            known = self._own[id(value)] = Own(value, self._forget)
        return known

    def _forget(self, own: Own) -> None:
        if self._own.get(id(own.value)) is own:
            del self._own[id(own.value)]
        dispose = own.disposer_or_none
        if dispose is not None:
            self._in_background(dispose_of(dispose))

    def give_back(self, returned: Sequence[tuple[int, int]]) -> None:
        """The host gives references back."""
        for number, count in returned:
            gone = self.lent.give_back(number, count)
            if gone is not None:
                release(gone)

    def find(self, number: object) -> Own:
        """What is called by its number. Raises UsageError, GuestError."""
        own = self.lent.find(number)
        if not isinstance(own, Own):
            raise UsageError("what this guest only passed on is not called here")
        own.check()
        return own

    # ── messages ────────────────────────────────────────────────────────────────────────────────────────────

    def write_arguments(self, arguments: Sequence[object] | Copies) -> Sequence[object]:
        """Arguments of a call that this guest makes, as expressions. Raises ValueNotCloneableError."""
        if isinstance(arguments, Sent) and not arguments.has_references:
            return arguments.trees()
        parcel = GuestParcel(self)
        try:
            if isinstance(arguments, Sent):
                trees = arguments.trees(parcel)
            else:
                assert not isinstance(arguments, Copies), "there is one kind of them"
                trees = [to_expression(argument, parcel) for argument in arguments]
        except BaseException:
            parcel.rewind(0)
            raise
        parcel.seal()
        return trees

    def write_result(self, value: object) -> object:
        """What an event returned. Its stubs pass to the caller."""
        try:
            return to_expression(value)
        except ValueNotCloneableError:
            parcel = GuestParcel(self)
            try:
                tree = to_expression(value, parcel)
            except BaseException:
                parcel.rewind(0)
                raise
            parcel.seal()
            parcel.pass_on()
            return tree

    def write_kept(self, value: object) -> tuple[object, list[HostService]]:
        """`env` or `props`, or code: the expression, and what must be held for as long as it may be sent."""
        services = _KeptServices()
        return to_expression(value, services), services.held

    def read(self, tree: object) -> object:
        """What the host answers. Its stubs belong to whoever asked."""
        try:
            return from_expression(tree)
        except ReferenceMetError:
            return from_expression(tree, GuestParcel(self))

    def read_arguments(self, trees: Sequence[object]) -> tuple[Sequence[object], GuestParcel | None]:
        """Arguments of an event, and what is to be closed when it is over."""
        try:
            return [from_expression(tree) for tree in trees], None
        except ReferenceMetError:
            parcel = GuestParcel(self)
            return [from_expression(tree, parcel) for tree in trees], parcel


class GuestParcel(Parcel):
    """What one message of this guest's takes along."""

    __slots__ = ("_fresh", "_numbers", "_references")

    def __init__(self, references: GuestReferences) -> None:
        super().__init__()
        self._references = references
        self._numbers: list[int] = []  # of what is lent; 0 for what is not this guest's
        self._fresh: list[Target] = []

    def tag(self, target: Target) -> list[object]:
        channel = getattr(target, "channel", None)
        if channel is not None:
            self._numbers.append(0)
            return ["channel", *channel]
        reference = target.reference if isinstance(target, HostService) else target
        if isinstance(reference, HostReference):
            self._numbers.append(0)
            return ["import", reference.number]
        number, is_new = self._references.lent.lend(target)
        if is_new:
            self._fresh.append(target)
        self._numbers.append(number)
        return ["export", number, kind_of(target)]

    def rewind(self, mark: int) -> None:
        super().rewind(mark)
        for number in self._numbers[mark:]:
            gone = self._references.lent.give_back(number, 1) if number else None
            if gone is not None:
                self._fresh.remove(gone)
        del self._numbers[mark:]

    def seal(self) -> None:
        for target in self._fresh:
            retain(target)

    def pass_on(self) -> None:
        """The message is a result: what it takes along is the caller's, and keeps the event that returned it."""
        for target in self.lent:
            if isinstance(target, Own):
                target.returned()
        self.close_handles()

    def resolve(self, expression: list[object]) -> object:
        target = self.target(expression)
        if isinstance(target, HostReference) and target.kind == "service":
            return Stub(HostService(target))
        return self.keep(target)

    def target(self, expression: list[object]) -> Target:
        references = self._references
        match expression:
            case ["export", number, kind]:
                return HostReference(references, references.borrowed.receive(number, kind))
            case ["import", number]:
                return references.lent.find(number)
            case ["channel", what, dict() as fields] if references.channel is not None:
                return references.channel(what, fields)
            case _:
                raise ValueError("it has another shape")


class _KeptServices:
    """Writes the stubs that `env` and `props` may take along: those of objects and entry points, whosever these are."""

    def __init__(self) -> None:
        self.held: list[HostService] = []

    def introduce(self, value: object) -> list[object] | None:
        target = lent_by(value) if isinstance(value, Handle) else None
        if isinstance(target, HostService):
            self.held.append(target)
            return ["import", target.reference.number]
        channel = getattr(target, "channel", None)
        if channel is None:
            return None
        self.held.extend(getattr(target, "held", ()))
        return ["channel", *channel]

    def mark(self) -> int:
        return 0

    def rewind(self, mark: int) -> None:
        """What is held is held: there is nothing to take back."""


class StoredChannels:
    """Writes and reads the stubs that may be stored: those of this worker's own objects and entry points.

    What has stubs in its props may not: their numbers mean nothing to the next life of this guest.
    """

    def __init__(self, references: GuestReferences) -> None:
        self._references = references

    def introduce(self, value: object) -> list[object] | None:
        target = lent_by(value) if isinstance(value, Handle) else None
        channel = getattr(target, "channel", None)
        if channel is not None and getattr(target, "held", False):
            raise ValueNotCloneableError(
                'could not serialize object of type "Fetcher", it cannot be serialized in this context: stubs stand in '
                "its props"
            )
        return None if channel is None else ["channel", *channel]

    def mark(self) -> int:
        return 0

    def rewind(self, mark: int) -> None:
        """There is nothing to take back."""

    def resolve(self, expression: list[object]) -> object:
        match expression:
            case ["channel", what, dict() as fields] if self._references.channel is not None:
                return Stub(self._references.channel(what, fields))
            case _:
                raise ValueError("it is no stub that was stored")
