"""What ends an isolate, and that nothing else is harmed by it."""

from __future__ import annotations

import threading

import pytest
from tests.unit.isolates.conftest import Python
from tests.unit.isolates.fake_host import MEMORY_BYTES, drive

from perdure.errors import GuestCrashedError, LimitExceededError, ObjectResetError
from perdure.isolates import Isolates
from perdure.limits import MIB
from perdure.wire import HostOp

ENDLESS = {
    "plain loop": "while True: pass",
    "regular expression": "import re\nre.match(r'(a+)+$', 'a' * 40 + 'b')",
    "big integer": "9 ** (10 ** 8)",
    "C loop": "sum(range(10 ** 12))",
    "catches everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "endless callbacks": "import asyncio\nwhile True: await asyncio.sleep(0)",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS.keys())
def test_endless_code_is_stopped(python: Python, source: str) -> None:
    guest = python(cpu_ms=150)

    with pytest.raises(LimitExceededError, match="more than its 150 ms of CPU time") as caught:
        guest.evaluate(source)

    assert caught.value.limit == "cpu"


def test_endless_module_is_stopped_while_it_loads(isolates: Isolates) -> None:
    isolate = isolates.create("python", memory_bytes=MEMORY_BYTES)
    guest = drive(isolate, {"worker.py": "while True: pass"}, cpu_ms=50)

    with pytest.raises(LimitExceededError):
        guest.load()

    assert not isolate.is_alive


def test_memory_bomb_ends_the_isolate(python: Python) -> None:
    guest = python(memory_bytes=64 * MIB)

    with pytest.raises(LimitExceededError, match="more than its 64 MiB of memory") as caught:
        guest.evaluate("kept = []\nwhile True: kept.append(bytes(1 << 20))")

    assert caught.value.limit == "memory"


def test_caught_memory_error_is_the_workers_own_affair(python: Python) -> None:
    guest = python(memory_bytes=64 * MIB)

    outcome = guest.evaluate("try: kept = bytes(1 << 30)\nexcept MemoryError: kept = None\nkept is None")

    assert outcome is True


def test_memory_limit_bounds_what_can_be_kept(python: Python) -> None:
    source = (
        "kept = []\ntry:\n    while True: kept.append(bytes(1 << 20))\n"
        "except MemoryError:\n    size = len(kept)\n    kept.clear()\nsize"
    )

    small, large = (python(memory_bytes=size * MIB).evaluate(source) for size in (64, 256))

    assert 10 < small < 64
    assert 180 < large < 256


def test_recursion_is_an_ordinary_error(python: Python) -> None:
    with pytest.raises(RuntimeError, match="RecursionError"):
        python().evaluate("def deeper(n): return deeper(n + 1)\ndeeper(0)")


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef deeper(n): return deeper(n + 1)\ndeeper(0)",
        "nested = []\nfor _ in range(10 ** 6): nested = [nested]\nlen(repr(nested))",
    ],
)
def test_recursion_in_native_code_ends_the_isolate(python: Python, source: str) -> None:
    with pytest.raises(LimitExceededError, match="stack of 4 MiB") as caught:
        python().evaluate(source)

    assert caught.value.limit == "stack"


@pytest.mark.parametrize("source", ["import os\nos._exit(3)", "import os\nos.abort()"])
def test_ending_the_runtime_is_a_crash(python: Python, source: str) -> None:
    with pytest.raises(GuestCrashedError):
        python().evaluate(source)


@pytest.mark.parametrize(
    "source",
    ["import select\nselect.select([], [], [], 3)", "import select\nselect.poll().poll(3000)"],
)
def test_blocking_is_stopped_at_once(python: Python, source: str) -> None:
    with pytest.raises(GuestCrashedError, match=r"await asyncio\.sleep"):
        python().evaluate(source)


TRIES = """
from workers import DurableObject
class App(DurableObject):
    def run(self):
        try: {}
        except BaseException: return "caught"
"""
STORES = TRIES.format("self.ctx.storage.kv.get('a')")
ABORTS = TRIES.format("self.ctx.abort('enough')")


def test_hosts_exception_ends_the_isolate_and_comes_out_unchanged(python: Python) -> None:
    guest = python(STORES)
    guest.start()
    failure = KeyboardInterrupt("from the host")

    def fail(key: str, payload: str) -> str:
        raise failure

    guest.host.answers[HostOp.KV_GET] = fail

    with pytest.raises(KeyboardInterrupt) as caught:
        guest.call("run")
    assert caught.value is failure
    with pytest.raises(GuestCrashedError, match="has ended"):
        guest.call("run")


def test_abort_cannot_be_caught(python: Python) -> None:
    guest = python(ABORTS)
    guest.start()
    guest.host.answers[HostOp.ABORT] = lambda key, payload: ""

    with pytest.raises(ObjectResetError, match="enough"):
        guest.call("run")


def test_too_many_host_calls_end_the_isolate(python: Python, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.isolates._wasm_isolate.HOST_CALLS_PER_TURN_MAX", 100)
    guest = python()

    assert guest.evaluate("for n in range(90): print(n)\n'fine'") == "fine"
    with pytest.raises(LimitExceededError, match="host calls") as caught:
        guest.evaluate("for n in range(200): print(n)")

    assert caught.value.limit == "host_calls"


def test_too_large_an_answer_ends_the_isolate(python: Python, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.isolates._wasm_isolate.GUEST_REPORT_BYTES_MAX", 1000)
    guest = python()

    with pytest.raises(LimitExceededError, match="the limit is 1000") as caught:
        guest.evaluate("'x' * 2000")

    assert caught.value.limit == "output"


def test_cpu_time_is_counted_per_call(python: Python) -> None:
    guest = python(cpu_ms=400)

    for _ in range(5):
        assert guest.evaluate("total = 0\nfor n in range(300_000): total += n\ntotal") == 44999850000


def test_neighbours_of_an_ended_isolate_are_unharmed(python: Python) -> None:
    neighbour, guest = python("kept = 7\n"), python(cpu_ms=50)

    with pytest.raises(LimitExceededError):
        guest.evaluate("while True: pass")

    assert neighbour.evaluate("import sys\nsys.modules['worker'].kept") == 7


def test_close_is_idempotent_and_final(isolates: Isolates) -> None:
    isolate = isolates.create("python", memory_bytes=MEMORY_BYTES)

    isolate.close()
    isolate.close()

    assert not isolate.is_alive
    with pytest.raises(GuestCrashedError):
        isolate.call(4, "{}", cpu_ms=100)


def test_isolate_closed_from_another_thread_is_stopped_soon(isolates: Isolates) -> None:
    isolate = isolates.create("python", memory_bytes=MEMORY_BYTES)
    guest = drive(isolate, {"worker.py": ""}, cpu_ms=60_000)
    guest.load()
    running = threading.Event()

    def started(key: str, payload: str) -> str:
        running.set()
        return ""

    def close() -> None:
        running.wait(10)
        isolate.close()

    guest.host.answers[HostOp.LOG] = started
    closer = threading.Thread(target=close)
    closer.start()

    with pytest.raises(GuestCrashedError, match="has ended"):
        guest.evaluate("print('running')\nwhile True: pass")

    closer.join()
    assert not isolate.is_alive


def test_guests_compute_at_the_same_time(isolates: Isolates) -> None:
    meeting = threading.Barrier(2, timeout=10)
    met: list[int] = []

    def meet(key: str, payload: str) -> str:
        met.append(meeting.wait())
        return ""

    def run() -> None:
        isolate = isolates.create("python", memory_bytes=MEMORY_BYTES)
        guest = drive(isolate, {"worker.py": ""})
        guest.load()
        guest.host.answers[HostOp.LOG] = meet
        guest.evaluate("print('here')")
        isolate.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(met) == [0, 1]
