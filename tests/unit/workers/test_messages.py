"""What a session does with what is passed by reference, over a scripted guest that may lie about all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.workers.fakes import Stage, done, steps

from perdure.api import LocalCapability, RpcStub, RpcTarget, Sent
from perdure.errors import GuestCrashedError, GuestError, ObjectResetError, PerdureError, ValueNotCloneableError
from perdure.limits import CALL_ARGUMENTS_MAX, GUEST_RETURNS_S, RPC_CAPABILITIES_MAX
from perdure.testing import run_sim
from perdure.wire import GuestOp

Answer = Callable[[int, dict[str, Any]], Any]


def guest(**answers: Any) -> Answer:
    """A guest that answers an event by its method, or `rpc`: with a report, or with what makes one of the event."""

    def script(op: int, payload: dict[str, Any]) -> Any:
        if op == GuestOp.RESUME:
            return answers.get("resume", {})
        if op != GuestOp.EVENT:
            return None
        answer = answers[payload.get("m", payload["k"])]
        return answer(payload) if callable(answer) else answer

    return script


async def call(stage: Stage, method: str, *arguments: object) -> Any:
    with Sent.of(arguments) as sent:
        return await stage.session.messages.call({"k": "call"}, (method,), sent)


def told(stage: Stage, op: int = GuestOp.RESUME) -> list[dict[str, Any]]:
    return [payload for seen, payload in stage.isolates.made[0].calls if seen == op]


class Counted(RpcTarget):
    disposed = 0

    def add(self, a: int, b: int) -> int:
        return a + b

    def on_dispose(self) -> None:
        self.disposed += 1


def test_a_callback_goes_to_the_guest_and_back_again() -> None:
    async def scenario() -> None:
        asked = [[1, "rpc.call", {"n": 1, "path": ["add"], "a": [2, 3]}]]
        stage = await Stage(
            guest(run=lambda p: {"o": asked, "p": 1}, resume={"d": [[1, 1, "over"]], "c": [[1, 1]]})
        ).booted()
        target = Counted()

        assert await call(stage, "run", target) == "over"

        assert told(stage, GuestOp.EVENT)[0]["a"] == [["export", 1, "target"]]
        assert told(stage)[0]["c"] == [[1, 1, 5]]
        await steps()
        assert target.disposed == 1

    run_sim(scenario)


def test_what_the_guest_lends_is_called_and_given_back_once() -> None:
    async def scenario() -> None:
        stage = await Stage(
            guest(
                make=lambda p: done(p["e"], {"f": ["export", 7, "function"]}), rpc=lambda p: done(p["e"], p["a"][0] * 2)
            )
        ).booted()

        result = await call(stage, "make")
        other = result["f"].dup()
        assert await result["f"](4) == 8
        assert told(stage, GuestOp.EVENT)[-1]["n"] == 7
        assert stage.session.is_busy, "somebody holds what it has lent"
        result["f"].close()
        await asyncio.sleep(2 * GUEST_RETURNS_S)
        assert told(stage) == []
        other.close()
        await asyncio.sleep(2 * GUEST_RETURNS_S)
        assert told(stage)[0]["rel"] == [[7, 1]]
        await steps()
        assert not stage.session.is_busy

    run_sim(scenario)


def test_an_argument_that_comes_back_is_the_very_same() -> None:
    async def scenario() -> None:
        stage = await Stage(guest(echo=lambda p: done(p["e"], ["import", 1], c=[[1, 1]]))).booted()
        target = Counted()

        with await call(stage, "echo", target) as stub:
            assert await stub.add(1, 1) == 2
            assert target.disposed == 0
        await steps()
        assert target.disposed == 1

    run_sim(scenario)


def test_whatever_it_held_is_released_when_the_guest_ends() -> None:
    async def scenario() -> None:
        stage = await Stage(
            guest(keep=lambda p: done(p["e"]), make=lambda p: done(p["e"], ["export", 1, "target"]))
        ).booted()
        target = Counted()
        await call(stage, "keep", target)
        stub = await call(stage, "make")
        await steps()
        assert target.disposed == 0

        stage.session.end(ObjectResetError("it was reset"))

        await steps()
        assert target.disposed == 1
        for _ in range(2):
            with pytest.raises(ObjectResetError, match="it was reset"):
                await stub.method()
        stub.close()

    run_sim(scenario)


def test_arguments_that_do_not_reach_the_guest_are_released() -> None:
    async def scenario() -> None:
        stage = await Stage(guest()).booted()
        target = Counted()
        stage.session.end(PerdureError("over"))

        with pytest.raises(PerdureError, match="over"):
            await call(stage, "run", target)

        await steps()
        assert target.disposed == 1

    run_sim(scenario)


def test_an_operation_goes_on_from_the_result_of_another() -> None:
    async def scenario() -> None:
        asked = [
            [1, "stub.call", {"x": "A", "i": "1", "n": 1, "m": "make", "a": []}],
            [2, "rpc.call", {"on": 1, "path": ["tools", "add"], "a": [1, 2]}],
            [3, "rpc.get", {"on": 1, "path": ["plain", "0"]}],
            [4, "rpc.call", {"on": 1, "path": ["missing"], "a": []}],
            [5, "rpc.call", {"on": 99, "path": ["a"], "a": []}],
            [6, "rpc.call", {"on": 6, "path": ["a"], "a": []}],
        ]
        stage = await Stage(guest(run=lambda p: done(p["e"], None, o=asked))).booted()
        parcel = stage.session.messages.references.parcel()
        tree = parcel.tag(LocalCapability(Counted()))
        parcel.seal()
        stage.hooks.perform_result = {"tools": tree, "plain": [["first"]]}

        await call(stage, "run")
        await steps(20)

        outcomes = {each[0]: each for payload in told(stage) for each in payload["c"]}
        assert outcomes[2] == [2, 1, 3]
        assert outcomes[3] == [3, 1, "first"]
        assert "does not implement the method" in outcomes[4][2]["message"]
        for number in (5, 6):
            assert "not under way" in outcomes[number][2]["message"]

    run_sim(scenario)


# ── a guest that lies ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("returned", [[[1, 1]], [[0, 1]], [[1, 10**9]], [[5, 0]]])
def test_giving_back_what_it_does_not_hold_ends_the_isolate(returned: object) -> None:
    async def scenario() -> None:
        stage = await Stage(guest(run=lambda p: done(p["e"], None, c=returned))).booted()

        with pytest.raises(GuestCrashedError, match="lost count"):
            await call(stage, "run")
        assert stage.isolates.alive == 0

    run_sim(scenario)


@pytest.mark.parametrize("returned", ["all", [1], [[1]], [[-1, 1]], [["1", 1]], [[1, None]], [[1.5, 1]]])
def test_a_malformed_list_of_references_ends_the_isolate(returned: object) -> None:
    async def scenario() -> None:
        stage = await Stage(guest(run=lambda p: done(p["e"], None, c=returned))).booted()

        with pytest.raises(GuestCrashedError, match="malformed report"):
            await call(stage, "run")
        assert stage.isolates.alive == 0

    run_sim(scenario)


@pytest.mark.parametrize("number", [1, 0, -1, "1", None, [], 10**30])
def test_calling_what_it_does_not_hold_is_an_error_of_that_call(number: object) -> None:
    async def scenario() -> None:
        asked = [[1, kind, {"n": number, "path": ["a"], "a": []}] for kind in ("rpc.call", "rpc.get", "rpc.fetch")]
        asked = [[place, *rest] for place, (_, *rest) in enumerate(asked, 1)]
        stage = await Stage(guest(run=lambda p: done(p["e"], 5, o=asked))).booted()

        assert await call(stage, "run") == 5

        await steps()
        outcomes = [each for payload in told(stage) for each in payload["c"]]
        assert len(outcomes) == 3
        for _, is_ok, error in outcomes:
            assert not is_ok
            assert "there is no capability" in error["message"]

    run_sim(scenario)


@pytest.mark.parametrize(
    "result",
    [
        ["import", 1], ["import", "x"], ["export", -1, "target"], ["export", 1, "loader"], ["export", 1],
        ["channel", "stub", {}], ["channel", "stub"], ["channel"], {"a": ["export", 0, "function"]},
    ],
)  # fmt: skip
def test_a_forged_reference_is_an_error_of_that_call(result: object) -> None:
    async def scenario() -> None:
        stage = await Stage(guest(run=lambda p: done(p["e"], result), fine=lambda p: done(p["e"], 5))).booted()

        with pytest.raises((ValueNotCloneableError, PerdureError)):
            await call(stage, "run")
        assert await call(stage, "fine") == 5
        assert not stage.session.messages.is_held

    run_sim(scenario)


def test_what_came_before_a_forged_reference_is_given_back() -> None:
    async def scenario() -> None:
        stage = await Stage(guest(run=lambda p: done(p["e"], [[["export", 3, "function"], ["import", 9]]]))).booted()

        with pytest.raises(PerdureError):
            await call(stage, "run")

        await asyncio.sleep(2 * GUEST_RETURNS_S)
        assert told(stage)[0]["rel"] == [[3, 1]]

    run_sim(scenario)


def test_a_flood_of_references_is_refused_and_given_back() -> None:
    async def scenario() -> None:
        flood = [[["export", number, "function"] for number in range(1, RPC_CAPABILITIES_MAX + 2)]]
        stage = await Stage(guest(run=lambda p: done(p["e"], flood), fine=lambda p: done(p["e"], 5))).booted()

        with pytest.raises(PerdureError, match="dispose of stubs"):
            await call(stage, "run")
        assert await call(stage, "fine") == 5
        await asyncio.sleep(2 * GUEST_RETURNS_S)
        assert not stage.session.messages.is_held

    run_sim(scenario)


def test_arguments_of_refused_and_malformed_operations_are_given_back() -> None:
    async def scenario() -> None:
        asked = [
            [1, "rpc.call", {"n": 5, "path": ["a"], "a": [["export", 1, "function"]]}],
            [2, "stub.call", {"m": "a", "a": [["export", 2, "function"], ["import", 77]]}],
            [3, "stub.call", {"m": "a", "a": [0] * (CALL_ARGUMENTS_MAX + 1)}],
            [4, "rpc.call", {"on": 1000, "path": ["a"], "a": [["export", 4, "function"]]}],
        ]
        stage = await Stage(guest(run=lambda p: done(p["e"], 5, o=asked))).booted()

        assert await call(stage, "run") == 5
        await asyncio.sleep(2 * GUEST_RETURNS_S)

        returned = sorted(number for payload in told(stage) for number, _ in payload.get("rel", []))
        assert returned == [1, 2, 4]

    run_sim(scenario)


def test_a_result_that_nobody_waits_for_is_given_back() -> None:
    async def scenario() -> None:
        stage = await Stage(guest(run={"p": 1}, resume={"d": [[1, 1, ["export", 4, "target"]]]})).booted()
        caller = asyncio.ensure_future(call(stage, "run"))
        await steps()
        caller.cancel()
        await steps()

        stage.session.resume_soon()
        await asyncio.sleep(3 * GUEST_RETURNS_S)

        assert [4, 1] in [each for payload in told(stage) for each in payload.get("rel", [])]

    run_sim(scenario)


def test_a_guests_error_from_a_callback_is_that_of_the_call() -> None:
    async def scenario() -> None:
        shape = {"type": "KeyError", "message": "no"}
        stage = await Stage(
            guest(make=lambda p: done(p["e"], ["export", 1, "function"]), rpc=lambda p: {"d": [[p["e"], 0, shape]]})
        ).booted()

        with await call(stage, "make") as stub, pytest.raises(GuestError, match="no"):
            await stub()
        assert isinstance(stub, RpcStub)

    run_sim(scenario)
