"""An error that is kept and raised for everybody who comes: it must not keep everybody who came."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest

from perdure.api import RpcStub
from perdure.errors import ObjectResetError, again
from perdure.objects._gate_drivers import InputDriver, OutputDriver
from perdure.testing import VirtualClock, run_sim
from perdure.workers._references import References

CALLS = 1000
FRAMES_MAX = 30  # of one call: far fewer than there are calls

Ask = Callable[[], Awaitable[object]]


class Argument:
    """What a caller holds while it calls."""


class Owner:
    def returned(self) -> None:
        return

    async def ask_lent(self, *_: object, **__: object) -> object:
        raise AssertionError("it has ended: nobody asks the guest")


def lent(error: ObjectResetError) -> Ask:
    references = References(Owner())  # type: ignore[arg-type]
    stub = references.parcel().read([["export", 1, "function"]])[0]
    assert isinstance(stub, RpcStub)
    references.end(error)
    return lambda: stub("x")


def input_gate(error: ObjectResetError) -> Ask:
    gate = InputDriver()
    gate.break_(error)
    return gate.enter


def section(error: ObjectResetError) -> Ask:
    gate = InputDriver()
    gate.break_(error)
    return gate.wait_for_section_end


def output_gate(error: ObjectResetError) -> Ask:
    gate = OutputDriver(VirtualClock())
    gate.break_(error)
    return gate.wait


def awaited_again(error: ObjectResetError) -> Ask:
    promise = lent(error)()
    return lambda: promise


def length(error: BaseException) -> int:
    count, frame = 0, error.__traceback__
    while frame is not None:
        count, frame = count + 1, frame.tb_next
    return count


@pytest.mark.parametrize("ended", [lent, input_gate, section, output_gate, awaited_again])
def test_what_has_ended_does_not_keep_its_callers(ended: Callable[[ObjectResetError], Ask]) -> None:
    async def scenario() -> None:
        error = ObjectResetError("it was reset")
        ask = ended(error)
        alive: weakref.WeakSet[Argument] = weakref.WeakSet()

        async def call(argument: Argument) -> None:
            alive.add(argument)
            await ask()

        for _ in range(CALLS):
            with pytest.raises(ObjectResetError) as raised:
                await call(Argument())
            assert raised.value is error
            del raised

        gc.collect()
        assert length(error) <= FRAMES_MAX
        assert len(alive) <= 1, "only the last call may be remembered"

    run_sim(scenario)


def test_an_error_is_raised_again_without_what_was_handled_the_time_before() -> None:
    error = ObjectResetError("it was reset")
    cause = ValueError("why")
    error.__cause__ = cause
    error.__context__ = KeyError()

    raised = again(error)

    assert raised is error
    assert raised.__context__ is None
    assert raised.__traceback__ is None
    assert raised.__cause__ is cause
