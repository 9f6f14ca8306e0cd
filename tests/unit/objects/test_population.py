"""How many objects a namespace may have, and how fast they may come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import ConfigurationError, QuotaExceededError
from perdure.objects import NamespaceQuota
from perdure.objects._population import Census, Population


def population(*, count: int = 0, **quota: Any) -> Population:
    return Population(NamespaceQuota(**quota), scope="Room", count=count, now_s=0)


def test_no_more_objects_than_allowed() -> None:
    rooms = population(count=9, objects=10)
    rooms.admit(now_s=0)

    with pytest.raises(QuotaExceededError, match="`Room` has 10 objects, its quota `objects` is 10") as caught:
        rooms.admit(now_s=1000)

    assert (caught.value.quota, caught.value.used, caught.value.bound) == ("objects", 10, 10)
    assert not caught.value.retryable


def test_room_is_made_by_those_that_go() -> None:
    rooms = population(objects=1)
    rooms.admit(now_s=0)

    rooms.withdraw()
    rooms.admit(now_s=0)
    rooms.died()

    rooms.admit(now_s=0)


def test_new_objects_come_at_a_rate() -> None:
    rooms = population(new_objects_per_minute=6)
    for _ in range(6):
        rooms.admit(now_s=0)

    with pytest.raises(QuotaExceededError, match="6 new objects each minute"):
        rooms.admit(now_s=9)
    rooms.admit(now_s=10)
    with pytest.raises(QuotaExceededError):
        rooms.admit(now_s=10)


def test_one_that_stored_nothing_was_no_new_object() -> None:
    rooms = population(new_objects_per_minute=1)

    for _ in range(100):
        rooms.admit(now_s=0)
        rooms.withdraw()

    assert rooms.count == 0


def test_none_is_no_bound() -> None:
    rooms = population(objects=None, new_objects_per_minute=None, count=10**9)

    for _ in range(100):
        rooms.admit(now_s=0)


@pytest.mark.parametrize("value", [-1, 1.5, True, "10"])
def test_a_quota_is_a_whole_number(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"NamespaceQuota\.objects is"):
        NamespaceQuota(objects=value)


@given(
    st.integers(0, 5),
    st.integers(1, 10),
    st.lists(st.tuples(st.sampled_from(["come", "leave", "die"]), st.floats(0, 30)), max_size=60),
)
def test_the_bounds_are_never_overstepped(objects: int, rate: int, steps: list[tuple[str, float]]) -> None:
    rooms = population(objects=objects, new_objects_per_minute=rate)
    now_s, living, born = 0.0, 0, []
    for act, wait_s in steps:
        now_s += wait_s
        if act == "come":
            try:
                rooms.admit(now_s=now_s)
            except QuotaExceededError:
                continue
            living += 1
            born.append(now_s)
        elif living and act == "die":
            rooms.died()
            living -= 1
        elif living:
            rooms.withdraw()
            living -= 1
            born.pop()
        assert rooms.count == living <= objects
        assert len([at for at in born if at > now_s - 60]) <= 2 * rate


@given(st.lists(st.tuples(st.sampled_from(["arrive", "store", "settle", "die"]), st.integers(0, 3)), max_size=80))
def test_a_census_counts_each_object_once(steps: list[tuple[str, int]]) -> None:
    """However many bring an object at once, and whatever is deleted meanwhile."""
    quota = NamespaceQuota(objects=3, new_objects_per_minute=None)
    census = Census(lambda _: 0, lambda: 0.0)
    existing: set[int] = set()
    bringing = dict.fromkeys(range(4), 0)
    rooms = census.population("Room", quota)
    for act, number in steps:
        key = ("Room", bytes([number]))
        if act == "arrive" and number not in existing:
            try:
                census.arrive(key, quota)
                bringing[number] += 1
            except QuotaExceededError:
                assert rooms.count == 3
        elif act == "store" and bringing[number]:
            existing.add(number)
        elif act == "settle" and bringing[number]:
            bringing[number] -= 1
            census.settle(key, exists=number in existing)
        elif act == "die" and number in existing:
            existing.remove(number)
            census.died(key)
        assert rooms.count == len(existing | {other for other, count in bringing.items() if count}) <= 3
