"""`ctx.storage.kv` (spec 3.2; cases 33 to 36)."""

from __future__ import annotations

import pytest
from tests.conformance.flavours import Subject, failure

KEYS = ["bar", "baz", "constructed", "foo"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, KEYS),
        ({"prefix": "ba"}, ["bar", "baz"]),
        ({"limit": 2}, ["bar", "baz"]),
        ({"reverse": True, "limit": 1}, ["foo"]),
        ({"start": "baz"}, ["baz", "constructed", "foo"]),
        ({"startAfter": "baz"}, ["constructed", "foo"]),
        ({"end": "foo"}, ["bar", "baz", "constructed"]),
        ({"start": "bar", "end": "foo", "reverse": True}, ["constructed", "baz", "bar"]),
        ({"prefix": "ba", "startAfter": "bar"}, ["baz"]),
    ],
)
async def test_case_34_ranges(subject: Subject, options: dict[str, object], found: list[str]) -> None:
    for key in ("foo", "bar", "baz"):
        await subject.call("put", key, 1)

    assert await subject.call("keys", options) == found


async def test_case_34_long_listings_are_complete_and_in_order(subject: Subject) -> None:
    await subject.call("sql", "CREATE TABLE unrelated (x)")
    for number in range(300):
        await subject.call("put", f"k{number:03}", number)

    expected = [f"k{number:03}" for number in range(300)]
    assert await subject.call("keys", {"prefix": "k"}) == expected
    assert await subject.call("keys", {"prefix": "k", "reverse": True}) == expected[::-1]
    assert await subject.call("keys", {"prefix": "k", "limit": 200}) == expected[:200]


@pytest.mark.parametrize("options", [{"limit": 0}, {"start": "a", "startAfter": "b"}])
async def test_case_34_ranges_that_make_no_sense_are_refused(subject: Subject, options: dict[str, object]) -> None:
    error = await failure(subject.call("keys", options))

    assert "limit must be positive" in str(error) or "both start and start" in str(error)


@pytest.mark.parametrize("bound", ["start", "startAfter", "end", "prefix"])
async def test_a_bound_that_is_no_string_is_refused(subject: Subject, bound: str) -> None:
    assert "is a string" in str(await failure(subject.call("keys", {bound: 5})))


async def test_case_34_whatever_is_true_turns_a_listing_round(subject: Subject) -> None:
    await subject.call("put", "a", 1)

    assert await subject.call("keys", {"reverse": "yes"}) == ["constructed", "a"]
    assert await subject.call("keys", {"reverse": 0}) == ["a", "constructed"]


async def test_case_34_a_limit_that_is_no_positive_number_is_refused(subject: Subject) -> None:
    for limit in ("many", 0, -1, 0.5):
        assert "limit" in str(await failure(subject.call("keys", {"limit": limit})))


async def test_case_35_only_the_newest_listing_lives(subject: Subject) -> None:
    await subject.call("put", "a", 1)
    await subject.call("put", "b", 1)

    error = await failure(subject.call("staleListing"))

    assert "iterator was invalidated by a new call to kv.list()" in str(error)


async def test_writing_while_listing_is_allowed(subject: Subject) -> None:
    for key in ("a", "b", "c"):
        await subject.call("put", key, 1)

    assert await subject.call("writeWhileListing") == ["a", "b", "c", "constructed"]
    assert await subject.call("keys", {}) == []


async def test_case_36_missing_keys(subject: Subject) -> None:
    await subject.call("put", "there", 1)

    assert await subject.call("read", "missing") is None
    assert await subject.call("forget", "missing") is False
    assert await subject.call("forget", "there") is True
    assert await subject.call("read", "there") is None


@pytest.mark.parametrize(
    "value", [0, -1.5, "", "ü\0😀", [], [1, [2, None]], {}, {"a": {"b": [True, False]}}, b"\x00\xff", 2**53 - 1]
)
async def test_values_come_back_as_they_were(subject: Subject, value: object) -> None:
    await subject.call("put", "v", value)

    await subject.evict()

    assert await subject.call("read", "v") == value


@pytest.mark.parametrize(
    ("key", "message"), [("", "must not be empty"), (7, "is a string, not"), (None, "is a string")]
)
async def test_what_is_no_key_is_refused(subject: Subject, key: object, message: str) -> None:
    error = await failure(subject.call("put", key, 1))

    assert message in str(error)
    assert await subject.call("keys", {}) == ["constructed"]


async def test_an_entry_that_is_too_big_is_refused_and_the_object_goes_on(subject: Subject) -> None:
    await subject.call("put", "a", 1)

    error = await failure(subject.call("put", "a", "x" * (2 * 1024 * 1024)))

    assert "2097152" in str(error).replace(",", "") or "2 MiB" in str(error)
    assert await subject.call("read", "a") == 1
