"""What ends a JavaScript isolate, and what does not."""

from __future__ import annotations

import threading

import pytest
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import MEMORY_BYTES, drive

from perdure.errors import GuestCrashedError, LimitExceededError
from perdure.isolates import Isolates
from perdure.isolates._javascript import JavaScriptIsolate
from perdure.limits import MIB
from perdure.wire import HostOp

LOOPS = {
    "loop": "for (;;);",
    "loop that catches": "for (;;) try { throw 1 } catch {} finally { continue }",
    "regular expression": "/^(a+)+$/.test('a'.repeat(40) + 'b')",
    "bigint": "let n = 3n; for (;;) n *= n",
    "bigint in one step": "(3n ** 3_000_000n).toString().length",
    "promise jobs": "const again = () => Promise.resolve().then(again); await again()",
    "microtasks": "const again = () => queueMicrotask(again); again(); await new Promise(() => {})",
    "async generator": "async function* all() { for (;;) yield 1 } for await (const each of all());",
    "getter": "JSON.stringify({ get a() { for (;;); } })",
    "sort": "const all = Array.from({ length: 1e6 }, Math.random); for (;;) all.sort(() => Math.random() - 0.5)",
    "string search": "const text = 'a'.repeat(1e6); for (;;) text.indexOf('a'.repeat(5e5) + 'b')",
    "JSON": "const text = JSON.stringify(Array(1e5).fill(1)); for (;;) JSON.parse(text)",
    "proxy": "const all = new Proxy({}, { ownKeys: () => { for (;;); } }); Object.keys(all)",
    "clone": "const all = Array(1e5).fill({}); for (;;) structuredClone(all)",
    "toString of the answer": "({ toString() { for (;;); } }) + ''",
    "key derivation": (
        "const k = await crypto.subtle.importKey('raw', new Uint8Array(8), 'PBKDF2', false, ['deriveBits']);"
        " const way = { name: 'PBKDF2', hash: 'SHA-256', salt: new Uint8Array(8), iterations: 1e9 };"
        " await crypto.subtle.deriveBits(way, k, 256)"
    ),
    "stream": "for await (const each of new ReadableStream({ pull(out) { out.enqueue(1) } }));",
    "pipe": "await new ReadableStream({ pull(out) { out.enqueue(1) } }).pipeTo(new WritableStream())",
    "pattern of addresses": "new URLPattern({ pathname: '/:a((?:x+x+)+y)' }).test('https://a.b/' + 'x'.repeat(60))",
    "keys of RSA": (
        "const publicExponent = new Uint8Array([1, 0, 1]);"
        " const way = { name: 'RSA-PSS', modulusLength: 4096, publicExponent, hash: 'SHA-256' };"
        " for (;;) await crypto.subtle.generateKey(way, true, ['sign'])"
    ),
    "random bytes": "for (;;) crypto.getRandomValues(new Uint8Array(65536))",
    "time": "while (Date.now() < 9e15);",
}
BOMBS = {
    "arrays": "const kept = []; for (;;) kept.push(new Array(1e4).fill(1))",
    "objects": "const kept = []; for (;;) kept.push({ a: 1 })",
    "strings": "const kept = []; for (let n = 0; ; n++) kept.push(String(n).repeat(1e5))",
    "buffers": "const kept = []; for (;;) kept.push(new Uint8Array(1e6))",
    "map": "const kept = new Map(); for (let n = 0; ; n++) kept.set(n, String(n))",
    "blobs": "const kept = []; for (;;) kept.push(new Blob([new Uint8Array(1e6)]))",
    "stream that nobody reads": "new ReadableStream({ start(out) { for (;;) out.enqueue(new Uint8Array(1e6)) } })",
    "closures": "let kept = () => 1; for (;;) { const last = kept; kept = () => last }",
}
RECURSIONS = {
    "function": "(function deeper() { deeper() })()",
    "comparison of Node": (
        "const { isDeepStrictEqual } = await import('node:util');"
        " const deep = () => { let all = {}; for (let n = 0; n < 1e5; n++) all = { all }; return all };"
        " isDeepStrictEqual(deep(), deep())"
    ),
    "arguments": "(function deeper(...all) { return deeper(...all, 1) })()",
    "method": "({ deeper() { return this.deeper() } }).deeper()",
    "constructor": "new (class Deeper { constructor() { new Deeper() } })()",
    "getter": "({ get deeper() { return this.deeper } }).deeper",
    "callback": "(function deeper() { [1].map(deeper) })()",
    "comparison": "(function deeper() { [2, 1].sort(deeper) })()",
    "replacement": "(function deeper() { 'a'.replace(/a/, deeper) })()",
    "coercion": "const deeper = { toString() { return '' + deeper } }; '' + deeper",
    "generator": "(function* deeper() { yield* deeper() })().next()",
    "proxy": "new Proxy({}, { get(target, key, proxy) { return proxy[key] } }).deeper",
    "JSON text": "JSON.parse('['.repeat(1e6))",
    "JSON tree": "let deep = []; for (let n = 0; n < 1e5; n++) deep = [deep]; JSON.stringify(deep)",
    "parentheses": "eval('('.repeat(1e6))",
    "brackets": "eval('['.repeat(1e6))",
    "signs": "eval('!'.repeat(1e6) + 1)",
    "clone": "let deep = []; for (let n = 0; n < 1e5; n++) deep = [deep]; structuredClone(deep)",
    "flattening": "let deep = []; for (let n = 0; n < 1e5; n++) deep = [deep]; deep.flat(Infinity)",
    "host calls at depth": "(function deeper() { crypto.randomUUID(); deeper() })()",
    "console at depth": "(function deeper() { console.log({ a: [1] }); deeper() })()",
}


@pytest.mark.parametrize("source", LOOPS.values(), ids=LOOPS.keys())
def test_computing_too_long_ends_the_isolate(javascript: JavaScript, source: str) -> None:
    guest = javascript(cpu_ms=60)

    with pytest.raises(LimitExceededError, match="60 ms of CPU") as caught:
        guest.evaluate(source)

    assert caught.value.limit == "cpu"
    with pytest.raises(GuestCrashedError, match="has ended"):
        guest.evaluate("1")


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS.keys())
def test_memory_that_is_not_there_ends_the_isolate(javascript: JavaScript, source: str) -> None:
    guest = javascript(cpu_ms=20_000, memory_bytes=32 * MIB)

    with pytest.raises(LimitExceededError, match="32 MiB of memory") as caught:
        guest.evaluate(source)

    assert caught.value.limit == "memory"


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS.keys())
def test_error_of_memory_that_is_caught_is_the_workers_own_affair(javascript: JavaScript, source: str) -> None:
    guest = javascript(cpu_ms=20_000, memory_bytes=32 * MIB)

    outcome = guest.evaluate(
        f"let outcome; try {{ (() => {{ {source} }})() }} catch (error) {{ outcome = error.message }} outcome"
    )

    assert outcome == "out of memory"
    assert guest.evaluate("1 + 1") == 2


@pytest.mark.parametrize("source", ["new Array(1e9).fill(1)", "'x'.repeat(2 ** 29)", "new ArrayBuffer(2 ** 33)"])
def test_one_huge_allocation_is_an_ordinary_error(javascript: JavaScript, source: str) -> None:
    guest = javascript(memory_bytes=32 * MIB, cpu_ms=20_000)

    assert guest.evaluate(f"let name; try {{ {source} }} catch (error) {{ name = error.name }} typeof name") == "string"


@pytest.mark.parametrize("source", RECURSIONS.values(), ids=RECURSIONS.keys())
def test_recursion_is_an_ordinary_error(javascript: JavaScript, source: str) -> None:
    guest = javascript()

    outcome = guest.evaluate(
        f"let caught; try {{ {source} }} catch (error) {{ caught = error }} caught instanceof RangeError"
    )

    assert outcome is True
    assert guest.evaluate("1 + 1") == 2


def test_recursion_that_nobody_catches_has_its_lines(javascript: JavaScript) -> None:
    with pytest.raises(
        RuntimeError, match=r"RangeError: Maximum call stack size exceeded\n    at deeper \(snippet.js:1"
    ):
        javascript().evaluate("(function deeper() { deeper() })()")


def test_recursion_is_caught_on_a_thread_too(isolates: Isolates) -> None:
    outcomes = []

    def run() -> None:
        isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
        guest = drive(isolate, {"worker.js": ""})
        guest.load("worker.js")
        outcomes.append(guest.evaluate("try { eval('['.repeat(1e6)) } catch (error) { error.name }"))
        isolate.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert outcomes == ["RangeError"]


def test_some_hundred_calls_deep_is_fine(javascript: JavaScript) -> None:
    assert javascript().evaluate("(function deeper(n) { return n ? 1 + deeper(n - 1) : 0 })(500)") == 500


def test_too_large_an_answer_ends_the_isolate(javascript: JavaScript) -> None:
    with pytest.raises(LimitExceededError) as caught:
        javascript(memory_bytes=512 * MIB).evaluate("'x'.repeat(34 * 2 ** 20)")

    assert caught.value.limit == "output"


@pytest.mark.parametrize("size", [0, 1, 59_000, 60_000, 61_000, 5_000_000])
def test_texts_of_any_size_go_both_ways(javascript: JavaScript, size: int) -> None:
    guest = javascript()

    text = "ä" * size

    assert guest.evaluate("given + given.length", given=text) == f"{text}{size}"


def test_large_replies_of_the_host_arrive(javascript: JavaScript) -> None:
    guest = javascript({"worker.js": "", "large.txt": ("text", "y" * 3_000_000)})

    assert guest.evaluate("(await import('./large.txt')).default.length") == 3_000_000


def test_too_many_host_calls_end_the_isolate(javascript: JavaScript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.isolates._wasm_isolate.HOST_CALLS_PER_TURN_MAX", 100)
    guest = javascript()

    with pytest.raises(LimitExceededError) as caught:
        guest.evaluate("for (;;) console.log(1)")

    assert caught.value.limit == "host_calls"


def test_memory_is_measured(isolates: Isolates) -> None:
    isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
    guest = drive(isolate, {"worker.js": ""})
    guest.load("worker.js")

    before = isolate.memory_bytes
    guest.evaluate("globalThis.kept = new Uint8Array(10_000_000).fill(1); 0")
    after = isolate.memory_bytes
    isolate.close()

    assert before < MIB
    assert 9_000_000 < after - before < 12_000_000
    assert isolate.memory_bytes == 0


def test_lone_surrogates_do_not_end_the_isolate(javascript: JavaScript) -> None:
    guest = javascript()

    guest.evaluate("console.log('\\ud800'); globalThis.found = import('./\\ud800').catch(() => 1); 0")

    assert guest.host.log == [("log", "\ufffd")]
    assert guest.evaluate("'\\ud800'") == "\ud800"


def test_exception_of_the_host_ends_the_isolate_and_comes_out_unchanged(javascript: JavaScript) -> None:
    guest = javascript()
    failure = KeyboardInterrupt("from the host")

    def fail(key: str, payload: str) -> str:
        raise failure

    guest.host.answers[HostOp.LOG] = fail

    with pytest.raises(KeyboardInterrupt) as caught:
        guest.evaluate("try { console.log(1) } catch { 'caught' }")
    assert caught.value is failure
    with pytest.raises(GuestCrashedError, match="has ended"):
        guest.evaluate("1")


def test_isolate_closed_from_another_thread_is_stopped_soon(isolates: Isolates) -> None:
    isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
    guest = drive(isolate, {"worker.js": ""}, cpu_ms=60_000)
    guest.load("worker.js")
    running = threading.Event()

    def note(key: str, payload: str) -> str:
        running.set()
        return ""

    def close() -> None:
        running.wait(10)
        isolate.close()

    guest.host.answers[HostOp.LOG] = note
    closer = threading.Thread(target=close)
    closer.start()

    with pytest.raises(GuestCrashedError, match="has ended"):
        guest.evaluate("console.log('running'); for (;;);")

    closer.join()
    assert not isolate.is_alive


def test_unused_imports_are_refused(isolates: Isolates) -> None:
    isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
    assert isinstance(isolate, JavaScriptIsolate)

    with pytest.raises(GuestCrashedError, match="random bytes"):
        isolate.answer(HostOp.RANDOM, "99999999999", "")
    isolate.close()


def test_what_refers_to_itself_is_collected(javascript: JavaScript) -> None:
    source = "for (let n = 0; n < 1_000; n++) { const all = { data: new Uint8Array(1e6) }; all.me = all } 'done'"

    assert javascript().evaluate(source) == "done"


def test_a_collection_leaves_the_snapshot_alone(isolates: Isolates) -> None:
    """It would copy all of it into private memory of the instance."""
    isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
    assert isinstance(isolate, JavaScriptIsolate)
    memory = isolate._memory
    before = bytes(memory.read(0, memory.size_bytes))
    guest = drive(isolate, {"worker.js": ""})
    guest.load("worker.js")

    guest.evaluate("for (let n = 0; n < 50_000; n++) { const all = {}; all.me = all }")

    after = bytes(memory.read(0, len(before)))
    pages = [range(start, start + 4096) for start in range(0, len(before), 4096) if any(before[start : start + 4096])]
    written = sum(before[page.start : page.stop] != after[page.start : page.stop] for page in pages)
    isolate.close()
    assert written < len(pages) / 2
