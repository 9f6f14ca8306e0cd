"""The protocol of Cap'n Web, without a connection: messages in, acts to perform; calls in, messages out.

It keeps the two tables. `exports` are what the peer may use: 0 is our main interface, positive numbers are results of
the peer's calls, negative ones what we have introduced. `imports` are the peer's, in the same way. What stands behind
an export is the driver's: here it is an opaque holder. A malformed message raises MalformedError, after which the
session must be aborted. Effects: none.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from perdure.capnweb._reader import MalformedError, read_expression, shown, whole_number
from perdure.capnweb._references import Parsed
from perdure.capnweb._writer import Introducer, write_error, write_expression
from perdure.errors import ValueNotCloneableError
from perdure.limits import CAPNWEB_HELD_BYTES_MAX, CAPNWEB_HELD_VALUES_MAX, CAPNWEB_TABLE_MAX, RPC_MESSAGE_BYTES_MAX
from perdure.wire import read_json

_TO_JSON: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Evaluate:
    """The peer pushed an expression; what it stands for becomes the holder of export `id`.

    `is_stream`: nobody will refer to it; it is to be resolved unasked, and is gone then.
    """

    id: int
    parsed: Parsed
    is_stream: bool
    size: int


@dataclass(frozen=True, slots=True)
class MakePipe:
    """Export `id` is to be the writable end of a new pipe."""

    id: int


@dataclass(frozen=True, slots=True)
class Pull:
    """The peer wants the resolution of export `id`."""

    id: int
    holder: object


@dataclass(frozen=True, slots=True)
class Settle:
    """Import `id` is resolved, or rejected with an error."""

    id: int
    parsed: Parsed
    is_error: bool


@dataclass(frozen=True, slots=True)
class Discard:
    """A resolution that nobody waits for any more; what it introduces is to be released."""

    parsed: Parsed


@dataclass(frozen=True, slots=True)
class Drop:
    """The peer holds an export no longer."""

    holder: object


@dataclass(frozen=True, slots=True)
class End:
    """The peer has aborted the session."""

    parsed: Parsed


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do."""


Act: TypeAlias = Evaluate | MakePipe | Pull | Settle | Discard | Drop | End | Nothing


@dataclass(slots=True)
class _Export:
    holder: object
    references: int = 1
    size: int = 0
    values: int = 0
    has_unread_pipe: bool = False
    is_pulled: bool = False
    is_dropped_when_settled: bool = False


@dataclass(slots=True)
class _Import:
    is_promise: bool
    references: int = 1
    is_settled: bool = False
    is_released_by_peer: bool = False


class Protocol:
    """One end of a session."""

    def __init__(self, main: object) -> None:
        self._exports: dict[int, _Export] = {0: _Export(main)}
        self._imports: dict[int, _Import] = {0: _Import(is_promise=False)}
        self._numbers: dict[object, int] = {}  # of exports that have an identity
        self._identities: dict[int, object] = {}
        self._pushed_by_peer = 0
        self._pushed = 0
        self._introduced = 0
        self._held_bytes = 0
        self._held_values = 0
        self._messages: deque[str] = deque()

    # ── what the driver asks ────────────────────────────────────────────────────────────────────────────────

    def take_messages(self) -> list[str]:
        """What is to be sent now, in this order."""
        taken = [*self._messages]
        self._messages.clear()
        return taken

    def hold(self, number: int, holder: object) -> None:
        """Set what stands behind an export."""
        if number in self._exports:
            self._exports[number].holder = holder

    def holder(self, number: int) -> object:
        """What stands behind an export that the peer referred to."""
        return self._exports[number].holder

    def forget_message(self, number: int) -> None:
        """The call that the peer pushed is over: its message is held no longer."""
        export = self._exports.get(number)
        if export is not None:
            self._held_bytes -= export.size
            export.size = 0

    def hold_values(self, number: int, values: int) -> bool:
        """Export `number` is a value that is made of so many; whether the peer may hold as much."""
        export = self._exports.get(number)
        if export is not None:
            self._held_values += values - export.values
            export.values = values
        return self._held_values <= CAPNWEB_HELD_VALUES_MAX

    @property
    def sizes(self) -> tuple[int, int]:
        """How many imports and exports there are."""
        return len(self._imports), len(self._exports)

    def drop_all(self) -> list[object]:
        """The session is over: the holders of all exports, to be disposed of."""
        holders = [export.holder for export in self._exports.values()]
        self._exports.clear()
        self._imports.clear()
        self._numbers.clear()
        self._identities.clear()
        self._messages.clear()
        return holders

    # ── sending ─────────────────────────────────────────────────────────────────────────────────────────────

    def push(self, target: int, path: tuple[str | int, ...], arguments: list[object] | None, port: Introducer) -> int:
        """Call what an import stands for, or read a property of it; the number of the import that is the result."""
        return self._push("push", ["pipeline", target, [*path], *self._arguments(arguments, port)])

    def push_stream(self, target: int, method: str, arguments: list[object], port: Introducer) -> tuple[int, int]:
        """Call a method of a stream; the number of the result, which settles unasked, and the size of the message."""
        number = self._push("stream", ["pipeline", target, [method], *self._arguments(arguments, port)])
        self._imports[number].is_released_by_peer = True
        return number, len(self._messages[-1])

    def push_map(
        self, target: int, path: tuple[str | int, ...], captures: list[object], instructions: list[object]
    ) -> int:
        """Have a recorded function applied at the far side."""
        return self._push("push", ["remap", target, [*path], captures, instructions])

    def push_pipe(self) -> int:
        """Make a pipe at the far side; the number of its writable end."""
        self._check_room(self._imports, "imports")
        self._send(["pipe"])
        return self._add_import(is_promise=False)

    def pull(self, number: int) -> None:
        """Ask for the resolution of an import."""
        self._send(["pull", number])

    def release(self, number: int) -> None:
        """An import is not needed any more."""
        known = self._imports.pop(number, None)
        if known is not None and not known.is_released_by_peer:
            self._send(["release", number, known.references])

    def export(self, holder: object, *, identity: object = None) -> tuple[int, bool]:
        """Introduce a capability; its number, and whether that is new. One that has an identity keeps its number."""
        number = self._numbers.get(identity) if identity is not None else None
        if number is not None:
            self._exports[number].references += 1
            return number, False
        number = self._add_export(holder)
        if identity is not None:
            self._numbers[identity] = number
            self._identities[number] = identity
        return number, True

    def export_promise(self, holder: object) -> int:
        """Introduce a promise, which must be resolved unasked."""
        number = self._add_export(holder)
        self._exports[number].is_pulled = True
        return number

    def take_back(self, number: int) -> Drop | Nothing:
        """An introduction that was not sent after all."""
        return self._release_export(number, 1)

    def resolve(self, number: int, value: object, port: Introducer) -> Drop | Nothing:
        """Tell what an export resolves to. Raises ValueNotCloneableError, and then it must be rejected."""
        if number not in self._exports:
            return Nothing()  # Nobody waits for it.
        self._send(["resolve", number, write_expression(value, port)])
        return self._settled(number)

    def reject(self, number: int, error: BaseException, port: Introducer) -> Drop | Nothing:
        """Tell why an export does not resolve."""
        if number not in self._exports:
            return Nothing()
        self._send(["reject", number, write_error(error, port)])
        return self._settled(number)

    def abort(self, error: BaseException, port: Introducer) -> None:
        """The last message."""
        self._send(["abort", write_error(error, port)])

    def _arguments(self, arguments: list[object] | None, port: Introducer) -> list[object]:
        if arguments is None:
            return []
        trees = write_expression(arguments, port)
        assert isinstance(trees, list), "a list is a list in a list"
        return trees

    def _push(self, kind: str, expression: list[object]) -> int:
        self._check_room(self._imports, "imports")
        self._send([kind, expression])
        return self._add_import(is_promise=True)

    def _add_import(self, *, is_promise: bool) -> int:
        self._pushed += 1
        self._imports[self._pushed] = _Import(is_promise=is_promise)
        return self._pushed

    def _add_export(self, holder: object) -> int:
        self._check_room(self._exports, "exports")
        self._introduced -= 1
        self._exports[self._introduced] = _Export(holder)
        return self._introduced

    def _check_room(self, table: dict[int, Any], name: str) -> None:
        if len(table) >= CAPNWEB_TABLE_MAX:
            raise ValueNotCloneableError(
                f"the session holds {CAPNWEB_TABLE_MAX} {name}, which is the limit: close() stubs and promises that "
                "are not needed any more"
            )

    def _send(self, message: list[object]) -> None:
        text = _TO_JSON(message)
        if len(text) > RPC_MESSAGE_BYTES_MAX:
            raise ValueNotCloneableError(
                f"Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was "
                f"{len(text)} bytes: send it in parts, or as a stream"
            )
        self._messages.append(text)

    def _settled(self, number: int) -> Drop | Nothing:
        return self._release_export(number, 1) if self._exports[number].is_dropped_when_settled else Nothing()

    # ── receiving ───────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, text: str) -> Act:
        """What one message asks for."""
        if len(text) > RPC_MESSAGE_BYTES_MAX:
            raise MalformedError(f"a message has {len(text)} characters, the limit is {RPC_MESSAGE_BYTES_MAX}")
        try:
            message = read_json(text)
        except RecursionError:
            raise MalformedError("a message is nested too deeply") from None
        except ValueError as error:
            raise MalformedError(f"a message cannot be read: {error}") from None
        match message:
            case ["push" | "stream" as kind, expression]:
                return self._evaluate(expression, is_stream=kind == "stream", size=len(text))
            case ["pipe"]:
                number = self._add_pushed()
                self._exports[number].has_unread_pipe = True
                return MakePipe(number)
            case ["pull", number]:
                return self._pulled(number)
            case ["resolve" | "reject" as kind, number, expression]:
                return self._settle(whole_number(number, "the id of an export"), expression, is_error=kind == "reject")
            case ["release", number, count]:
                return self._release(number, count)
            case ["abort", expression]:
                return End(read_expression(expression, self))
            case _:
                raise MalformedError(f"`{shown(message)}` is no message that Cap'n Web has")

    def _evaluate(self, expression: object, *, is_stream: bool, size: int) -> Evaluate:
        self._held_bytes += size
        if self._held_bytes > CAPNWEB_HELD_BYTES_MAX:
            raise MalformedError(
                f"the peer has calls under way, and values that it does not release, of more than "
                f"{CAPNWEB_HELD_BYTES_MAX} bytes"
            )
        # Read before it has a number: it must not refer to itself.
        parsed = read_expression(expression, self)
        number = self._add_pushed()
        self._exports[number].size = size
        self._exports[number].is_pulled = self._exports[number].is_dropped_when_settled = is_stream
        return Evaluate(number, parsed, is_stream, size)

    def _add_pushed(self) -> int:
        if len(self._exports) >= CAPNWEB_TABLE_MAX:
            raise MalformedError(f"the peer holds {CAPNWEB_TABLE_MAX} of our exports and results, and releases none")
        self._pushed_by_peer += 1
        self._exports[self._pushed_by_peer] = _Export(None)
        return self._pushed_by_peer

    def _pulled(self, value: object) -> Act:
        number = whole_number(value, "the id of an import")
        self.check_own(number)
        export = self._exports[number]
        if export.is_pulled:
            return Nothing()
        export.is_pulled = True
        return Pull(number, export.holder)

    def _settle(self, number: int, expression: object, *, is_error: bool) -> Act:
        known = self._imports.get(number)
        parsed = read_expression(expression, self)
        if known is not None and not known.is_promise:
            raise MalformedError(f"the peer resolves export {number}, which is a capability and no promise")
        if known is None or known.is_settled:
            return Discard(parsed)
        known.is_settled = True
        return Settle(number, parsed, is_error)

    def _release(self, value: object, count: object) -> Act:
        number = whole_number(value, "the id of an import")
        references = whole_number(count, "a number of references")
        self.check_own(number)
        held = self._exports[number].references
        if not 0 < references <= held:
            raise MalformedError(f"the peer releases {references} references of export {number}, and has {held}")
        return self._release_export(number, references)

    def _release_export(self, number: int, references: int) -> Drop | Nothing:
        export = self._exports[number]
        export.references -= references
        if export.references > 0:
            return Nothing()
        del self._exports[number]
        self._held_bytes -= export.size
        self._held_values -= export.values
        self._numbers.pop(self._identities.pop(number, None), None)
        return Drop(export.holder)

    # ── `Tables`, for the reader ────────────────────────────────────────────────────────────────────────────

    def introduce(self, number: int, *, is_promise: bool) -> None:
        """The peer shows us a capability."""
        if number >= 0:
            raise MalformedError(f"the peer introduces export {number}: what it introduces has negative numbers")
        known = self._imports.get(number)
        if known is None:
            if len(self._imports) >= CAPNWEB_TABLE_MAX:
                raise MalformedError(f"the peer has introduced {CAPNWEB_TABLE_MAX} capabilities, which is the limit")
            self._imports[number] = _Import(is_promise=is_promise)
        elif is_promise:
            raise MalformedError(f"the peer introduces export {number} as a new promise, and has introduced it before")
        else:
            known.references += 1

    def check_own(self, number: int) -> None:
        """The peer refers to an export of ours."""
        if number not in self._exports:
            raise MalformedError(f"the peer refers to export {number}, and there is none")

    def take_readable(self, number: int) -> None:
        """The peer gives us the far end of a pipe."""
        export = self._exports.get(number)
        if export is None or not export.has_unread_pipe:
            raise MalformedError(f"export {number} is no pipe, or its readable end has been given away")
        export.has_unread_pipe = False
