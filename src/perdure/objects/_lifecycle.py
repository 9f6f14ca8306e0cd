"""The life of one object's slot, as a table.

Cold: nothing in memory. Starting: the class is being found, loaded, constructed. Running. Broken: for good, for every
stub that reached this slot. Effects: none.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from perdure.errors import InternalError


class State(Enum):
    COLD = "cold"
    STARTING = "starting"
    RUNNING = "running"
    BROKEN = "broken"


class Event(Enum):
    CALLED = "called"
    STARTED = "started"
    EVICTED = "evicted"
    FAILED = "failed"


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.COLD: {Event.CALLED: State.STARTING, Event.FAILED: State.BROKEN},
    State.STARTING: {Event.STARTED: State.RUNNING, Event.FAILED: State.BROKEN},
    State.RUNNING: {Event.EVICTED: State.COLD, Event.FAILED: State.BROKEN},
    State.BROKEN: {Event.FAILED: State.BROKEN},
}


def after(state: State, event: Event) -> State:
    """The next state. Raises InternalError for a transition that must not happen."""
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise InternalError(f"an object that is {state.value} was {event.value}: please report this")
    return following
