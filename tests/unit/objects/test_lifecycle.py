"""The table of an object's life is closed."""

from __future__ import annotations

from itertools import product

import pytest

from perdure.errors import InternalError
from perdure.objects._lifecycle import TRANSITIONS, Event, State, after


def test_every_state_has_a_row_and_leads_to_states() -> None:
    assert set(TRANSITIONS) == set(State)
    for row in TRANSITIONS.values():
        assert set(row) <= set(Event)
        assert set(row.values()) <= set(State)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_a_step_is_in_the_table_or_our_bug(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert after(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(InternalError, match="please report this"):
            after(state, event)


def test_any_state_can_fail_and_nothing_leaves_broken() -> None:
    assert {after(state, Event.FAILED) for state in State} == {State.BROKEN}
    assert set(TRANSITIONS[State.BROKEN].values()) == {State.BROKEN}


def test_a_life() -> None:
    state = State.COLD
    for event in (Event.CALLED, Event.STARTED, Event.EVICTED, Event.CALLED, Event.STARTED):
        state = after(state, event)

    assert state is State.RUNNING
