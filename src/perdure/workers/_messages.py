"""What goes to and fro between a session's guest and everybody else: values read and written, references counted.

Everything that comes from the guest is parsed as hostile. Copies that take long are made beside the event loop; what is
passed by reference is read and written on it, where the tables are. Effects: timers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from perdure.api import KeptValue, Parcel, Sent, Target, call_value, close_stubs, follow, get_value, release, retain
from perdure.errors import GuestCrashedError, PerdureError, UsageError, ValueNotCloneableError, again
from perdure.isolates import CallHistory, Runner
from perdure.limits import CALL_ARGUMENTS_MAX, GUEST_RETURNS_S
from perdure.web import Request
from perdure.wire import (
    ReferenceMetError,
    from_expression,
    is_large,
    to_expression,
)
from perdure.workers._references import GuestParcel, KeptReader, Read, References
from perdure.workers._reports import Operation
from perdure.workers._streams import SessionStreams

T = TypeVar("T")
V = TypeVar("V")
_CALLED: Final = "rpc"


@dataclass(frozen=True, slots=True)
class Received:
    """A result that was read as soon as it came."""

    value: object
    error: PerdureError | None


class Channels(Protocol):
    """What the owner of a session does for its messages."""

    async def serve(self, event: str, deliver: Callable[[object], Awaitable[T]]) -> T:
        """Deliver an event that somebody else's code caused, with whose account pays for it."""
        ...

    def channel(self, what: object, fields: object, read: Read) -> Target:
        """What a stub of the guest's own worker points at; `read` reads its props. Raises UsageError."""
        ...


class Events(Protocol):
    """The session, as its messages see it."""

    @property
    def streams(self) -> SessionStreams: ...

    async def event(
        self,
        fields: Mapping[str, object],
        *,
        payer: object = None,
        inside: bool = False,
        parcel: GuestParcel | None = None,
        is_call: bool = False,
    ) -> object: ...
    def is_performing(self, operation_id: int) -> bool: ...
    def resume_soon(self) -> None: ...


class Messages:
    """The messages of one session."""

    def __init__(self, session: Events, hooks: Channels, runner: Runner) -> None:
        self._session = session
        self._hooks = hooks
        self._runner = runner
        self._returning: asyncio.TimerHandle | None = None
        self.references = References(self)

    @property
    def streams(self) -> SessionStreams:
        """Those that messages take along."""
        return self._session.streams

    # ── to the guest ────────────────────────────────────────────────────────────────────────────────────────

    async def call(
        self,
        fields: dict[str, object],
        path: Sequence[str],
        sent: Sent | None,
        *,
        payer: object = None,
        inside: bool = False,
        parcel: GuestParcel | None = None,
    ) -> Any:  # noqa: ANN401  # what the guest answers
        """Call what stands at `path`, or read it when `sent` is None: an event with these fields.

        `parcel`: what the fields take along. Stubs in the result belong to whoever asked.
        """
        if sent is None or len(path) != 1 or fields["k"] == _CALLED:
            fields["path"] = path
        else:
            fields["m"] = path[0]
        if sent is not None and sent.has_references:
            parcel = parcel or self.references.parcel()
        if sent is not None:
            try:
                fields["a"] = await self._written(sent, parcel)
            except BaseException:
                if parcel is not None:
                    parcel.take_back()
                raise
        return await self.read(
            await self._session.event(fields, payer=payer, inside=inside, parcel=parcel, is_call=True)
        )

    async def _written(self, sent: Sent, parcel: GuestParcel | None) -> Sequence[object]:
        if parcel is not None and sent.has_references:
            trees = sent.trees(parcel)
            parcel.seal()
            return trees
        return sent.trees() if sent.is_written else await self.convert(_write_all, sent.values())

    def introduced(self, kept: Mapping[str, KeptValue]) -> Mapping[str, object]:
        """Fields for a guest that keeps what is in them. Raises OverloadedError."""
        parcel = self.references.parcel()
        return {name: self._kept(value, parcel) for name, value in kept.items()}

    def packed(self, name: str, kept: KeptValue) -> tuple[dict[str, object], GuestParcel | None]:
        """A field of one event, and what it takes along."""
        if not kept.services:
            return {name: kept.tree}, None
        parcel = self.references.parcel()
        return {name: self._kept(kept, parcel)}, parcel

    def _kept(self, kept: KeptValue, parcel: GuestParcel) -> object:
        try:
            tree = kept.written(parcel)
        except BaseException:
            parcel.take_back()
            raise
        parcel.seal()
        return tree

    async def ask_lent(
        self, number: int, path: Sequence[str], sent: Sent | None, *, cause: int | None, request: Request | None = None
    ) -> Any:  # noqa: ANN401  # what the guest answers
        """Call, read or fetch what the guest has lent. `cause`: the operation that brought it."""
        fields: dict[str, object] = {"k": _CALLED, "n": number}
        if sent is not None:
            check_arguments(".".join(path), sent.count)
        inside = cause is not None and self._session.is_performing(cause)
        if inside:
            fields["o"] = cause
        if request is not None:
            return await self._hooks.serve(
                "fetch", lambda payer: self.streams.fetch(request, fields, payer=payer, inside=inside)
            )
        deliver = partial(self._call_lent, fields, path, sent, inside)
        return await self._hooks.serve(".".join(path) or "callback", deliver)

    async def _call_lent(
        self,
        fields: dict[str, object],
        path: Sequence[str],
        sent: Sent | None,
        inside: bool,  # noqa: FBT001  # given by a partial
        payer: object,
    ) -> object:
        return await self.call(fields, path, sent, payer=payer, inside=inside)

    async def write(self, operation: Operation, value: object) -> object:
        """The result that the guest is told, as JSON tree; its stubs pass to the guest when it has been."""
        try:
            return await self.convert(to_expression, value)
        except ValueNotCloneableError:
            operation.written = value
            parcel = self.references.parcel()
            try:
                tree = to_expression(value, parcel)
            except BaseException:
                parcel.take_back()
                raise
            parcel.seal()
            return tree

    # ── from the guest ──────────────────────────────────────────────────────────────────────────────────────

    def read_now(self, tree: object) -> Received:
        """The value of an expression, read before what comes next is."""
        try:
            return Received(from_expression(tree), None)
        except ReferenceMetError:
            try:
                return Received(self.references.parcel().read([tree])[0], None)
            except PerdureError as error:
                return Received(None, error)
        except PerdureError as error:
            return Received(None, error)

    async def read(self, tree: object) -> object:
        """The value of an expression that the guest sent. Its stubs belong to whoever asked."""
        if isinstance(tree, Received):
            if tree.error is not None:
                raise again(tree.error)
            return tree.value
        try:
            return await self.convert(from_expression, tree)
        except ReferenceMetError:
            return self.references.parcel().read([tree])[0]

    def discard(self, tree: object) -> None:
        """Nobody wants what the guest sent: give back what it took along."""
        if isinstance(tree, Received):
            close_stubs(tree.value)
        if not isinstance(tree, dict | list):
            return
        parcel = self.references.parcel()
        try:
            parcel.read([tree])
        except (PerdureError, RecursionError):
            return
        parcel.close_received()

    def discard_arguments(self, trees: object) -> None:
        """An operation will not be carried out: give back what its arguments took along."""
        for tree in trees if isinstance(trees, list) else ():
            self.discard(tree)

    def prepare(self, operation: Operation) -> asyncio.Future[None] | None:
        """Find what an operation asks and read its arguments, before the guest gives references back.

        Large arguments are read beside the loop: done when the future is. Raises what is wrong with the operation.
        """
        payload = operation.payload
        if operation.kind.startswith("rpc.") and "on" not in payload:
            operation.target = self.references.find(payload.get("n"))
            retain(operation.target)
        trees = payload.get("a")
        if trees is None or not operation.kind.endswith(".call"):
            return None
        if not isinstance(trees, list) or len(trees) > CALL_ARGUMENTS_MAX:
            raise UsageError(f"a method is called with a list of at most {CALL_ARGUMENTS_MAX} arguments")
        operation.is_read = True
        if is_large(trees):
            return asyncio.ensure_future(self._prepare_large(operation, trees))
        try:
            operation.sent = Sent(values=_read_all(trees))
        except ReferenceMetError:
            operation.sent = self._received(operation, trees)
        return None

    async def _prepare_large(self, operation: Operation, trees: Sequence[object]) -> None:
        try:
            operation.sent = await self.convert(_read_and_write, trees)
        except ReferenceMetError:
            operation.sent = self._received(operation, trees)

    def _received(self, operation: Operation, trees: Sequence[object]) -> Sent:
        parcel = self.references.parcel(cause=operation.operation_id)
        return Sent(values=parcel.read(trees), parcel=parcel)

    def told(self, operation: Operation) -> None:
        """The guest has the result, or never will."""
        written, operation.written = operation.written, None
        close_stubs(written)

    def close(self, operation: Operation) -> None:
        """An operation is over."""
        if operation.sent is not None:
            operation.sent.close()
        if operation.target is not None:
            release(operation.target)

    async def pipelined(self, operation: Operation, path: Sequence[str], base: object) -> object:
        """Do a `rpc.…` operation on the result of an earlier one; the result as JSON tree."""
        parcel = _Own(self.references)
        try:
            value = from_expression(base, parcel)
            found, rest = follow(value, path, None)
            if operation.kind == "rpc.get":
                return await self.write(operation, await get_value(found, rest))
            if operation.sent is None:
                raise UsageError("a method is called with a list of arguments")
            return await self.write(operation, await call_value(found, rest, operation.sent, path))
        finally:
            parcel.close_received()

    # ── references ──────────────────────────────────────────────────────────────────────────────────────────

    def returned(self) -> None:
        """There are references to be given back to the guest: with its next turn, which comes soon."""
        if self._returning is None:
            self._returning = asyncio.get_running_loop().call_later(GUEST_RETURNS_S, self._session.resume_soon)

    def take_returned(self) -> list[tuple[int, int]]:
        """Numbers and counts of references that go to the guest with the turn that begins."""
        if self._returning is None:
            return []
        self._returning.cancel()
        self._returning = None
        return self.references.take_returned()

    @property
    def is_held(self) -> bool:
        """Whether somebody holds what the guest has lent, or it has yet to be told that nobody does."""
        return self._returning is not None or self.references.is_held

    def give_back(self, returned: Sequence[tuple[int, int]]) -> None:
        """The guest gives references back. Raises GuestCrashedError for what it never had."""
        try:
            self.references.give_back(returned)
        except ValueError as error:
            raise GuestCrashedError(f"the guest's runtime lost count ({error}): its isolate has ended") from None

    def forget(self, error: PerdureError, *, keep: GuestParcel | None = None) -> None:
        """The guest's memory is gone. `keep`: what a turn takes along that is run once more."""
        if self._returning is not None:
            self._returning.cancel()
            self._returning = None
        ended, self.references = self.references, References(self, after=self.references)
        if keep is not None:
            keep.move_to(self.references)
        ended.end(error)

    def channel(self, what: object, fields: object, read: Read) -> Target:
        """What a stub of the guest's own worker points at; `read` reads its props. Raises UsageError."""
        return self._hooks.channel(what, fields, read)

    def read_kept(self, tree: object) -> object:
        """`env` or `props` that the guest wrote, or code, with the services in it; on any thread."""
        return KeptReader(self.references).read(tree)

    async def convert(self, convert: Callable[[V], T], value: V) -> T:
        """`convert(value)`, beside the event loop when that takes long: a guest chooses what it sends."""
        if not is_large(value):
            return convert(value)
        return await self._runner.run_on_thread(lambda cpu_ms: convert(value), CallHistory(), cpu_ms=0)


def check_arguments(method: str, count: int) -> None:
    """Raise UsageError when a call has more arguments than any method takes."""
    if count > CALL_ARGUMENTS_MAX:
        raise UsageError(
            f"`{method}` was called with {count} arguments, the limit is {CALL_ARGUMENTS_MAX}: pass a list"
        )


class _Own(Parcel):
    """Reads what was written for the guest, as the guest will."""

    __slots__ = ("_references",)

    def __init__(self, references: References) -> None:
        super().__init__()
        self._references = references

    def target(self, expression: list[object]) -> Target:
        number = expression[1]
        return self._references.find(number) if expression[0] == "export" else self._references.own(number)


def _read_all(trees: Sequence[object]) -> list[object]:
    return [from_expression(tree) for tree in trees]


def _write_all(values: Sequence[object]) -> list[object]:
    return [to_expression(value) for value in values]


def _read_and_write(trees: Sequence[object]) -> Sent:
    """Arguments as values and as expressions: so that large ones are on their way in the order of their calls."""
    values = _read_all(trees)
    return Sent(values=values, trees=_write_all(values))
