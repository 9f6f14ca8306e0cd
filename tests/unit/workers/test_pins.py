"""Which stub of a guest points at what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import OverloadedError
from perdure.limits import GUEST_STUBS_MAX
from perdure.workers._pins import Pins


def test_a_number_means_what_it_first_meant() -> None:
    pins: Pins[object] = Pins()

    first = pins.target(1, object)

    assert pins.target(1, object) is first
    assert pins.target(2, object) is not first


def test_a_released_number_is_forgotten() -> None:
    pins: Pins[object] = Pins()
    pins.target(1, object)

    pins.release([1])

    assert len(pins) == 0


def test_a_stub_that_was_dropped_before_it_was_reached_is_not_kept() -> None:
    pins: Pins[object] = Pins()

    pins.release([7])
    pins.target(7, object)

    assert len(pins) == 0


def test_there_are_not_too_many() -> None:
    pins: Pins[object] = Pins()
    for number in range(GUEST_STUBS_MAX):
        pins.target(number, object)

    with pytest.raises(OverloadedError, match=f"holds {GUEST_STUBS_MAX} stubs"):
        pins.target(GUEST_STUBS_MAX, object)


def test_what_a_hostile_guest_releases_is_bounded() -> None:
    pins: Pins[object] = Pins()

    pins.release(range(10 * GUEST_STUBS_MAX))

    assert len(pins._early) == GUEST_STUBS_MAX


@given(st.lists(st.tuples(st.sampled_from(["use", "release"]), st.integers(1, 5))))
def test_a_number_changes_its_meaning_only_by_a_release(steps: list[tuple[str, int]]) -> None:
    pins: Pins[object] = Pins()
    meaning: dict[int, object] = {}
    for act, number in steps:
        if act == "release":
            pins.release([number])
            meaning.pop(number, None)
            continue
        target = pins.target(number, object)
        if number in meaning:
            assert target is meaning[number]
        if number in pins._targets:
            meaning[number] = target
