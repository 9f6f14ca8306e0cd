"""Attempts to leave the JavaScript sandbox. Each one first succeeds in a plain Node, where there is one.

An attempt is a snippet whose last expression is true when it got what it wanted. In the sandbox it must throw, be
false, or end the isolate; the host must be none the wiser.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import MEMORY_BYTES, Driver, FakeHost, drive

from perdure.errors import GuestError, LimitExceededError, PerdureError
from perdure.isolates import Isolates
from perdure.isolates._core_module import Number
from perdure.isolates._javascript import JavaScriptIsolate
from perdure.wire import GuestOp, HostOp

NODE = shutil.which("node")
OUTSIDE = Path(__file__).with_name("outside.mjs")

PLAIN_NODE = """
globalThis.require = require; globalThis.module = module;
const { runInThisContext, constants } = require("node:vm");
const source = process.argv[1];
const run = /\\bawait\\b/.test(source)
  ? `(async () => { ${source.replace(/([^;]*)$/, " return ($1)")} })()`
  : source;
Promise.resolve(runInThisContext(run, { importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER }))
  .then((value) => { process.stdout.write(value ? "SUCCEEDED" : "failed"); process.exit(); });
"""

FILES = {
    "read a file": "require('fs').readFileSync('/etc/passwd').length > 0",
    "read a file by import": "const fs = await import('node:fs'); fs.readFileSync('/etc/passwd').length > 0",
    "list the root": "require('fs').readdirSync('/').length > 0",
    "write a file": "const d = require('fs').mkdtempSync(require('os').tmpdir() + '/x'); d.length > 0",
    "read own memory maps": "require('fs').readFileSync('/proc/self/maps').length > 0",
    "import a file by path": f"const m = await import({json.dumps(str(OUTSIDE))}); m.secret === 1",
    "import code from a URL": "const m = await import('data:text/javascript,export default 1'); m.default === 1",
    "internal binding": "typeof process.binding('fs') === 'object'",
}
PROCESSES = {
    "run a program": "require('child_process').execFileSync('true').length === 0",
    "run a shell": "require('child_process').execSync('echo x').length > 0",
    "signal the host": "process.kill(process.pid, 0) === true",
    "learn the parent": "process.ppid > 0",
    "environment": "'PATH' in process.env",
    "arguments of the host": "process.argv.length > 0",
    "memory of the host": "process.memoryUsage().rss > 0",
    "start a thread": "new (require('worker_threads').Worker)('0', { eval: true }) instanceof Object",
    "load native code": "typeof process.dlopen === 'function'",
    "compile wasm": "new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])) instanceof Object",
    "write to standard output": "process.stdout.write('') === true",
    "change directory": "process.chdir('/') === undefined && process.cwd() === '/'",
}
NETWORK = {
    "listen": "typeof require('net').createServer().listen(0) === 'object'",
    "connect": "typeof require('net').connect(9, '127.0.0.1').on('error', () => {}) === 'object'",
    "datagram": "typeof require('dgram').createSocket('udp4').bind(0) === 'object'",
    "resolve a name": "const found = await require('dns').promises.lookup('localhost'); found.address.length > 0",
}
LANGUAGE = {
    "the function constructor": "(() => {}).constructor('return process')().pid > 0",
    "the async function constructor": "const p = await (async () => {}).constructor('return process')(); p.pid > 0",
    "indirect eval": "(0, eval)('process').pid > 0",
    "the constructor of a host object": "console.log.constructor('return process')().pid > 0",
    "the constructor of an error": (
        "let found; try { null.x } catch (error) { found = error.constructor.constructor('return process')() };"
        " found.pid > 0"
    ),
    "frames of the host": "new Error().stack.includes('node:')",
    "the main module": "Boolean(module.constructor._load('fs').readFileSync)",
    "block the thread": "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10) === 'timed-out'",
    "a fine clock": "const t = performance.now(); let u = t; while (u === t) u = performance.now(); u - t < 0.5",
    "read the heap": "require('v8').getHeapStatistics().total_heap_size > 0",
}
ATTEMPTS = {**FILES, **PROCESSES, **NETWORK, **LANGUAGE}


@pytest.fixture(scope="module", autouse=True)
def outside() -> Iterator[None]:
    """A file beside this one that a guest must not be able to import."""
    OUTSIDE.write_text("export const secret = 1;\n", encoding="utf-8")
    yield
    OUTSIDE.unlink()


@pytest.mark.parametrize("source", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_attempt_succeeds_in_plain_node_and_fails_inside(
    javascript: JavaScript, source: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if NODE is not None:
        plain = subprocess.run(
            [NODE, "-e", PLAIN_NODE, source], capture_output=True, text=True, timeout=30, check=False
        )
        assert plain.stdout.endswith("SUCCEEDED"), plain.stdout + plain.stderr

    try:
        outcome = javascript(cpu_ms=200).evaluate(source)
    except (RuntimeError, GuestError):
        outcome = False

    written = capfd.readouterr()
    assert outcome is False
    assert (written.out, written.err) == ("", "")


# ── the runtime itself, turned against us ────────────────────────────────────────────────────────────────────

OBJECT = """
import { DurableObject } from "cloudflare:workers";
export class App extends DurableObject {
  async fetch(request) {
    this.ctx.storage.kv.put("k", { a: [1, new Date()] });
    await 0;
    return new Response("still here");
  }
  spoil(source) { (0, eval)(source); return "spoilt"; }
}
"""
SPOILERS = {
    "JSON.parse": "JSON.parse = () => ({ e: 99, k: 'fetch' })",
    "JSON.stringify": 'JSON.stringify = () => \'{"d":[[1,1,{"s":200}]]}\'',
    "toJSON": "Object.prototype.toJSON = () => 'forged'",
    "array methods": (
        "for (const k of Object.getOwnPropertyNames(Array.prototype)) try { Array.prototype[k] = () => [] } catch {}"
    ),
    "array iterator": "Array.prototype[Symbol.iterator] = function* () { for (;;) yield 1 }",
    "push keeps what it sees": "Array.prototype.push = function (x) { globalThis.seen = x; return 0 }",
    "promise then": "Promise.prototype.then = (f) => f({ forged: true })",
    "promise resolve": "Promise.resolve = () => ({ then() {} }); Promise.withResolvers = () => ({})",
    "map and set": "Map.prototype.get = () => undefined; Map.prototype.set = null; Set.prototype.has = () => true",
    "strings": (
        "String.prototype.slice = () => '!'; String.prototype.split = () => []; String.prototype.toWellFormed = () => 5"
    ),
    "getters on all objects": (
        "Object.defineProperty(Object.prototype, 'd', { get() { throw new Error('mine') }, set() {} })"
    ),
    "setters on all objects": "Object.defineProperty(Object.prototype, '0', { set(v) { globalThis.seen = v } })",
    "reports of our own": "Object.prototype.o = [[1, 'facet.fetch', {}]]; Object.prototype.s = 5",
    "reflection": "Reflect.apply = () => 1; Reflect.get = () => 1; Object.keys = () => []; Object.hasOwn = () => true",
    "classes": "globalThis.Response = class { status = 200 }; globalThis.Headers = null; globalThis.Date = null",
    "instanceof": "Object.defineProperty(Function.prototype, Symbol.hasInstance, { value: () => true })",
    "regular expressions": "RegExp.prototype.test = () => true; RegExp.prototype.exec = () => null",
    "errors": "globalThis.Error = null; Object.defineProperty(Error.prototype, 'stack', { get() { throw 1 } })",
    "everything frozen": (
        "for (const k of Reflect.ownKeys(globalThis)) try { Object.freeze(globalThis[k].prototype) } catch {}"
    ),
    "everything deleted": "for (const k of Reflect.ownKeys(globalThis)) try { delete globalThis[k] } catch {}",
    "typed arrays": "Uint8Array.prototype.toBase64 = () => ({}); Uint8Array.fromBase64 = () => ({ buffer: null })",
    "endless getter": "Object.defineProperty(Object.prototype, 'x', { get() { for (;;); } })",
    "weak maps": "WeakMap.prototype.get = () => ({ isPromise: true }); WeakMap.prototype.set = null",
    "proxies": "globalThis.Proxy = function () { return {} }; FinalizationRegistry.prototype.register = null",
    "capabilities of our own": (
        "Object.prototype.c = [[1, 5]]; Object.prototype.path = ['x']; Object.prototype.rel = [[1, 1]]"
    ),
    "symbols": "Symbol.iterator.constructor.prototype[Symbol.toPrimitive] = () => { throw 1 }",
}


@pytest.mark.parametrize("spoiler", SPOILERS.values(), ids=SPOILERS.keys())
def test_spoilt_runtime_harms_nobody_but_its_own_worker(javascript: JavaScript, spoiler: str) -> None:
    neighbour, guest = javascript(OBJECT), javascript(OBJECT, cpu_ms=300)
    for each in (neighbour, guest):
        each.start()
    allowed = {HostOp.KV_PUT, HostOp.KV_GET, HostOp.LOG, HostOp.CLOCK, HostOp.MODULE, HostOp.RANDOM, HostOp.EXHAUSTED}

    with contextlib.suppress(GuestError, ValueError):  # a malformed report is refused by its reader
        guest.call("spoil", spoiler)
        for _ in range(2):
            guest.fetch()

    assert {op for op, _, _ in guest.host.calls} <= allowed
    assert neighbour.fetch()["d"][0][2]["b"] == "still here"


def test_our_own_names_are_gone_from_the_global_object(javascript: JavaScript) -> None:
    source = "Reflect.ownKeys(globalThis).filter((key) => String(key).includes('perdure')).join()"

    assert javascript().evaluate(source) == ""


def test_neighbours_share_nothing(javascript: JavaScript) -> None:
    one, other = javascript(), javascript()

    one.evaluate("globalThis.mark = 1; Object.prototype.mark = 2; Array.prototype.map = null; 0")

    assert other.evaluate("typeof mark + typeof {}.mark + typeof [].map") == "undefinedundefinedfunction"


# ── forged pointers and lengths ──────────────────────────────────────────────────────────────────────────────

WORDS = st.integers(0, 2**32 - 1) | st.integers(0, 2**21) | st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1])


@pytest.fixture(scope="module")
def forged(isolates: Isolates) -> Iterator[JavaScriptIsolate]:
    """An isolate whose host functions are called with whatever a guest that was taken over might pass."""
    isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
    assert isinstance(isolate, JavaScriptIsolate)
    isolate.host = FakeHost({"worker.js": "export default 1"})
    isolate._store.begin(60_000)
    yield isolate
    isolate._store.finish()
    isolate.close()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.tuples(st.integers(0, 20) | WORDS, WORDS, WORDS, WORDS, WORDS))
def test_forged_host_calls_are_refused_or_answered(forged: JavaScriptIsolate, words: tuple[int, ...]) -> None:
    numbers = (Number * 5)()
    for number, word in zip(numbers, words, strict=True):
        number.u64 = word

    with contextlib.suppress(PerdureError):  # an abort is no error of the guest's
        forged.answer_bridge(numbers)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=WORDS, second=WORDS)
def test_forged_places_of_other_imports_are_refused_or_used(forged: JavaScriptIsolate, first: int, second: int) -> None:
    for work in (
        forged.load,
        forged.resolve,
        forged.fill_randomly,
        lambda place, _: forged.write_time(place),
    ):
        # Whatever lies inside its own memory is the guest's to spoil: only reads and writes beyond it matter here.
        with contextlib.suppress(GuestError):
            work(min(first, 2**32 - 1) | 2**31, second)


# ── life and death ───────────────────────────────────────────────────────────────────────────────────────────


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def _live_and_die(isolates: Isolates, times: int) -> None:
    for _ in range(times):
        isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
        guest: Driver = drive(isolate, {"worker.js": "export const kept = Array.from({ length: 1000 }, () => [1])"})
        guest.load("worker.js")
        isolate.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("cycles", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_isolates_leave_nothing_behind(isolates: Isolates, cycles: int) -> None:
    _live_and_die(isolates, 50)
    before = _resident_bytes()

    _live_and_die(isolates, cycles)

    assert _resident_bytes() - before < 4 * 1024 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_isolates_that_crash_leave_nothing_behind(isolates: Isolates) -> None:
    def crash(times: int) -> None:
        for _ in range(times):
            isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
            with pytest.raises(LimitExceededError):
                drive(isolate, {"worker.js": "for (;;);"}, cpu_ms=1).load("worker.js")
            isolate.close()

    crash(10)
    before = _resident_bytes()
    crash(50)

    assert _resident_bytes() - before < 4 * 1024 * 1024


def test_operation_that_no_guest_knows_ends_its_isolate(isolates: Isolates) -> None:
    isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)

    with pytest.raises(GuestError, match="knows no operation 4242"):
        isolate.call(4242, "{}", cpu_ms=100)
    with pytest.raises(GuestError, match="has ended"):
        isolate.call(GuestOp.LOAD, "{}", cpu_ms=100)
    isolate.close()
