"""Targets beyond the host: objects, facets and entry points, and results that have not come yet.

Effects: host calls.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from perdure.api import Copies, LocalPipeline, RpcPromise
from perdure.guest._operations import Answer, answer_to_response
from perdure.web import Request, Response
from perdure.wire import request_to_wire

if TYPE_CHECKING:
    from perdure.guest._references import GuestReferences


class Remote:
    """`Target`: something beyond the host. `kind` is what its operations are called, `fields` say which it is."""

    def __init__(
        self, references: GuestReferences, kind: str, fields: dict[str, object], held: Sequence[object] = ()
    ) -> None:
        self._references = references
        self._kind = kind
        self._fields = fields
        self.held = held
        """What stands in its props, which the host may ask for until an operation is done."""

    @property
    def channel(self) -> tuple[str, dict[str, object]] | None:
        """How the host establishes it again, when it is sent or stored."""
        if self._kind not in {"stub", "export"}:
            return None
        return self._kind, {name: value for name, value in self._fields.items() if name != "n"}

    def fetch(self, request: Request) -> Awaitable[Response]:
        streams = self._references.operations.streams
        return answer_to_response(self._ask("fetch", {"r": request_to_wire(request, streams.lend)}, None), streams)

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Answer:
        trees = self._references.write_arguments(arguments)
        where: dict[str, object] = {"m": path[0]} if len(path) == 1 else {"path": list(path)}
        return self._ask("call", {**where, "a": trees}, self._references.read)

    def get(self, path: Sequence[str]) -> Answer:
        return self._ask("get", {"path": list(path)}, self._references.read)

    def _ask(self, act: str, payload: dict[str, object], read: Callable[[Any], object] | None) -> Answer:
        answer = self._references.operations.start(f"{self._kind}.{act}", {**self._fields, **payload}, read)
        if self.held:
            answer.add_done_callback(functools.partial(_held, self))
        return answer


def _held(_remote: Remote, _answer: object) -> None:
    """What a callback refers to is there until it is called."""


class Pinned(Remote):
    """A target that means, from its first use on, what it reached then. The host is told when nobody holds it."""

    def __init__(self, references: GuestReferences, kind: str, fields: dict[str, object]) -> None:
        self._operations = references.operations
        self._stub = self._operations.new_stub()
        self._is_used = False
        super().__init__(references, kind, {**fields, "n": self._stub})

    def _ask(self, act: str, payload: dict[str, object], read: Callable[[Any], object] | None) -> Answer:
        self._is_used = True
        return super()._ask(act, payload, read)

    def __del__(self) -> None:
        if self._is_used:
            self._operations.release(self._stub)


class ResultToCome:
    """`Target`: what an operation under way will give. Once it is there, paths are gone in here."""

    def __init__(self, references: GuestReferences, answer: Answer, promise: RpcPromise) -> None:
        self._references = references
        self._answer = answer
        self._here = LocalPipeline(promise)

    def fetch(self, request: Request) -> Awaitable[Response]:
        return self._here.fetch(request)

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        if self._answer.done():
            return self._here.call(path, arguments)
        trees = self._references.write_arguments(arguments)
        return self._ask("rpc.call", {"path": list(path), "a": trees})

    def get(self, path: Sequence[str]) -> Awaitable[Any]:
        return self._here.get(path) if self._answer.done() else self._ask("rpc.get", {"path": list(path)})

    def _ask(self, kind: str, payload: dict[str, object]) -> Answer:
        fields = {"on": self._answer.operation_id, **payload}
        return self._references.operations.start(kind, fields, self._references.read)


def channel_target(references: GuestReferences, what: object, fields: dict[str, object]) -> Remote:
    """What a stub that was stored points at. Raises ValueError."""
    if what == "stub":
        return Pinned(references, "stub", fields)
    if what == "export":
        return Remote(references, "export", fields)
    raise ValueError("it is of an unknown kind")
