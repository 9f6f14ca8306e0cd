"""The gates as pure queues: the cases of the reference (19 to 25, E6) and machines that try everything."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure.errors import OverloadedError
from perdure.limits import INPUT_QUEUE_MAX
from perdure.objects._gates import InputGate, OutputGate

BROKEN = RuntimeError("broken")


def held_gate() -> InputGate[str]:
    gate: InputGate[str] = InputGate()
    assert gate.try_enter()
    return gate


# ── input ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_19_events_run_one_at_a_time_in_arrival_order() -> None:
    gate = held_gate()
    assert not gate.try_enter()
    gate.enqueue("a")
    gate.enqueue("b")

    assert gate.leave() == "a"
    assert gate.is_held
    assert gate.leave() == "b"
    assert gate.leave() is None
    assert gate.try_enter()


def test_20_what_waits_runs_after_the_section() -> None:
    gate = held_gate()
    gate.open_section()
    gate.enqueue("event")

    assert gate.leave() is None
    assert not gate.try_enter()
    assert gate.close_section() == "event"


def test_20_the_inside_runs_while_the_section_is_open() -> None:
    gate = held_gate()
    gate.open_section()
    gate.leave()

    assert gate.try_enter(inside=True)
    gate.enqueue("inside", inside=True)
    gate.enqueue("event")
    assert gate.leave() == "inside"
    assert gate.leave() is None


def test_22_a_broken_gate_turns_everybody_away_for_good() -> None:
    gate = held_gate()
    gate.open_section()
    gate.open_section()
    gate.enqueue("event")
    gate.enqueue("inside", inside=True)

    assert sorted(gate.break_(BROKEN)) == ["event", "inside"]
    assert gate.leave() is None
    for act in (gate.try_enter, lambda: gate.enqueue("x")):
        with pytest.raises(RuntimeError, match="broken"):
            act()


def test_22_the_first_reason_stays() -> None:
    gate = held_gate()
    gate.break_(BROKEN)
    gate.break_(RuntimeError("later"))

    assert gate.error is BROKEN


def test_23_nested_sections_admit_when_the_last_has_ended() -> None:
    gate = held_gate()
    for _ in range(64):
        gate.open_section()
    gate.enqueue("event")
    gate.leave()

    assert [gate.close_section() for _ in range(64)] == [None] * 63 + ["event"]


def test_a_section_that_ends_within_a_turn_waits_for_the_turn() -> None:
    gate = held_gate()
    gate.open_section()
    gate.enqueue("event")

    assert gate.close_section() is None
    assert gate.leave() == "event"


def test_too_many_events_are_refused_as_overloaded() -> None:
    gate = held_gate()
    for number in range(INPUT_QUEUE_MAX):
        gate.enqueue(str(number))

    with pytest.raises(OverloadedError, match="requests are queued already"):
        gate.enqueue("one more")
    gate.enqueue("inside", inside=True)


def test_whoever_gave_up_is_not_admitted() -> None:
    gate = held_gate()
    gate.enqueue("a")
    gate.enqueue("b")

    gate.withdraw("a")
    gate.withdraw("never there")

    assert gate.leave() == "b"


class InputMachine(RuleBasedStateMachine):
    """The gate beside a model: a list of who waits, in order, and the one who is in."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: InputGate[int] = InputGate()
        self.count = 0
        self.events: list[int] = []
        self.inside: list[int] = []
        self.held = False
        self.depth = 0

    def arrive(self) -> int:
        self.count += 1
        return self.count

    def admitted(self) -> int | None:
        """Who is next, by the rules."""
        if self.inside:
            self.held = True
            return self.inside.pop(0)
        if self.depth:
            return None
        if self.events:
            self.held = True
            return self.events.pop(0)
        return None

    @rule()
    def event(self) -> None:
        free = not self.held and not self.depth
        assert self.gate.try_enter() == free
        if free:
            self.held = True
        else:
            self.events.append(self.arrive())
            self.gate.enqueue(self.count)

    @rule()
    def inner(self) -> None:
        free = not self.held
        assert self.gate.try_enter(inside=True) == free
        if free:
            self.held = True
        else:
            self.inside.append(self.arrive())
            self.gate.enqueue(self.count, inside=True)

    @precondition(lambda self: self.held)
    @rule()
    def leave(self) -> None:
        self.held = False
        assert self.gate.leave() == self.admitted()

    @rule()
    def open_section(self) -> None:
        self.depth += 1
        self.gate.open_section()

    @precondition(lambda self: self.depth)
    @rule()
    def close_section(self) -> None:
        self.depth -= 1
        assert self.gate.close_section() == (None if self.held else self.admitted())

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        waiting = [*self.events, *self.inside]
        if waiting:
            who = data.draw(st.sampled_from(waiting))
            self.gate.withdraw(who)
            for queue in (self.events, self.inside):
                if who in queue:
                    queue.remove(who)

    @invariant()
    def nobody_waits_at_a_free_gate(self) -> None:
        assert (self.gate.is_held, self.gate.section_depth) == (self.held, self.depth)
        if not self.held:
            assert not self.inside
            assert self.depth or not self.events

    def teardown(self) -> None:
        assert sorted(self.gate.break_(BROKEN)) == sorted([*self.events, *self.inside])
        assert self.gate.break_(BROKEN) == []


TestInputMachine = InputMachine.TestCase
TestInputMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


# ── output ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_25_a_failure_breaks_at_once_and_older_waiters_go_when_their_writes_are_safe() -> None:
    gate: OutputGate[str] = OutputGate()
    first = gate.lock(at=0.0)
    gate.wait("a", gate.mark)
    second = gate.lock(at=1.0)
    gate.wait("b", gate.mark)

    assert gate.fail(second, BROKEN) == ["b"]
    assert not gate.is_open
    with pytest.raises(RuntimeError, match="broken"):
        gate.is_clear(gate.mark)
    assert gate.unlock(first) == ["a"]
    assert not gate.is_open


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_e6_a_waiter_waits_only_for_older_locks(order: tuple[int, int]) -> None:
    gate: OutputGate[str] = OutputGate()
    locks = {1: gate.lock(at=0.0)}
    gate.wait("a", gate.mark)
    locks[2] = gate.lock(at=0.0)

    released = [gate.unlock(locks[number]) for number in order]

    assert released[order.index(1)] == ["a"]
    assert released[order.index(2)] == []


def test_nothing_waits_at_an_open_gate() -> None:
    gate: OutputGate[str] = OutputGate()

    assert gate.is_open
    assert gate.is_clear(gate.mark)
    gate.unlock(gate.lock(at=0.0))
    assert gate.is_open
    assert gate.is_clear(gate.mark)


def test_the_oldest_lock_tells_its_age() -> None:
    gate: OutputGate[str] = OutputGate()
    assert gate.oldest_lock_at() is None
    first = gate.lock(at=3.0)
    gate.lock(at=5.0)

    assert gate.oldest_lock_at() == 3.0
    gate.unlock(first)
    assert gate.oldest_lock_at() == 5.0


def test_a_broken_gate_loses_everybody() -> None:
    gate: OutputGate[str] = OutputGate()
    first = gate.lock(at=0.0)
    gate.wait("a", gate.mark)

    assert gate.break_(BROKEN) == ["a"]
    assert gate.unlock(first) == []
    with pytest.raises(RuntimeError, match="broken"):
        gate.is_clear(0)


def test_27_writes_without_confirmation_hold_back_only_who_asks_for_everything() -> None:
    gate: OutputGate[str] = OutputGate()
    number = gate.lock(at=0.0, is_confirmed=False)

    assert gate.is_open
    assert gate.is_clear(gate.mark)
    assert not gate.is_settled
    assert not gate.is_clear(gate.mark, of_all=True)
    gate.wait("sync", gate.mark, for_all=True)
    gate.lock(at=1.0, is_confirmed=False)
    assert gate.oldest_lock_at() == 0.0
    assert gate.unlock(number) == ["sync"]


def test_29_a_write_without_confirmation_that_fails_breaks_the_gate() -> None:
    gate: OutputGate[str] = OutputGate()
    older = gate.lock(at=0.0)
    number = gate.lock(at=0.0, is_confirmed=False)
    gate.wait("sync", gate.mark, for_all=True)
    gate.wait("older", older)

    assert gate.fail(number, BROKEN) == ["sync"]
    assert gate.error is BROKEN
    assert gate.unlock(older) == ["older"]


class OutputMachine(RuleBasedStateMachine):
    """Every waiter is told exactly once: released when all its older locks succeeded, lost when one of them failed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: OutputGate[int] = OutputGate()
        self.locks: list[int] = []
        self.unconfirmed: set[int] = set()
        self.needs: dict[int, set[int]] = {}
        self.failed: int | None = None
        self.marks: dict[int, int] = {}
        self.count = 0

    @rule(is_confirmed=st.booleans())
    def lock(self, is_confirmed: bool) -> None:  # noqa: FBT001  # hypothesis passes it by name
        self.locks.append(self.gate.lock(at=0.0, is_confirmed=is_confirmed))
        if not is_confirmed:
            self.unconfirmed.add(self.locks[-1])

    @rule(for_all=st.booleans())
    def wait(self, for_all: bool) -> None:  # noqa: FBT001  # hypothesis passes it by name
        mark = self.gate.mark
        needs = {number for number in self.locks if for_all or number not in self.unconfirmed}
        if self.failed is not None and mark >= self.failed:
            with pytest.raises(RuntimeError, match="broken"):
                self.gate.is_clear(mark, of_all=for_all)
        elif self.gate.is_clear(mark, of_all=for_all):
            assert not needs
        else:
            assert needs
            self.count += 1
            self.needs[self.count] = needs
            self.marks[self.count] = mark
            self.gate.wait(self.count, mark, for_all=for_all)

    @precondition(lambda self: self.locks)
    @rule(data=st.data())
    def unlock(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.locks))
        self.locks.remove(number)
        for needs in self.needs.values():
            needs.discard(number)
        ready = {waiter for waiter, needs in self.needs.items() if not needs}
        assert set(self.gate.unlock(number)) == ready
        for waiter in ready:
            del self.needs[waiter]

    @precondition(lambda self: self.locks)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.locks))
        self.locks.remove(number)
        self.failed = number if self.failed is None else min(self.failed, number)
        lost = {waiter for waiter in self.needs if self.marks[waiter] >= self.failed}
        assert set(self.gate.fail(number, BROKEN)) == lost
        for waiter in lost:
            del self.needs[waiter]

    @invariant()
    def it_is_open_when_nothing_is_held(self) -> None:
        assert self.gate.is_open == (not set(self.locks) - self.unconfirmed and self.failed is None)
        assert self.gate.is_settled == (not self.locks)

    def teardown(self) -> None:
        assert set(self.gate.break_(BROKEN)) == set(self.needs)


TestOutputMachine = OutputMachine.TestCase
TestOutputMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
