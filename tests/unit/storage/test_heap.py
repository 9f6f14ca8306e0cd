from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Thread

import apsw
import pytest

from perdure.errors import SqlError
from perdure.limits import SQL_STATEMENT_HEAP_BYTES_MAX
from perdure.storage._database import Database
from perdure.storage._heap import GuestHeap

UNBOUNDED = 0


@pytest.fixture(autouse=True)
def no_bound_is_left() -> Iterator[None]:
    assert apsw.hard_heap_limit(-1) == UNBOUNDED
    yield
    assert apsw.hard_heap_limit(-1) == UNBOUNDED


def test_the_bound_grows_with_the_statements_that_run() -> None:
    heap = GuestHeap()
    used = apsw.memory_used()

    with heap:
        one = apsw.hard_heap_limit(-1)
        with heap:
            two = apsw.hard_heap_limit(-1)
        one_again = apsw.hard_heap_limit(-1)

    assert one == one_again == used + SQL_STATEMENT_HEAP_BYTES_MAX
    assert two == used + 2 * SQL_STATEMENT_HEAP_BYTES_MAX


def test_threads_share_the_bound() -> None:
    heap, inside, bounds = GuestHeap(), Barrier(4), list[int]()

    def run() -> None:
        with heap:
            inside.wait()
            bounds.append(apsw.hard_heap_limit(-1))
            inside.wait()

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert min(bounds) > 4 * SQL_STATEMENT_HEAP_BYTES_MAX


def test_what_takes_too_much_is_refused_and_the_object_lives_on(database: Database) -> None:
    database.kv_put("a", "1")

    with pytest.raises(SqlError, match=f"take {SQL_STATEMENT_HEAP_BYTES_MAX} bytes") as raised:
        database.sql_exec(f"SELECT {', '.join(['zeroblob(4000000) || 1'] * 100)}")

    assert raised.value.sqlite_code == "SQLITE_NOMEM"
    assert database.kv_get("a") == "1"
    assert database.commit() is not None
