"""Experiment (a): does a guest on its own thread disturb the event loop, and what does `sys.setswitchinterval` change?

A uvicorn server (uvloop, httptools) whose handler does one kv get + put runs beside up to two sandboxed CPython guests,
each on its own thread: one burns CPU inside wasm, the other makes 100 kv calls a turn. A paced client in another process
sends 5,000 requests/s and measures from the moment each request was *due*. A saturating run (wrk) follows.

    python a_switch_interval.py [--seconds 2] [--reps 3] [--lock FILE]

The guest is built with componentize-py on the first run and kept in the temporary directory.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import http.client
import json
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from ctypes import c_size_t, c_void_p, string_at
from pathlib import Path
from typing import Any

WIT = """\
package local:guest;
world guest {
  import host-call: func(op: u32, key: string, payload: string) -> string;
  export call: func(op: u32, payload: string) -> string;
}
"""

APP = '''\
import json, wit_world
host_call = wit_world.host_call
ECHO, FETCH, BURN, KV100 = range(4)

def fetch(payload):
    json.loads(payload)
    n = int(host_call(1, "counter", "") or 0) + 1
    host_call(2, "counter", str(n))
    return json.dumps({"status": 200, "headers": {}, "body": "You've made %d requests.\\n" % n})

def burn(payload):
    x = 0
    for i in range(int(payload)):
        x = (x * 31 + i) & 0xFFFF
    return str(x)

def kv100(payload):
    for i in range(50):
        n = int(host_call(1, "counter", "") or 0) + 1
        host_call(2, "counter", str(n))
    return str(n)

OPS = [lambda p: p, fetch, burn, kv100]

class WitWorld(wit_world.WitWorld):
    def call(self, op: int, payload: str) -> str:
        return OPS[op](payload)

_real, host_call = host_call, lambda op, key, payload: "1"
for _ in range(30):
    fetch('{"method":"GET","url":"/"}')
    burn("100")
    kv100("")
host_call = _real
'''

ECHO, FETCH, BURN, KV100 = range(4)
HostHandler = Callable[[int, bytes, bytes], bytes]


def build_guest() -> Path:
    """Build (once) the guest component; returns the path of the .wasm."""
    key = hashlib.sha256((WIT + APP).encode()).hexdigest()[:12]
    home = Path(tempfile.gettempdir()) / f"perdure-experiment-{key}"
    wasm = home / "guest.wasm"
    if not wasm.exists():
        home.mkdir(exist_ok=True)
        (home / "guest.wit").write_text(WIT)
        (home / "app.py").write_text(APP)
        tool = Path(sys.executable).with_name("componentize-py")
        command = [str(tool), "-d", "guest.wit", "-w", "guest", "componentize", "app", "-o", "building.wasm"]
        subprocess.run(command, cwd=home, check=True, stdout=subprocess.DEVNULL)
        (home / "building.wasm").rename(wasm)
    return wasm


class GuestHost:
    """Engine, component and our own trampolines. `hold_gil`: small FFI calls (vec new, delete) keep the GIL (PyDLL)."""

    def __init__(self, *, hold_gil: bool = True) -> None:
        import wasmtime
        from wasmtime import _ffi as ffi
        from wasmtime.component import Component, Linker

        self.wasmtime = wasmtime
        config = wasmtime.Config()
        config.epoch_interruption = True
        self.engine = wasmtime.Engine(config)
        wasm = build_guest()
        compiled = wasm.with_suffix(".cwasm")
        if not compiled.exists():
            image = Component.from_file(self.engine, str(wasm)).serialize()
            partial = compiled.with_suffix(f".{os.getpid()}")
            partial.write_bytes(image)
            partial.rename(compiled)
        self.component = Component.deserialize_file(self.engine, str(compiled))

        size = ctypes.sizeof(ffi.wasmtime_component_val_t)

        class Val(ctypes.Structure):  # the flat view of wasmtime_component_val_t for a string or a u32
            _fields_ = (
                ("kind", ctypes.c_uint64),
                ("size", c_size_t),
                ("data", c_void_p),
                ("pad", ctypes.c_uint8 * max(0, size - 24)),
            )

        self.Val, self.val_size = Val, ctypes.sizeof(Val)
        assert self.val_size == size
        assert ffi.wasmtime_component_val_t.of.offset == 8
        self.STRING = ffi.WASMTIME_COMPONENT_STRING.value
        self.U32 = ffi.WASMTIME_COMPONENT_U32.value
        name = ffi.dll._name
        slow = ctypes.CDLL(name)  # lets the GIL go: only for the call that runs the guest
        quick = ctypes.PyDLL(name) if hold_gil else ctypes.CDLL(name)
        self.vec_new = quick.wasm_byte_vec_new
        self.vec_new.argtypes, self.vec_new.restype = [c_void_p, c_size_t, ctypes.c_char_p], None
        self.vec_delete = quick.wasm_byte_vec_delete
        self.vec_delete.argtypes, self.vec_delete.restype = [c_void_p], None
        self.func_call = slow.wasmtime_component_func_call
        self.func_call.argtypes = [c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t]
        self.func_call.restype = c_void_p
        self.handlers: dict[int, HostHandler] = {}

        pointer = ctypes.POINTER(Val)
        prototype = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, pointer, c_size_t, pointer, c_size_t)
        handlers, vec_new, string = self.handlers, self.vec_new, self.STRING

        def host_call(_d: Any, context: int, _t: Any, args: Any, _n: int, results: Any, _m: int) -> int:
            key, payload = args[1], args[2]
            out = handlers[context](
                args[0].size & 0xFFFFFFFF,
                string_at(key.data, key.size) if key.size else b"",
                string_at(payload.data, payload.size) if payload.size else b"",
            )
            results[0].kind = string
            vec_new(ctypes.addressof(results[0]) + 8, len(out), out)
            return 0

        self._keep = callback = prototype(host_call)
        self.linker = Linker(self.engine)
        self.linker.add_wasip2()
        add = slow.wasmtime_component_linker_instance_add_func
        add.argtypes = [c_void_p, ctypes.c_char_p, c_size_t, prototype, c_void_p, c_void_p]
        add.restype = c_void_p
        with self.linker.root() as root:
            error = add(ctypes.cast(root.ptr(), c_void_p), b"host-call", 9, callback, None, None)
            assert not error


class Guest:
    """One live instance: `call(op, payload)` runs it on the calling thread."""

    def __init__(self, host: GuestHost, handler: HostHandler) -> None:
        self.host = host
        store = host.wasmtime.Store(host.engine)
        store.set_wasi(host.wasmtime.WasiConfig())
        store.set_epoch_deadline(10**9)
        instance = host.linker.instantiate(store, host.component)
        function = instance.get_func(store, "call")
        assert function
        self._alive = (store, instance, function)
        self.context: int = ctypes.cast(store._context(), c_void_p).value or 0
        host.handlers[self.context] = handler
        self.args = (host.Val * 2)()
        self.result = host.Val()
        self.args[0].kind, self.args[1].kind = host.U32, host.STRING
        self.p_args, self.p_result = ctypes.addressof(self.args), ctypes.addressof(self.result)
        self.p_func = ctypes.addressof(function._func)

    def call(self, op: int, payload: bytes) -> bytes:
        host, args = self.host, self.args
        args[0].size = op
        host.vec_new(self.p_args + host.val_size + 8, len(payload), payload)
        error = host.func_call(self.p_func, self.context, self.p_args, 2, self.p_result, 1)
        host.vec_delete(self.p_args + host.val_size + 8)
        if error:
            raise RuntimeError("the guest trapped")
        out = string_at(self.result.data, self.result.size)
        host.vec_delete(self.p_result + 8)
        return out


GET = "SELECT value FROM kv WHERE key=?"
PUT = "INSERT INTO kv(key,value) VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value"


class Kv:
    """One object's database: WAL, synchronous=OFF; the first write opens the unit, `commit` ends the turn."""

    def __init__(self, path: Path) -> None:
        import apsw

        self.db = apsw.Connection(str(path), vfs="unix-none")
        self.db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self.execute = self.db.execute
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=OFF", "wal_autocheckpoint=0"):
            self.execute(f"PRAGMA {pragma}")
        self.execute("CREATE TABLE IF NOT EXISTS kv(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        self.open = False
        self.commits = 0

    def host_call(self, op: int, key: bytes, payload: bytes) -> bytes:
        if op == 1:
            row = self.execute(GET, (key,)).fetchone()
            return row[0] if row else b""
        if not self.open:
            self.execute("BEGIN IMMEDIATE")
            self.open = True
        self.execute(PUT, (key, payload))
        return b""

    def commit(self) -> None:
        if self.open:
            self.execute("COMMIT")
            self.open = False
            self.commits += 1
            if self.commits % 1000 == 0:
                self.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def bump(self) -> bytes:
        n = int(self.host_call(1, b"counter", b"") or 0) + 1
        self.host_call(2, b"counter", b"%d" % n)
        self.commit()
        return b"You've made %d requests.\n" % n


BURN_LOOPS = 20_000
SCENARIOS = ("none", "burn", "kv", "burn+kv", "other process", "python thread")


def start_guests(
    scenario: str, folder: Path, progress: dict[str, int], running: threading.Event, *, hold_gil: bool
) -> None:
    """The scenario's guests on daemon threads: they work while `running` is set and count their turns in `progress`."""

    def spin(name: str, turn: Callable[[], object]) -> None:
        progress[name] = 0

        def run() -> None:
            while True:
                running.wait()
                turn()
                progress[name] += 1

        threading.Thread(target=run, daemon=True).start()

    def python_burn() -> None:
        x = 0
        for i in range(BURN_LOOPS):
            x = (x * 31 + i) & 0xFFFF

    if scenario == "python thread":  # trusted code on a thread: holds the GIL, unlike any guest
        spin("burn", python_burn)
        return
    host = GuestHost(hold_gil=hold_gil)
    if "burn" in scenario:
        burner = Guest(host, lambda op, key, payload: b"")
        spin("burn", lambda: burner.call(BURN, b"%d" % BURN_LOOPS))
    if "kv" in scenario:
        kv = Kv(folder / "guest.db")
        caller = Guest(host, kv.host_call)

        def kv_turn() -> None:
            caller.call(KV100, b"")
            kv.commit()

        spin("kv", kv_turn)


def clean_stop() -> None:
    """uvicorn re-raises SIGTERM once it has stopped: turn that into an exit, so that temporary files go."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))


def serve(port: int, scenario: str, *, hold_gil: bool) -> None:
    import uvicorn

    clean_stop()
    with tempfile.TemporaryDirectory(prefix="perdure-a-") as name:
        folder = Path(name)
        progress: dict[str, int] = {}
        running = threading.Event()
        other = None
        if scenario == "other process":  # the same work and the same CPU contention, without a shared GIL
            other = subprocess.Popen([sys.executable, __file__, "--scenario", "burn+kv", "--guests-only"])
            time.sleep(2)
            other.send_signal(signal.SIGSTOP)
        elif scenario != "none":
            start_guests(scenario, folder, progress, running, hold_gil=hold_gil)
        kv = Kv(folder / "loop.db")
        served = 0

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal served
            if scope["path"] == "/ctl":
                if query := float(scope["query_string"] or 0):  # an interval starts the guests, none stops them
                    sys.setswitchinterval(query)
                    running.set()
                else:
                    running.clear()
                if other:
                    other.send_signal(signal.SIGCONT if query else signal.SIGSTOP)
                now = {"t": time.perf_counter(), "served": served, "cpu": time.process_time()}
                body = json.dumps({**now, **progress}).encode()
            else:
                body = kv.bump()
                served += 1
            headers = [(b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        config = uvicorn.Config(
            app, port=port, loop="uvloop", http="httptools", log_level="error", access_log=False, lifespan="off"
        )
        try:
            uvicorn.Server(config).run()
        finally:
            if other:
                other.send_signal(signal.SIGCONT)
                other.terminate()
                other.wait()


def guests_only(scenario: str) -> None:
    clean_stop()
    with tempfile.TemporaryDirectory(prefix="perdure-a-") as name:
        running = threading.Event()
        running.set()
        start_guests(scenario, Path(name), {}, running, hold_gil=True)
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.2)


# ---- the driver ---------------------------------------------------------------------------------------------------


def control(port: int, interval: float | None = None) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/ctl" + (f"?{interval}" if interval else ""))
    answer: dict[str, float] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def paced(port: int, rate: int, seconds: float) -> list[float]:
    """Open-loop client: latencies (s) from each request's due time. Gives up after three times the planned span."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
    for one in idle:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    everyone, busy = list(idle), {}
    latencies: list[float] = []
    clock = time.perf_counter
    start, sent, total = clock() + 0.01, 0, int(rate * seconds)
    while len(latencies) < total and clock() < start + 3 * seconds:
        now = clock()
        while sent < total and idle and start + sent / rate <= now:
            one = idle.pop()
            one.send(request)
            busy[one.fileno()] = (one, start + sent / rate)
            sent += 1
        wait = max(0.0, start + sent / rate - clock()) if idle and sent < total else 1.0
        for number in select.select(list(busy), [], [], wait)[0]:
            one, due = busy.pop(number)
            one.recv(4096)
            latencies.append(clock() - due)
            idle.append(one)
    for one in everyone:
        one.close()
    return latencies


@contextlib.contextmanager
def alone(path: str | None) -> Iterator[None]:
    """Hold a lock file during a timed run, when several people measure on one machine."""
    if path is None:
        yield
        return
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(arguments: list[str], script: str = __file__, prefix: tuple[str, ...] = ()) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([*prefix, sys.executable, script, "--serve", str(port), *arguments])
    try:
        for _ in range(600):
            with contextlib.suppress(OSError, http.client.HTTPException):
                control(port)
                break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def wrk(port: int, connections: int, seconds: float, prefix: tuple[str, ...] = ()) -> dict[str, float]:
    command = [*prefix, "wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", f"http://127.0.0.1:{port}/"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}

    def percentile(which: str) -> float:
        found = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)", text)
        return float(found[1]) * unit[found[2]] if found else float("nan")

    found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    return {"rps": float(found[1]) if found else 0.0, "p50": percentile("50"), "p99": percentile("99")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", type=int)
    parser.add_argument("--scenario", default="none")
    parser.add_argument("--guests-only", action="store_true")
    parser.add_argument("--release-gil", action="store_true", help="small FFI calls let the GIL go (plain CDLL)")
    parser.add_argument("--only", nargs="*", default=list(SCENARIOS))
    parser.add_argument("--intervals", nargs="*", type=float, default=[5, 1, 0.5, 0.1, 0.05], help="ms")
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--saturate", action="store_true", help="wrk with 64 connections instead of the paced client")
    parser.add_argument("--lock")
    args = parser.parse_args()
    if args.guests_only:
        guests_only(args.scenario)
        return
    if args.serve is not None:
        serve(args.serve, args.scenario, hold_gil=not args.release_gil)
        return
    build_guest()
    with contextlib.suppress(OSError):
        os.nice(-10)  # the client's own wake-ups are not what is measured
    print("scenario | interval ms | p50 ms | p99 ms | max ms | loop req/s | server CPU % | burn turns/s | kv calls/s")
    for scenario in args.only:
        extra = ["--release-gil"] if args.release_gil else []
        with server(["--scenario", scenario, *extra], prefix=("nice", "-n", "10")) as port, alone(args.lock):
            paced(port, 500, 0.5)
            for interval in args.intervals[:1] if scenario in ("none", "other process") else args.intervals:
                rows: list[list[float]] = []
                for _ in range(args.reps):
                    before = control(port, interval / 1e3)
                    if args.saturate:
                        got = wrk(port, 64, args.seconds)
                        p50, p99, top = got["p50"], got["p99"], float("nan")
                    else:
                        times = sorted(paced(port, args.rate, args.seconds))
                        p50, p99, top = (times[int(len(times) * q)] * 1e3 for q in (0.5, 0.99, 0.99999))
                    after = control(port)
                    span = after["t"] - before["t"]
                    d = {key: (after[key] - before[key]) / span for key in after}
                    rows.append([p50, p99, top, d["served"], d["cpu"] * 100, d.get("burn", 0), d.get("kv", 0) * 100])
                middle = [statistics.median(column) for column in zip(*rows, strict=True)]
                cells = [f"{value:.2f}" if at < 3 else f"{value:.0f}" for at, value in enumerate(middle)]
                print(f"{scenario} | {interval} | " + " | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
