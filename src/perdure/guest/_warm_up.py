"""A rehearsal: a small worker is loaded and used, and thrown away.

At build time it leaves warm caches in the snapshot (inline caches, interned names, free lists); in a new instance it
touches the memory that every worker will need.

Effects: none that last (its guest is thrown away).
"""

from __future__ import annotations

import json
import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from perdure.wire import GuestOp, HostOp

_SOURCE: Final = """
from workers import DurableObject, Response

class App(DurableObject):
    async def fetch(self, request):
        count = (self.ctx.storage.kv.get("counter") or 0) + 1
        self.ctx.storage.kv.put("counter", count)
        if request.method == "POST":
            return Response.json({"path": request.path, "body": await request.text(), "count": count})
        return Response(f"{count} requests")

    def add(self, first, second):
        return [row["n"] for row in self.ctx.storage.sql.exec("SELECT ? AS n", first + second)]

    def fail(self):
        raise ValueError("rehearsed")
"""
_REQUEST: Final = {
    "m": "GET",
    "u": "http://localhost/path?query=1",
    "h": [["host", "localhost"], ["accept", "*/*"]],
}
_ROUNDS: Final = 20


class _Callable(Protocol):
    def call(self, op: int, payload: str) -> str: ...


def warm_up(make_guest: Callable[[Callable[[int, str, str], str]], _Callable]) -> None:
    """Load a worker and send it requests of each kind."""
    with _started(make_guest) as guest:
        for event_id in range(_ROUNDS):
            _turn(guest, GuestOp.EVENT, e=event_id, k="fetch", r=_REQUEST)
            _turn(guest, GuestOp.EVENT, e=event_id, k="fetch", r={**_REQUEST, "m": "POST", "b": '{"a": 1}'})
            _turn(guest, GuestOp.EVENT, e=event_id, k="call", m="add", a=[1, 2])
            _turn(guest, GuestOp.RESUME, c=[])
        _turn(guest, GuestOp.EVENT, e=0, k="call", m="fail", a=[])


def rehearse(make_guest: Callable[[Callable[[int, str, str], str]], _Callable]) -> None:
    """Load a worker and send it one request: what more would touch, not every worker needs."""
    with _started(make_guest) as guest:
        _turn(guest, GuestOp.EVENT, e=0, k="fetch", r=_REQUEST)


@contextmanager
def _started(make_guest: Callable[[Callable[[int, str, str], str]], _Callable]) -> Iterator[_Callable]:
    guest = make_guest(_RehearsalHost())
    importers = list(sys.meta_path)
    sys.meta_path.insert(0, guest._importer)  # type: ignore[attr-defined]  # noqa: SLF001  # the real one is not installed yet
    try:
        _turn(guest, GuestOp.LOAD, main="worker.py")
        _turn(guest, GuestOp.START, export="App", id={"id": "a" * 64, "name": "rehearsal"}, props={}, env={"A": "b"})
        yield guest
    finally:
        sys.meta_path[:] = importers
        sys.modules.pop("worker", None)
        linecache.clearcache()  # Otherwise a real `worker.py` would be quoted with the lines of this one.


def _turn(guest: _Callable, op: GuestOp, **message: object) -> None:
    guest.call(op, json.dumps({**message, "now": 0}))


class _RehearsalHost:
    """Answers as a host does."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def __call__(self, op: int, key: str, payload: str) -> str:
        match op:
            case HostOp.MODULE:
                return {"": 'names\n["worker.py"]', "worker.py": f"py\n{_SOURCE}"}.get(key, "")
            case HostOp.KV_GET:
                return self._values.get(key, "")
            case HostOp.KV_PUT:
                self._values[key] = payload
                return ""
            case HostOp.SQL_EXEC:
                return '{"n":["n"],"r":[[3]],"c":0,"i":[1,0]}'
            case _:
                return ""
