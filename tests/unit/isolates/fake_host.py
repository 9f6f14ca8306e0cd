"""A host that answers a guest's calls from memory, and a driver that speaks the guest protocol with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from perdure.isolates import Isolate
from perdure.wire import ERROR_MARK, GuestOp, HostOp

NOW_MS = 1_700_000_000_000
CPU_MS = 5_000
MEMORY_BYTES = 128 * 1024 * 1024


class FakeHost:
    """kv in a dict, modules in a dict, the log in a list."""

    def __init__(self, modules: Mapping[str, str | tuple[str, str]]) -> None:
        self.modules = {
            name: module if isinstance(module, tuple) else (name.rpartition(".")[2], module)
            for name, module in modules.items()
        }
        self.values: dict[str, str] = {}
        self.log: list[tuple[str, str]] = []
        self.calls: list[tuple[int, str, str]] = []
        self.now_ms = NOW_MS
        self.answers: dict[int, Callable[[str, str], str]] = {}

    def host_call(self, op: int, key: str, payload: str) -> str:
        self.calls.append((op, key, payload))
        if op in self.answers:
            return self.answers[op](key, payload)
        match op:
            case HostOp.LOG:
                self.log.append((key, payload))
                return ""
            case HostOp.MODULE:
                return self._module(key)
            case HostOp.CLOCK:
                return str(self.now_ms)
            case HostOp.KV_GET:
                return self.values.get(key, "")
            case HostOp.KV_PUT:
                self.values[key] = payload
                return ""
            case HostOp.FACET_CHANGE:
                return ""
            case HostOp.KV_DELETE:
                return "1" if self.values.pop(key, None) is not None else ""
            case _:
                return ERROR_MARK + json.dumps({"type": "RuntimeError", "message": f"no answer for {op}"})

    def _module(self, name: str) -> str:
        if not name:
            return "names\n" + json.dumps(list(self.modules))
        kind, text = self.modules.get(name, ("", ""))
        return f"{kind}\n{text}" if kind else ""


class Driver:
    """Speaks the guest protocol with whatever has the guest's one export."""

    def __init__(self, call: Callable[[int, str], str], host: FakeHost) -> None:
        self._call = call
        self.host = host
        self._last_event = 0

    def turn(self, op: GuestOp, **message: object) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self._call(op, json.dumps({**message, "now": self.host.now_ms})))
        return report

    def load(self, main: str = "worker.py") -> dict[str, Any]:
        return self.turn(GuestOp.LOAD, main=main)

    def start(self, export: str = "App", **message: object) -> dict[str, Any]:
        identity = {"id": "ab" * 32, "name": "one"}
        return self.turn(GuestOp.START, **{"export": export, "id": identity, "props": {}, "env": {}, **message})

    def event(self, kind: str, **message: object) -> dict[str, Any]:
        self._last_event += 1
        return self.turn(GuestOp.EVENT, e=self._last_event, k=kind, **message)

    def fetch(self, url: str = "http://host/", *, method: str = "GET", **message: object) -> dict[str, Any]:
        request = {"m": method, "u": url, "h": [], **({"b": message.pop("body")} if "body" in message else {})}
        return self.event("fetch", r=request, **message)

    def call(self, method: str, *arguments: object, **message: object) -> dict[str, Any]:
        return self.event("call", m=method, a=list(arguments), **message)

    def resume(self, *settled: list[object]) -> dict[str, Any]:
        return self.turn(GuestOp.RESUME, c=list(settled))

    def evaluate(self, source: str, **names: object) -> Any:
        """The value of the last expression. Raises RuntimeError with the guest's traceback."""
        return only(self.event("eval", s=source, a=names))

    def settled(self, source: str) -> Any:
        """As `evaluate`, also when it waits for timers: the clock goes on as far as they want."""
        report = self.event("eval", s=source, a={})
        while "d" not in report:
            self.host.now_ms += int(report["t"])
            report = self.resume()
        return only(report)


def only(report: dict[str, Any]) -> Any:
    """The result of the one event that a report says is done. Raises RuntimeError with the guest's error."""
    [[_, is_ok, result]] = report["d"]
    if not is_ok:
        raise RuntimeError(result.get("traceback") or f"{result['type']}: {result['message']}")
    return result


def error_of(report: dict[str, Any]) -> dict[str, Any]:
    """The error of the one event that a report says failed."""
    [[_, is_ok, shape]] = report["d"]
    assert not is_ok, shape
    assert isinstance(shape, dict)
    return shape


def drive(isolate: Isolate, modules: Mapping[str, str | tuple[str, str]], *, cpu_ms: int = CPU_MS) -> Driver:
    """A driver for an isolate with a fake host."""
    host = FakeHost(modules)
    isolate.host = host
    return Driver(lambda op, payload: isolate.call(op, payload, cpu_ms=cpu_ms), host)
