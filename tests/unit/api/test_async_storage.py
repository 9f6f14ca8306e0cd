"""The asynchronous face of `ctx.storage`: it works at the call, and what it returns never ends a turn."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import pytest
from tests.unit.api.test_storage import DictCalls

from perdure.api import Ready, Storage
from perdure.errors import KvError, SqlError, UsageError, ValueNotCloneableError
from perdure.limits import KV_BATCH_KEYS_MAX

T = TypeVar("T")


def at_once(work: Awaitable[T]) -> T:
    """What is awaited without ever waiting."""
    try:
        next(iter(work.__await__()))
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waited")


def test_it_works_at_the_call() -> None:
    calls = DictCalls()
    storage = Storage(calls)

    storage.put("a", [1])

    assert calls.data == {"a": "[[1]]"}
    assert at_once(storage.get("a")) == [1]
    assert at_once(storage.get("b")) is None
    assert at_once(storage.get("b", default=7)) == 7
    assert at_once(storage.delete("a")) is True
    assert at_once(storage.delete("a")) is False


def test_several_are_read_in_the_order_of_their_keys_missing_ones_left_out() -> None:
    storage = Storage(DictCalls())
    storage.put({"c": 3, "a": 1, "b": None})

    entries = at_once(storage.get(["c", "missing", "b", "a", "a"]))

    assert list(entries.items()) == [("a", 1), ("b", None), ("c", 3)]
    assert at_once(storage.delete(["a", "missing", "b"])) == 2
    assert at_once(storage.get([])) == {}


def test_a_batch_with_a_value_that_cannot_be_stored_stores_nothing() -> None:
    calls = DictCalls()

    with pytest.raises(ValueNotCloneableError):
        Storage(calls).put({"a": 1, "b": print})

    assert calls.data == {}


def test_what_put_refuses() -> None:
    storage = Storage(DictCalls())

    with pytest.raises(KvError, match=r"put\(\) called with undefined value"):
        storage.put("a")
    with pytest.raises(KvError, match=r"put\(\) may only be called with a single key-value pair"):
        storage.put({"a": 1}, 2)
    with pytest.raises(KvError, match="must not be empty"):
        storage.put({"": 1})
    with pytest.raises(KvError, match="keys in one call"):
        storage.put(dict.fromkeys(map(str, range(KV_BATCH_KEYS_MAX + 1))))
    with pytest.raises(KvError, match="a string, or a list of them"):
        storage.get(7)  # type: ignore[arg-type]  # what is tested


def test_a_list_is_a_dict_in_the_order_of_the_keys() -> None:
    storage = Storage(DictCalls())
    storage.put({"c": 3, "a": 1, "b": 2})

    assert list(at_once(storage.list(reverse=True, limit=2))) == ["c", "b"]
    with pytest.raises(KvError, match="limit must be positive"):
        storage.list(limit=0)


def test_a_list_leaves_an_iterator_of_kv_alone() -> None:
    storage = Storage(DictCalls())
    storage.put({"a": 1, "b": 2})
    entries = storage.kv.list()
    next(entries)

    storage.list()

    assert next(entries) == ("b", 2)


def test_confirmation_is_asked_for_unless_it_is_waived() -> None:
    calls = DictCalls()
    storage = Storage(calls)

    storage.put("a", 1)
    storage.delete("a")
    assert calls.unconfirmed == 0
    storage.put("a", 1, allow_unconfirmed=True)
    storage.put({"b": 1}, allow_unconfirmed=True)
    storage.delete(["a", "b"], allow_unconfirmed=True)
    assert calls.unconfirmed == 3


def test_a_sync_transaction_undoes_what_failed() -> None:
    storage = Storage(DictCalls())
    storage.put("a", 1)

    def fails() -> None:
        storage.put("a", 2)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        storage.transaction_sync(fails)
    with storage.transaction_sync():
        storage.put("b", 2)
        with pytest.raises(ValueError, match="no"), storage.transaction_sync():
            fails()

    assert at_once(storage.list()) == {"a": 1, "b": 2}
    assert storage.transaction_sync(lambda: "foo") == "foo"


def test_a_sync_transaction_takes_no_coroutine() -> None:
    storage = Storage(DictCalls())

    async def later() -> None:
        raise AssertionError("it ran")

    with pytest.raises(UsageError, match="a function that is not async"):
        storage.transaction_sync(later)


def test_the_end_of_everything_ends_cursors() -> None:
    calls = DictCalls([(1,), (2,)])
    storage = Storage(calls)
    storage.put("a", 1)
    rows, read = storage.sql.exec("SELECT 1").raw(), storage.sql.exec("SELECT 1")
    next(rows)
    read.all()

    storage.delete_all(delete_alarm=False)

    assert calls.data == {}
    assert calls.kept_alarm is True
    assert read.all() == []
    with pytest.raises(SqlError, match="query was canceled because the database was deleted"):
        next(rows)


def test_what_is_ready_says_so() -> None:
    assert repr(Ready(1)) == "Ready(1): await it"
