"""`ctx.storage` over a database of dicts: pages, ranges, iterators that end, cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.api import Cursor, Kv, Ready, Sql, Storage
from perdure.errors import KvError, SqlError, ValueNotCloneableError
from perdure.limits import KV_LIST_PAGE_ROWS
from perdure.wire import KvRange, SqlPage, SqlValue


class AloneInSection:
    """`TransactionSection` without others inside."""

    async def until_innermost(self) -> None: ...


class DictCalls:
    """`StorageCalls` over a dict, and over SQL results made of pages that are given."""

    def __init__(self, *pages: list[tuple[SqlValue, ...]], columns: tuple[str, ...] = ("a",)) -> None:
        self.data: dict[str, str] = {}
        self.alarm: int | None = None
        self.listed = 0
        self.unconfirmed = 0
        self.sections = 0
        self.before: list[dict[str, str]] = []
        self.kept_alarm: bool | None = None
        self.asked: list[tuple[str, Sequence[SqlValue]]] = []
        self._columns = columns
        self._pages = pages or ([],)

    channels = None

    def kv_get(self, key: str) -> str | None:
        return self.data.get(key)

    def kv_put(self, key: str, value: str) -> None:
        self.data[key] = value

    def kv_delete(self, key: str) -> bool:
        return self.data.pop(key, None) is not None

    def kv_get_many(self, keys: Sequence[str]) -> tuple[list[tuple[str, str]], Sequence[str]]:
        """Two at a time."""
        ordered = sorted(set(keys))
        return [(key, self.data[key]) for key in ordered[:2] if key in self.data], ordered[2:]

    def kv_write(self, puts: Sequence[tuple[str, str]], deletes: Sequence[str], *, is_confirmed: bool) -> int:
        self.unconfirmed += not is_confirmed
        self.data.update(puts)
        return sum(self.kv_delete(key) for key in deletes)

    def begin(self, *, is_sync: bool) -> int:
        self.before.append(dict(self.data))
        return len(self.before)

    def release(self, number: int) -> None:
        assert number == len(self.before)
        self.before.pop()

    def roll_back(self, number: int) -> None:
        assert number == len(self.before)
        self.data = self.before.pop()

    @asynccontextmanager
    async def section(self) -> AsyncIterator[AloneInSection]:
        self.sections += 1
        yield AloneInSection()

    def delete_all(self, *, keeps_alarm: bool) -> None:
        self.data.clear()
        self.kept_alarm = keeps_alarm

    def sync(self) -> Ready[None]:
        return Ready(None)

    def kv_list(self, wanted: KvRange) -> list[tuple[str, str]]:
        self.listed += 1
        return keys_in(self.data, wanted)[: min(KV_LIST_PAGE_ROWS, wanted.limit or KV_LIST_PAGE_ROWS)]

    def sql_exec(self, query: str, bindings: Sequence[SqlValue]) -> SqlPage:
        self.asked.append((query, bindings))
        return self._page(0)

    def sql_next(self, cursor_id: int) -> SqlPage:
        return self._page(cursor_id)

    def sql_close(self, cursor_id: int) -> None: ...

    def database_size(self) -> int:
        return 4096

    def bookmark(self, act: str, argument: str | int | None) -> Ready[str]:
        return Ready(f"{act} {argument}")

    def alarm_get(self) -> int | None:
        return self.alarm

    def alarm_set(self, at_ms: int | None, *, is_confirmed: bool) -> None:
        self.alarm = at_ms

    def now_ms(self) -> int:
        return 1_000_000

    def _page(self, number: int) -> SqlPage:
        rows = self._pages[number]
        following = number + 1 if number + 1 < len(self._pages) else 0
        read = sum(len(page) for page in self._pages[: number + 1])
        return SqlPage(self._columns if number == 0 else (), rows, following, read, 0)


def keys_in(data: dict[str, str], wanted: KvRange) -> list[tuple[str, str]]:
    """The whole range, as spec 3.3 says it."""
    rows = [
        (key, value)
        for key, value in sorted(data.items(), key=lambda row: row[0].encode())
        if (wanted.start is None or key.encode() >= wanted.start.encode())
        and (wanted.start_after is None or key.encode() > wanted.start_after.encode())
        and (wanted.end is None or key.encode() < wanted.end.encode())
        and key.startswith(wanted.prefix or "")
    ]
    return rows[::-1] if wanted.reverse else rows


def cursor(*pages: list[tuple[SqlValue, ...]], columns: tuple[str, ...] = ("a",)) -> Cursor:
    return Sql(DictCalls(*pages, columns=columns)).exec("SELECT")


def filled(count: int) -> tuple[Kv, DictCalls]:
    calls = DictCalls()
    kv = Kv(calls)
    for number in range(count):
        kv.put(f"k{number:04}", number)
    return kv, calls


# ── kv ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_value_read_is_a_copy() -> None:
    kv, _ = filled(0)
    value = [1]

    kv.put("a", value)
    value.append(2)
    kv.get("a").append(3)

    assert kv.get("a") == [1]


def test_a_missing_key_gives_the_default() -> None:
    kv, _ = filled(0)
    kv.put("there", None)

    assert kv.get("missing") is None
    assert kv.get("missing", 7) == 7
    assert kv.get("there", 7) is None


def test_delete_says_whether_there_was_one() -> None:
    kv, _ = filled(1)

    assert kv.delete("k0000") is True
    assert kv.delete("k0000") is False


@pytest.mark.parametrize("key", ["", 1, None, b"a"])
def test_a_key_is_a_string_that_is_not_empty(key: Any) -> None:
    kv, _ = filled(0)

    for act in (lambda: kv.get(key), lambda: kv.put(key, 1), lambda: kv.delete(key)):
        with pytest.raises(KvError, match=r"a key of storage\.kv"):
            act()


def test_what_cannot_be_stored_is_refused_and_nothing_is_written() -> None:
    kv, calls = filled(0)

    with pytest.raises(ValueNotCloneableError):
        kv.put("a", object())

    assert calls.data == {}


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 256, 300])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_listing_goes_over_pages(count: int, reverse: bool) -> None:  # noqa: FBT001  # a parameter of the test
    kv, _ = filled(count)

    values = [value for _, value in kv.list(reverse=reverse)]

    assert values == (list(range(count))[::-1] if reverse else list(range(count)))


@pytest.mark.parametrize(("limit", "pages"), [(1, 1), (127, 1), (128, 1), (129, 2), (256, 2), (999, 4)])
def test_a_limit_is_kept_and_no_page_too_many_is_asked_for(limit: int, pages: int) -> None:
    kv, calls = filled(300)

    assert len(list(kv.list(limit=limit))) == min(limit, 300)
    assert calls.listed == pages


BOUND = st.none() | st.text("abé\U00010000\uffff", max_size=3)


@given(
    keys=st.sets(st.text("abé\U00010000\uffff", min_size=1, max_size=3), max_size=30),
    wanted=st.builds(
        KvRange,
        start=BOUND,
        end=BOUND,
        prefix=BOUND,
        reverse=st.booleans(),
        limit=st.none() | st.integers(1, 40),
    ),
)
def test_a_range_is_what_the_spec_says(keys: set[str], wanted: KvRange) -> None:
    kv, calls = filled(0)
    for key in keys:
        kv.put(key, None)

    listed = kv.list(
        start=wanted.start, end=wanted.end, prefix=wanted.prefix, reverse=wanted.reverse, limit=wanted.limit
    )

    assert [key for key, _ in listed] == [key for key, _ in keys_in(calls.data, wanted)][: wanted.limit]


def test_start_after_leaves_its_key_out() -> None:
    kv, _ = filled(3)

    assert list(kv.list(start_after="k0000")) == [("k0001", 1), ("k0002", 2)]


def test_a_listing_is_lazy() -> None:
    kv, calls = filled(300)

    listing = kv.list()
    assert calls.listed == 0
    next(listing)
    assert calls.listed == 1


def test_a_new_listing_invalidates_the_older_at_its_next_step() -> None:
    kv, _ = filled(3)
    older = kv.list()
    next(older)

    newer = kv.list()

    with pytest.raises(KvError, match=r"iterator was invalidated by a new call to kv\.list\(\)"):
        next(older)
    assert list(newer) == [("k0000", 0), ("k0001", 1), ("k0002", 2)]


def test_a_listing_that_has_not_begun_is_invalidated_too() -> None:
    kv, _ = filled(3)
    older = kv.list()

    kv.list()

    with pytest.raises(KvError, match="invalidated"):
        next(older)


def test_writing_while_listing_is_allowed() -> None:
    kv, _ = filled(300)

    for key, _ in kv.list():
        kv.delete(key)

    assert list(kv.list()) == []


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": -1}, {"start": "a", "start_after": "b"}])
def test_bad_options_are_refused_at_the_call(options: dict[str, Any]) -> None:
    kv, _ = filled(1)

    with pytest.raises(KvError):
        kv.list(**options)


# ── sql ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_are_dicts_over_all_pages() -> None:
    assert list(cursor([(1,), (2,)], [(3,)], [(4,)])) == [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}]


def test_of_columns_with_one_name_the_last_wins_and_raw_keeps_both() -> None:
    rows: list[tuple[SqlValue, ...]] = [(1, 2, 3)]

    assert cursor(rows, columns=("a", "c", "c")).all() == [{"a": 1, "c": 3}]
    assert list(cursor(rows, columns=("a", "c", "c")).raw()) == [(1, 2, 3)]


def test_column_names_stay_after_the_last_page() -> None:
    rows = cursor([(1, 2)], [(3, 4)], columns=("c", "c"))

    rows.all()

    assert rows.column_names == ("c", "c")


def test_one_takes_the_only_row_and_consumes_it() -> None:
    rows = cursor([("x",)])

    assert rows.one() == {"a": "x"}
    assert rows.all() == []


@pytest.mark.parametrize(("pages", "got"), [(([],), "no results"), (([(1,), (2,)],), "multiple results")])
def test_one_wants_exactly_one_row(pages: tuple[list[tuple[SqlValue, ...]], ...], got: str) -> None:
    with pytest.raises(SqlError, match=f"Expected exactly one result from SQL query, but got {got}"):
        cursor(*pages).one()


def test_one_sees_a_second_row_on_the_next_page() -> None:
    with pytest.raises(SqlError, match="multiple results"):
        cursor([(1,)], [(2,)]).one()


def test_all_raw_and_iteration_share_one_position() -> None:
    rows = cursor([(1,), (2,)], [(3,), (4,)])

    iterator: Iterator[object] = iter(rows)
    assert next(iterator) == {"a": 1}
    assert next(rows.raw()) == (2,)
    assert rows.scalar() == 3
    assert rows.all() == [{"a": 4}]
    assert rows.scalar() is None


def test_rows_read_counts_as_pages_come() -> None:
    rows = cursor([(1,)], [(2,)])

    assert rows.rows_read == 1
    rows.all()
    assert rows.rows_read == 2


def test_bindings_are_what_sqlite_stores() -> None:
    calls = DictCalls()

    Sql(calls).exec("?", None, True, 1, 1.5, "a", b"b", bytearray(b"c"), memoryview(b"d"))

    assert calls.asked == [("?", [None, 1, 1, 1.5, "a", b"b", b"c", b"d"])]
    assert type(calls.asked[0][1][1]) is int


@pytest.mark.parametrize("value", [[1], {}, object(), {1}])
def test_another_binding_is_refused_with_its_place(value: object) -> None:
    with pytest.raises(SqlError, match=r"binding 2 is a .*convert it first"):
        Sql(DictCalls()).exec("?", 1, value)


def test_a_query_is_a_string() -> None:
    with pytest.raises(SqlError, match="a query is a string"):
        Sql(DictCalls()).exec(1)  # type: ignore[arg-type]  # that is the point


def test_the_size_is_what_the_database_says() -> None:
    assert Storage(DictCalls()).sql.database_size == 4096
