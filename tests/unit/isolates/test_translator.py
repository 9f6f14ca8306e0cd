"""The translator of TypeScript: never while the event loop waits, and never twice for the same source."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from tests.unit.isolates.fake_host import CPU_MS, MEMORY_BYTES, drive

from perdure.isolates import CallHistory, GuestHost, InlineOverrunError, Isolates, Runner
from perdure.isolates import _translator as translator
from perdure.isolates._isolate import NoHost

FAILURE = {"error": {"line": 1, "column": 2, "message": "Unexpected token"}}


class FakeIsolate:
    """Answers in the translator's place, and notes on which threads."""

    language = "javascript"
    is_alive = True
    memory_bytes = 0

    def __init__(self, reply: object, threads: list[int]) -> None:
        self.host: GuestHost = NoHost()
        self._reply = json.dumps(reply)
        self._threads = threads

    def call(self, op: int, payload: str, *, cpu_ms: int) -> str:
        self._threads.append(threading.get_ident())
        return self._reply

    def close(self) -> None: ...


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner(threads_max=1)
    yield made
    made.close()


def short_history() -> CallHistory:
    history = CallHistory()
    while not history.is_short:
        history.record(0.1)
    return history


@pytest.mark.parametrize("reply", [{"ok": "1"}, FAILURE])
async def test_nothing_is_translated_while_the_event_loop_waits(runner: Runner, reply: object) -> None:
    threads: list[int] = []
    translating = translator.Translator(lambda: FakeIsolate(reply, threads))
    history = short_history()

    def turn(cpu_ms: int) -> str:
        return translating.translate("ts", "a.ts", "1 as number")

    with pytest.raises(InlineOverrunError, match=r"`a\.ts`"):
        await runner.run(turn, history, cpu_ms=CPU_MS)
    assert not threads
    assert not history.is_short

    translated = await runner.run(turn, history, cpu_ms=CPU_MS)
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
    assert await runner.run(turn, short_history(), cpu_ms=CPU_MS) == translated
    assert len(threads) == 1


async def test_a_turn_that_fails_inline_leaves_no_mark_on_its_thread(runner: Runner) -> None:
    threads: list[int] = []
    translating = translator.Translator(lambda: FakeIsolate({"ok": "1"}, threads))

    with pytest.raises(InlineOverrunError):
        runner.run_inline(lambda cpu_ms: translating.translate("ts", "a.ts", ""), CallHistory(), cpu_ms=CPU_MS)

    assert translating.translate("ts", "a.ts", "") == "1"


async def test_a_guest_that_imports_typescript_inline_is_repeated_on_a_thread(
    isolates: Isolates, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    ask = translator.Translator._ask

    def noting(self: translator.Translator, payload: str) -> str:
        threads.append(threading.get_ident())
        return ask(self, payload)

    monkeypatch.setattr(translator.Translator, "_ask", noting)
    modules = {"main.js": "export * from './typed.ts'", "typed.ts": "export const inline: number = 20_26"}

    def load(cpu_ms: int) -> object:
        isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
        try:
            return drive(isolate, modules, cpu_ms=CPU_MS).load("main.js")
        finally:
            isolate.close()

    with pytest.raises(InlineOverrunError, match=r"`typed\.ts`"):
        runner.run_inline(load, CallHistory(), cpu_ms=CPU_MS)
    assert not threads

    loaded = await runner.run_on_thread(load, CallHistory(), cpu_ms=CPU_MS)
    assert isinstance(loaded, dict)
    assert "ok" in loaded
    assert threads
    assert threading.get_ident() not in threads
