"""A guest session over a scripted guest: turns in order, overruns, ends, cancelled callers, hostile reports."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest
from tests.unit.workers.fakes import Stage, done, steps

from perdure.api import KeptValue
from perdure.errors import (
    GuestCrashedError,
    GuestError,
    InternalError,
    ObjectResetError,
    OverloadedError,
    PerdureError,
    WorkerCodeError,
    WorkerLoadError,
)
from perdure.limits import GUEST_PENDING_OPERATIONS_MAX, GUEST_TIMER_MS_MIN
from perdure.testing import run_sim
from perdure.wire import GuestOp
from perdure.workers import ObjectStart


def answers_at_once(op: int, payload: dict[str, Any]) -> Any:
    return done(payload["e"], payload.get("m")) if op == GuestOp.EVENT else None


def never_answers(op: int, payload: dict[str, Any]) -> Any:
    return {"p": 1} if op == GuestOp.EVENT else None


# ── a turn ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_short", [True, False])
def test_a_turn_is_committed_before_the_gate_is_left(is_short: bool) -> None:  # noqa: FBT001  # a parameter of the test
    async def scenario() -> None:
        stage = await Stage(answers_at_once, is_short=is_short).booted()

        assert await stage.session.event({"k": "call", "m": "hello"}) == "hello"

        assert stage.hooks.log == ["enter", "begin", "commit", "committed", "leave"]
        assert stage.runner.places == ["inline" if is_short else "thread"]

    run_sim(scenario)


def test_the_boot_loads_the_code_and_starts_the_object() -> None:
    async def scenario() -> None:
        stage = Stage(answers_at_once, start=ObjectStart("App", {"id": {"id": "x"}}, KeptValue({"a": 1})))

        await stage.session.boot()

        load, start = stage.isolates.made[0].calls
        assert load == (GuestOp.LOAD, {"main": "app.py", "namespaces": []})
        assert start == (
            GuestOp.START,
            {"export": "App", "id": {"id": "x"}, "props": {"a": 1}, "env": {}, "now": stage.clock.now_ms()},
        )
        assert stage.session.exports["App"] == "object"

    run_sim(scenario)


def test_events_get_numbers_and_the_time() -> None:
    async def scenario() -> None:
        stage = await Stage(answers_at_once).booted()
        await stage.session.event({"k": "call", "m": "é", "a": [1]})
        await asyncio.sleep(5)
        await stage.session.event({"k": "fetch"})

        first, second = (payload for op, payload in stage.isolates.made[0].calls if op == GuestOp.EVENT)
        assert first == {"e": 1, "k": "call", "m": "é", "a": [1], "now": stage.clock.now_ms() - 5000}
        assert second == {"e": 2, "k": "fetch", "now": stage.clock.now_ms()}

    run_sim(scenario)


def test_an_answer_waits_until_what_was_written_is_durable() -> None:
    async def scenario() -> None:
        stage = await Stage(answers_at_once).booted()
        stage.hooks.durable.clear()
        event = stage.spawn()
        await steps()
        assert not event.done()

        stage.hooks.durable.set()
        await event

    run_sim(scenario)


def test_an_error_waits_as_well_and_keeps_the_guests_words() -> None:
    async def scenario() -> None:
        shape = {"type": "KeyError", "message": "no", "traceback": "app.py line 3"}
        stage = await Stage(lambda op, p: {"d": [[p["e"], 0, shape]]} if op == GuestOp.EVENT else None).booted()
        stage.hooks.durable.clear()
        event = stage.spawn()
        await steps()
        assert not event.done()

        stage.hooks.durable.set()
        with pytest.raises(GuestError, match="no") as caught:
            await event
        assert (caught.value.type_name, caught.value.guest_traceback) == ("KeyError", "app.py line 3")

    run_sim(scenario)


def test_turns_never_overlap_on_a_thread() -> None:
    async def scenario() -> None:
        stage = await Stage(answers_at_once, is_short=False).booted()

        assert await asyncio.gather(*(stage.session.event({"k": "call", "m": n}) for n in range(5))) == list(range(5))

        assert stage.hooks.log == ["enter", "begin", "commit", "committed", "leave"] * 5

    run_sim(scenario)


def test_what_cannot_be_sent_does_not_take_the_gate() -> None:
    async def scenario() -> None:
        stage = await Stage(answers_at_once).booted()

        with pytest.raises(TypeError):
            await stage.session.event({"k": "call", "m": object()})

        assert await stage.session.event({"k": "call", "m": 1}) == 1

    run_sim(scenario)


# ── operations, timers, sections ─────────────────────────────────────────────────────────────────────────────


def asks_outside(op: int, payload: dict[str, Any]) -> Any:
    """A guest whose event awaits one operation, and answers what came of it."""
    if op == GuestOp.EVENT:
        return {"o": [[7, "facet.call", {"f": "a"}]], "p": 1}
    if op == GuestOp.RESUME:
        return done(1, payload["c"])
    return None


def test_an_operation_is_performed_after_the_turn_and_its_result_resumes_the_guest() -> None:
    async def scenario() -> None:
        stage = await Stage(asks_outside).booted()
        stage.hooks.perform_result = {"r": 1}

        assert await stage.session.event({"k": "call"}) == [[7, 1, {"r": 1}]]

        assert [operation.kind for operation in stage.hooks.operations] == ["facet.call"]
        assert not stage.session.is_busy or await quiet(stage)

    run_sim(scenario)


async def quiet(stage: Stage) -> bool:
    await steps()
    return not stage.session.is_busy


def test_nothing_leaves_before_what_was_written_earlier_is_durable() -> None:
    async def scenario() -> None:
        stage = await Stage(asks_outside).booted()
        stage.hooks.durable.clear()
        event = stage.spawn()
        await steps()
        assert stage.hooks.operations == []

        stage.hooks.durable.set()
        await event
        assert len(stage.hooks.operations) == 1

    run_sim(scenario)


@pytest.mark.parametrize(
    ("error", "shape"),
    [
        (ValueError("raw"), {"type": "ValueError", "message": "raw", "remote": True}),
        (
            OverloadedError("full"),
            {"type": "OverloadedError", "message": "full", "code": "overloaded", "overloaded": True},
        ),
        (
            ObjectResetError("gone", retryable=True),
            {"type": "ObjectResetError", "message": "gone", "code": "object_reset", "reset": True, "retryable": True},
        ),
        (
            GuestError("no", type_name="KeyError"),
            {"type": "KeyError", "message": "no", "remote": True, "code": "guest"},
        ),
    ],
)
def test_a_failed_operation_is_told_to_the_guest(error: Exception, shape: dict[str, object]) -> None:
    async def scenario() -> None:
        stage = await Stage(asks_outside).booted()
        stage.hooks.perform_result = error

        assert await stage.session.event({"k": "call"}) == [[7, 0, shape]]

    run_sim(scenario)


def test_operations_beyond_the_limit_are_refused_together() -> None:
    many = [[number, "facet.call", {}] for number in range(GUEST_PENDING_OPERATIONS_MAX)]
    resumed: list[list[Any]] = []

    def script(op: int, payload: dict[str, Any]) -> Any:
        if op == GuestOp.RESUME:
            resumed.append(payload["c"])
        return {"o": many, "p": 1} if op == GuestOp.EVENT else None

    async def scenario() -> None:
        stage = await Stage(script).booted()
        stage.hooks.perform_result = asyncio.get_running_loop().create_future()
        first, second = stage.spawn(), stage.spawn()
        await steps()

        assert len(stage.hooks.operations) == GUEST_PENDING_OPERATIONS_MAX
        assert [len(settled) for settled in resumed] == [GUEST_PENDING_OPERATIONS_MAX]
        assert resumed[0][0][2]["type"] == "OverloadedError"
        stage.session.end(PerdureError("over"))
        await asyncio.wait([first, second])
        assert all(isinstance(event.exception(), PerdureError) for event in (first, second))

    run_sim(scenario)


def test_a_timer_resumes_the_guest_when_it_is_due() -> None:
    times: list[int] = []

    def script(op: int, payload: dict[str, Any]) -> Any:
        if op == GuestOp.RESUME:
            times.append(payload["now"])
            return {"t": 1000} if len(times) < 3 else done(1, "rang")
        return {"t": 500, "p": 1} if op == GuestOp.EVENT else None

    async def scenario() -> None:
        stage = await Stage(script).booted()
        start_ms = stage.clock.now_ms()

        assert await stage.session.event({"k": "call"}) == "rang"

        assert [time - start_ms for time in times] == [500, 1500, 2500]
        assert await quiet(stage)

    run_sim(scenario)


def test_critical_sections_are_handed_on() -> None:
    async def scenario() -> None:
        report = {"s": [["begin", 3], ["end", 3]]}
        stage = await Stage(lambda op, p: done(p["e"], **report) if op == GuestOp.EVENT else None).booted()

        await stage.session.event({"k": "call"})

        assert [(change.kind, change.section_id) for change in stage.hooks.sections] == [("begin", 3), ("end", 3)]

    run_sim(scenario)


def test_a_section_that_fails_ends_the_guest_with_its_own_error() -> None:
    async def scenario() -> None:
        shape = {"type": "ValueError", "message": "in the section"}
        stage = await Stage(lambda op, p: {"s": [["fail", 1, shape]]} if op == GuestOp.EVENT else None).booted()

        with pytest.raises(GuestError, match="in the section"):
            await stage.session.event({"k": "call"})

        assert stage.hooks.error is not None
        assert stage.isolates.alive == 0
        assert not stage.hooks.lock.locked()

    run_sim(scenario)


# ── events that take more than one turn ──────────────────────────────────────────────────────────────────────


def test_the_next_turn_may_finish_what_a_turn_on_a_thread_left_pending() -> None:
    def script(op: int, payload: dict[str, Any]) -> Any:
        if op != GuestOp.EVENT:
            return None
        return {"p": 1} if payload["e"] == 1 else {"d": [[1, 1, "late"], [2, 1, "own"]]}

    async def scenario() -> None:
        stage = await Stage(script, is_short=False).booted()
        stage.runner.hold = asyncio.Event()
        first = stage.spawn()
        await steps()
        second = stage.spawn()
        await steps()
        stage.history.record(0)
        stage.history.record(0)  # The second runs inline, in the step after the first has left the gate.

        stage.runner.hold.set()

        assert await first == "late"
        assert await second == "own"

    run_sim(scenario)


def test_a_report_about_events_nobody_waits_for_is_ignored() -> None:
    async def scenario() -> None:
        def script(op: int, p: dict[str, Any]) -> Any:
            return {"d": [[99, 1, "forged"], [p["e"], 1, "own"], [p["e"], 1, "again"]]} if op == GuestOp.EVENT else None

        stage = await Stage(script).booted()

        assert await stage.session.event({"k": "call"}) in {"own", "again"}
        assert await quiet(stage)

    run_sim(scenario)


# ── overruns ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_event_that_overruns_is_rolled_back_and_run_once_more_on_a_thread() -> None:
    async def scenario() -> None:
        stage = await Stage(answers_at_once).booted()
        stage.runner.overruns = 1

        assert await stage.session.event({"k": "call", "m": "hello"}) == "hello"

        assert stage.runner.places == ["inline", "thread"]
        assert stage.hooks.log == [
            "enter", "begin", "commit", "rollback", "forgot", "begin", "host", "commit", "committed", "leave",
        ]  # fmt: skip
        assert [isolate.is_alive for isolate in stage.isolates.made] == [False, True]
        assert not stage.history.is_short

    run_sim(scenario)


def test_short_code_whose_steps_may_be_long_runs_on_a_thread() -> None:
    async def scenario() -> None:
        stage = await Stage(answers_at_once).booted()
        stage.hooks.may_be_inline = False

        assert await stage.session.event({"k": "call", "m": "hello"}) == "hello"

        assert stage.runner.places == ["thread"]
        assert stage.history.is_short

    run_sim(scenario)


def test_an_overrun_tells_the_other_events_that_they_may_try_again() -> None:
    async def scenario() -> None:
        stage = await Stage(
            lambda op, p: (done(p["e"], "ok") if p["k"] == "second" else {"p": 1}) if op == GuestOp.EVENT else None
        ).booted()
        first = stage.spawn({"k": "first"})
        await steps()
        stage.runner.overruns = 1

        assert await stage.session.event({"k": "second"}) == "ok"

        with pytest.raises(ObjectResetError) as caught:
            await first
        assert caught.value.retryable

    run_sim(scenario)


def test_a_resumption_that_overruns_is_not_repeated_and_the_next_event_starts_anew() -> None:
    def script(op: int, payload: dict[str, Any]) -> Any:
        if op == GuestOp.EVENT:
            return {"t": 10, "p": 1, "s": [["begin", 1]]} if payload["k"] == "first" else done(payload["e"], "ok")
        return None

    async def scenario() -> None:
        stage = await Stage(script).booted()
        first = stage.spawn({"k": "first"})
        await steps()
        stage.runner.overruns = 1

        with pytest.raises(ObjectResetError):
            await first
        await steps()

        assert "forgot" in stage.hooks.log
        assert stage.runner.places == ["inline", "inline"]
        assert stage.isolates.alive == 0
        assert not stage.hooks.lock.locked()
        assert await stage.session.event({"k": "second"}) == "ok"
        assert len(stage.isolates.made) == 2

    run_sim(scenario)


def test_a_guest_that_had_to_be_started_again_is_heard_about_its_start() -> None:
    def script(op: int, payload: dict[str, Any]) -> Any:
        if op == GuestOp.START:
            return {"o": [[1, "facet.call", {}]]}
        return answers_at_once(op, payload)

    async def scenario() -> None:
        stage = await Stage(script, start=ObjectStart("App", {}, KeptValue({}))).booted()
        stage.hooks.operations.clear()
        stage.runner.overruns = 1

        await stage.session.event({"k": "call"})
        await steps()

        assert len(stage.hooks.operations) >= 1

    run_sim(scenario)


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_session_that_ends_while_it_runs_on_a_thread_waits_for_the_thread() -> None:
    async def scenario() -> None:
        stage = await Stage(answers_at_once, is_short=False).booted()
        stage.runner.hold = asyncio.Event()
        event = stage.spawn()
        await steps()

        stage.session.end(ObjectResetError("aborted"))  # FakeIsolate.close asserts that no thread is in it.
        await steps()
        assert stage.isolates.alive == 1
        stage.runner.hold.set()

        with pytest.raises(ObjectResetError, match="aborted"):
            await event
        assert stage.isolates.alive == 0
        assert stage.hooks.log[-1] == "leave"
        assert "ended" not in stage.hooks.log, "its owner ended it, and knows"

    run_sim(scenario)


def test_everything_under_way_is_told_why_the_session_ended() -> None:
    async def scenario() -> None:
        stage = await Stage(never_answers).booted()
        pending = stage.spawn()
        await steps()
        await stage.hooks.lock.acquire()
        queued = stage.spawn()
        await steps()

        stage.session.end(ObjectResetError("why"))
        stage.session.end(ObjectResetError("later"))
        stage.hooks.lock.release()

        for event in (pending, queued, stage.spawn()):
            with pytest.raises(ObjectResetError, match="why"):
                await event
        assert await quiet(stage)
        assert stage.session.memory_bytes == 0

    run_sim(scenario)


@pytest.mark.parametrize(
    "report",
    [
        "",
        "[]",
        "nonsense",
        "{",
        '{"d":[[1]]}',
        '{"o":[[1,["x"],{}]]}',
        '{"t":' + "9" * 400 + ',"p":-1}',
        '{"s":[["?",1]]}',
    ],
)
@pytest.mark.parametrize("is_short", [True, False])
def test_a_hostile_report_ends_the_guest_and_everybody_is_told(report: str, is_short: bool) -> None:  # noqa: FBT001
    async def scenario() -> None:
        stage = await Stage(
            lambda op, p: (report if p["k"] == "bad" else {"p": 1}) if op == GuestOp.EVENT else None,
            is_short=is_short,
        ).booted()
        waiting = stage.spawn({"k": "good"})
        await steps()

        for event in (stage.spawn({"k": "bad"}), waiting):
            with pytest.raises(GuestCrashedError):
                await event

        assert stage.isolates.alive == 0
        assert isinstance(stage.hooks.error, GuestCrashedError)
        assert not stage.hooks.lock.locked()

    run_sim(scenario)


def test_code_that_does_not_load_says_why() -> None:
    failure = {"error": {"type": "SyntaxError", "message": "bad", "traceback": "app.py line 1"}}

    async def scenario() -> None:
        stage = Stage(lambda op, p: failure)

        with pytest.raises(WorkerLoadError, match=r"Failed to start Worker: app\.py line 1"):
            await stage.session.boot()

        assert stage.isolates.alive == 0
        assert stage.hooks.log[-2:] == ["ended", "leave"]

    run_sim(scenario)


@pytest.mark.parametrize(
    ("export", "text"),
    [
        ("Missing", "no such Durable Object class: `Missing`"),
        ("run", "`run` is no Durable Object class but a function"),
    ],
)
def test_only_a_class_can_run_as_an_object(export: str, text: str) -> None:
    async def scenario() -> None:
        stage = Stage(answers_at_once, start=ObjectStart(export, {}, KeptValue({})))

        with pytest.raises(WorkerCodeError, match=text):
            await stage.session.boot()

    run_sim(scenario)


@pytest.mark.parametrize("is_short", [True, False])
def test_a_bug_of_ours_in_a_turn_is_called_one(is_short: bool) -> None:  # noqa: FBT001  # a parameter of the test
    def script(op: int, payload: dict[str, Any]) -> Any:
        if op == GuestOp.EVENT:
            raise ZeroDivisionError("oops")

    async def scenario() -> None:
        stage = await Stage(script, is_short=is_short).booted()

        with pytest.raises(InternalError, match="ZeroDivisionError in a turn: oops; please report this") as caught:
            await stage.session.event({"k": "call"})

        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert stage.hooks.log == ["enter", "begin", "rollback", "ended", "leave"]

    run_sim(scenario)


# ── callers that give up ─────────────────────────────────────────────────────────────────────────────────────


def test_a_turn_on_a_thread_goes_on_when_its_caller_gives_up() -> None:
    async def scenario() -> None:
        stage = await Stage(answers_at_once, is_short=False).booted()
        stage.runner.hold = asyncio.Event()
        event = stage.spawn()
        await steps()
        event.cancel()
        await steps()
        assert event.cancelled()
        assert stage.hooks.log == ["enter", "begin", "commit"]
        assert stage.session.is_busy

        stage.runner.hold.set()

        assert await stage.session.event({"k": "call", "m": 5}) == 5
        assert stage.hooks.log[:5] == ["enter", "begin", "commit", "committed", "leave"]

    run_sim(scenario)


def test_an_event_whose_caller_gave_up_still_keeps_the_guest_awake_until_it_is_done() -> None:
    def script(op: int, payload: dict[str, Any]) -> Any:
        if op == GuestOp.EVENT:
            return {"t": 1000, "p": 1}
        return done(1) if op == GuestOp.RESUME else None

    async def scenario() -> None:
        stage = await Stage(script).booted()
        event = stage.spawn()
        await steps()
        event.cancel()
        await steps()
        assert stage.session.is_busy

        await asyncio.sleep(2)

        assert await quiet(stage)

    run_sim(scenario)


@pytest.mark.parametrize("after", range(8))
def test_a_caller_may_give_up_at_any_point(after: int) -> None:
    async def scenario() -> None:
        stage = await Stage(asks_outside, is_short=False).booted()
        event = stage.spawn()
        await steps(after)

        event.cancel()
        await steps(30)

        assert not stage.hooks.lock.locked()
        assert await quiet(stage) or stage.session._pending

    run_sim(scenario)


# ── hostile guests ───────────────────────────────────────────────────────────────────────────────────────────


def test_all_that_is_settled_comes_in_one_turn() -> None:
    many = [[number, "facet.call", {}] for number in range(500)]
    resumed: list[int] = []

    def script(op: int, payload: dict[str, Any]) -> Any:
        if op == GuestOp.RESUME:
            resumed.append(len(payload["c"]))
            return done(1) if sum(resumed) == 500 else None
        return {"o": many, "p": 1} if op == GuestOp.EVENT else None

    async def scenario() -> None:
        stage = await Stage(script).booted()

        await stage.session.event({"k": "call"})

        assert len(resumed) <= 2

    run_sim(scenario)


def test_large_results_come_one_by_one() -> None:
    resumed: list[int] = []

    def script(op: int, payload: dict[str, Any]) -> Any:
        if op == GuestOp.RESUME:
            resumed.append(len(payload["c"]))
            return done(1) if len(resumed) == 3 else None
        return {"o": [[number, "facet.call", {}] for number in range(3)], "p": 1} if op == GuestOp.EVENT else None

    async def scenario() -> None:
        stage = await Stage(script).booted()
        stage.hooks.perform_result = "x" * 300_000

        await stage.session.event({"k": "call"})

        assert resumed == [1, 1, 1]

    run_sim(scenario)


def test_a_timer_that_starts_itself_again_does_not_spin() -> None:
    times: list[int] = []

    def script(op: int, payload: dict[str, Any]) -> Any:
        if op not in {GuestOp.EVENT, GuestOp.RESUME}:
            return None
        times.append(payload["now"])
        return {"t": 0} if len(times) < 100 else done(1)

    async def scenario() -> None:
        stage = await Stage(script).booted()

        await stage.session.event({"k": "call"})

        assert times[-1] - times[0] == 99 * GUEST_TIMER_MS_MIN

    run_sim(scenario)


def test_steps_of_a_turn_share_the_time_in_which_the_event_loop_waits() -> None:
    given: list[int] = []

    def script(op: int, payload: dict[str, Any]) -> Any:
        time.sleep(0.01)  # what a guest computes takes real time
        return answers_at_once(op, payload)

    async def scenario() -> None:
        stage = Stage(script)
        create = stage.isolates.create

        def spied(language: str, *, memory_bytes: int) -> Any:
            isolate: Any = create(language, memory_bytes=memory_bytes)
            call = isolate.call

            def spied_call(op: int, payload: str, *, cpu_ms: int) -> str:
                given.append(cpu_ms)
                return str(call(op, payload, cpu_ms=cpu_ms))

            isolate.call = spied_call
            return isolate

        stage.isolates.create = spied  # type: ignore[method-assign]  # a spy
        await stage.session.boot()
        stage.session.end(PerdureError("over"))

    run_sim(scenario)

    assert given[0] <= 25
    assert all(later <= earlier - 9 for earlier, later in itertools.pairwise(given))


def test_what_is_large_is_converted_on_a_thread() -> None:
    async def scenario() -> None:
        stage = await Stage(answers_at_once).booted()

        assert await stage.session.messages.convert(len, [0]) == 1
        assert stage.runner.places == []
        assert await stage.session.messages.convert(len, [0] * 100_000) == 100_000
        assert stage.runner.places == ["thread"]

    run_sim(scenario)
