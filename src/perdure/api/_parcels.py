"""Parcels: what a message takes along by reference, while its copies travel as expressions.

Between trusted objects a message is written and read in one process; a session with a sandbox extends Parcel with
numbers of its own. Effects: none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Self

from perdure.api._capabilities import Disposable, Handle, kind_of, lent_by, local_capability, release, retain
from perdure.api._rpc import RpcTarget, is_function
from perdure.api._stubs import RpcStub, Stub, stub_for
from perdure.api._targets import Copies
from perdure.errors import ValueNotCloneableError
from perdure.wire import Introducer, from_expression, to_expression

if TYPE_CHECKING:
    from perdure.api._targets import Target

_ATOMS: Final = frozenset({str, int, float, bool, type(None), bytes})


class Parcel(Introducer):
    """What one message takes along by reference, for its writer and its reader."""

    __slots__ = ("_handles", "_own", "lent", "received")

    def __init__(self) -> None:
        self.lent: list[Target] = []
        self.received: list[Stub] = []
        self._handles: list[Disposable] = []  # that were written
        self._own: dict[int, Target] = {}

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────

    def introduce(self, value: object) -> list[object] | None:
        target = self._lent_by(value)
        if target is None:
            return None
        for owner in (type(value), target):  # What stays with its owner, whether the handle or what it points at does.
            reason = getattr(owner, "cannot_be_serialized", None)
            if isinstance(reason, str):
                raise ValueNotCloneableError(reason)
        tag = self.tag(target)
        self.lent.append(target)
        return tag

    def _lent_by(self, value: object) -> Target | None:
        if isinstance(value, Handle):
            if isinstance(value, Disposable):
                self._handles.append(value)
            return lent_by(value)
        if not isinstance(value, RpcTarget) and not is_function(value):
            return None
        own = self._own.get(id(value))
        if own is None:
            duplicate = getattr(value, "dup", None)
            own = self._own[id(value)] = local_capability(duplicate() if callable(duplicate) else value)
        return own

    def tag(self, target: Target) -> list[object]:
        """The expression for what is lent."""
        return ["export", len(self.lent) + 1, kind_of(target)]

    def mark(self) -> int:
        return len(self.lent)

    def rewind(self, mark: int) -> None:
        del self.lent[mark:]

    def seal(self) -> None:
        """The message is written: it holds what it takes along, until it is closed."""
        for target in self.lent:
            retain(target)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────

    def resolve(self, expression: list[object]) -> object:
        return self.keep(self.target(expression))

    def keep(self, target: Target) -> Stub:
        """A stub for what was read, which is closed with the others."""
        stub = stub_for(target)
        self.received.append(stub)
        return stub

    def target(self, expression: list[object]) -> Target:
        """What an expression stands for."""
        number = expression[1]
        assert isinstance(number, int), "this message was written by `tag`"
        return self.lent[number - 1]

    def let_go(self) -> None:
        """The message was read, or never will be: it holds nothing any more."""
        lent, self.lent = self.lent, []
        for target in lent:
            release(target)

    def close_handles(self) -> None:
        """The stubs that were written pass to whoever reads them: a result belongs to the caller."""
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.close()

    def close_received(self) -> None:
        """Close the stubs that were read from it."""
        received, self.received = self.received, []
        for stub in received:
            if isinstance(stub, RpcStub):
                stub.close()


class Sent(Copies):
    """The arguments of one call on their way: copied when it was made. Whoever serves the call closes them.

    Use it as a context manager around the call: then the stubs among them are closed, whatever happens.
    """

    __slots__ = ("_parcel", "_trees", "_values")

    def __init__(
        self,
        *,
        values: Sequence[object] | None = None,
        trees: Sequence[object] | None = None,
        parcel: Parcel | None = None,
    ) -> None:
        self._values = values
        self._trees = trees
        self._parcel = parcel

    @classmethod
    def of(cls, arguments: Sequence[object] | Copies) -> Sent:
        """Copies of `arguments`, unless these are that already. Raises ValueNotCloneableError."""
        if isinstance(arguments, Sent):
            return arguments
        assert not isinstance(arguments, Copies), "there is one kind of them"
        for argument in arguments:
            if type(argument) not in _ATOMS:
                break
        else:
            return cls(values=arguments)
        try:  # Most calls take nothing along by reference.
            return cls(trees=[to_expression(argument) for argument in arguments])
        except ValueNotCloneableError:
            parcel = Parcel()
            trees = [to_expression(argument, parcel) for argument in arguments]
            parcel.seal()
            return cls(trees=trees, parcel=parcel)

    @property
    def has_references(self) -> bool:
        """Whether something among them is passed by reference."""
        return self._parcel is not None and bool(self._parcel.lent or self._parcel.received)

    @property
    def is_written(self) -> bool:
        """Whether there are expressions already."""
        return self._trees is not None

    @property
    def count(self) -> int:
        """How many arguments there are."""
        items = self._trees if self._values is None else self._values
        return 0 if items is None else len(items)

    def values(self) -> Sequence[object]:
        """The arguments, for code in this process."""
        if self._values is None:
            assert self._trees is not None, "it has values or trees"
            self._values = [from_expression(tree, self._parcel) for tree in self._trees]
        return self._values

    def trees(self, introducer: Introducer | None = None) -> Sequence[object]:
        """The arguments as expressions, for code behind the wall that `introducer` knows."""
        if self._trees is not None and not self.has_references:
            return self._trees
        return [to_expression(value, introducer) for value in self.values()]

    def close(self) -> None:
        """The call is over."""
        parcel, self._parcel = self._parcel, None
        if parcel is not None:
            parcel.close_received()
            parcel.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def copied(value: object) -> object:
    """What a call returns, as its caller gets it: a copy, with stubs that belong to the caller."""
    return value if type(value) in _ATOMS else Returned(value).take()


def is_atom(value: object) -> bool:
    """Whether a value is its own copy."""
    return type(value) in _ATOMS


class Returned:
    """What a call returned, on its way: written by who was called, read by who called."""

    __slots__ = ("_parcel", "_tree")

    def __init__(self, value: object) -> None:
        self._parcel: Parcel | None = None
        try:
            self._tree = to_expression(value)
        except ValueNotCloneableError:
            parcel = Parcel()
            self._tree = to_expression(value, parcel)
            self._parcel = parcel
            parcel.seal()
            parcel.close_handles()

    def take(self) -> object:
        """The value; its stubs belong to who called."""
        parcel, self._parcel = self._parcel, None
        if parcel is None:
            return from_expression(self._tree)
        try:
            return from_expression(self._tree, parcel)
        finally:
            parcel.let_go()
