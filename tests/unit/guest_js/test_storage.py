"""`ctx.storage` in JavaScript: kv and sql over host calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import Driver, error_of, only

from perdure.wire import ERROR_MARK, HostOp

STORAGE = """
import { DurableObject } from "cloudflare:workers";
export class App extends DurableObject {
  run(source) { return new Function("kv", "sql", `return (${source})`)(this.ctx.storage.kv, this.ctx.storage.sql); }
}
"""


@pytest.fixture
def guest(javascript: JavaScript) -> Driver:
    made: Driver = javascript(STORAGE)
    made.start()
    return made


def run(guest: Driver, source: str) -> Any:
    return only(guest.call("run", source))


def failure(guest: Driver, source: str) -> str:
    shape = error_of(guest.call("run", source))
    return f"{shape['type']}: {shape['message']}"


# ── kv ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_values_are_stored_as_expressions(guest: Driver) -> None:
    assert run(guest, "kv.put('a', [1, new Map([[1, 2n]])])") == ["undefined"]
    assert guest.host.values == {"a": '[[1,["map",[[1,["bigint","2"]]]]]]'}
    assert run(guest, "kv.get('a')[1].get(1)") == ["bigint", "2"]
    assert run(guest, "[kv.delete('a'), kv.delete('a'), kv.get('a') === undefined]") == [[True, False, True]]


@pytest.mark.parametrize("value", ["''", "0", "false", "null", "'!'", "[]", "{}"])
def test_any_plain_value_comes_back(guest: Driver, value: str) -> None:
    assert run(guest, f"[kv.put('k', {value}), JSON.stringify(kv.get('k')) === JSON.stringify({value})][1]") is True


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("kv.get(1)", "TypeError: a key of storage.kv is a string, not `number`"),
        ("kv.get('')", "TypeError: a key of storage.kv must not be empty"),
        ("kv.put('k', undefined)", "TypeError: put() called with undefined value"),
        ("kv.put('k', () => 1)", "DataCloneError: functions cannot be stored"),
        ("kv.list({ start: 'a', startAfter: 'b' })", "TypeError: list() got both start and startAfter"),
        ("kv.list({ limit: 0 })", "TypeError: List limit must be positive"),
    ],
)
def test_misuse_of_kv_says_why(guest: Driver, source: str, text: str) -> None:
    assert failure(guest, source).startswith(text)


def listing(guest: Driver, count: int) -> list[dict[str, Any]]:
    """Let the host list `count` keys; what it was asked."""
    asked: list[dict[str, Any]] = []
    keys = [f"k{number:03}" for number in range(count)]

    def answer(key: str, payload: str) -> str:
        wanted = json.loads(payload)
        asked.append(wanted)
        rows = [key for key in keys if key > wanted.get("start_after", "") and key < wanted.get("end", "~")]
        rows = (rows[::-1] if wanted.get("reverse") else rows)[: min(128, wanted.get("limit", 128))]
        return json.dumps([[key, [[key]]] for key in rows])

    guest.host.answers[HostOp.KV_LIST] = answer
    return asked


def test_list_asks_for_pages_as_it_is_read(guest: Driver) -> None:
    asked = listing(guest, 300)

    assert run(guest, "[...kv.list()].length") == 300
    assert asked == [{}, {"start_after": "k127"}, {"start_after": "k255"}, {"start_after": "k299"}]


def test_list_is_lazy(guest: Driver) -> None:
    asked = listing(guest, 300)

    assert run(guest, "kv.list().next().value") == [["k000", [["k000"]]]]
    assert len(asked) == 1
    run(guest, "void kv.list()")
    assert len(asked) == 1


def test_list_backwards_and_limited(guest: Driver) -> None:
    asked = listing(guest, 300)

    assert run(guest, "[...kv.list({ reverse: true, limit: 130 })].at(-1)[0]") == "k170"
    assert asked == [{"reverse": True, "limit": 130}, {"reverse": True, "limit": 2, "end": "k172"}]


def test_newer_list_invalidates_the_older(guest: Driver) -> None:
    listing(guest, 3)

    message = failure(guest, "(() => { const old = kv.list(); old.next(); kv.list(); old.next(); })()")

    assert "iterator was invalidated" in message


def test_error_of_the_host_is_thrown_as_its_type(guest: Driver) -> None:
    shape = {"type": "KvError", "message": "too large", "code": "kv"}
    guest.host.answers[HostOp.KV_PUT] = lambda key, payload: ERROR_MARK + json.dumps(shape)

    caught = run(guest, "(() => { try { kv.put('k', 1) } catch (error) {"
                 " return [error instanceof TypeError, error.message, error.code] } })()")  # fmt: skip

    assert caught == [[True, "too large", "kv"]]


# ── sql ──────────────────────────────────────────────────────────────────────────────────────────────────────


def rows(guest: Driver, *pages: list[list[object]], columns: tuple[str, ...] = ("a", "b")) -> list[tuple[str, str]]:
    """Let the host answer a query with these pages; what it was asked."""
    asked: list[tuple[str, str]] = []

    def page(number: int) -> dict[str, object]:
        cursor = 7 if number + 1 < len(pages) else 0
        return {"r": pages[number], "c": cursor, "i": [sum(map(len, pages[: number + 1])), 0]}

    def execute(query: str, bindings: str) -> str:
        asked.append((query, bindings))
        return json.dumps({"n": columns, **page(0)})

    def proceed(cursor: str, _: str) -> str:
        asked.append((cursor, ""))
        return json.dumps(page(len(asked) - 1))

    guest.host.answers |= {HostOp.SQL_EXEC: execute, HostOp.SQL_NEXT: proceed}
    return asked


def test_cursor_is_iterated_page_by_page(guest: Driver) -> None:
    asked = rows(guest, [[1, "x"]], [[2, "y"], [3, None]])

    assert run(guest, "[...sql.exec('SELECT')]") == [[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": None}]]
    assert asked == [("SELECT", "[]"), ("7", "")]


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("sql.exec('S').toArray()", [[{"a": 1, "b": 2}, {"a": 3, "b": 4}]]),
        ("[...sql.exec('S').raw()]", [[[[1, 2]], [[3, 4]]]]),
        ("sql.exec('S').raw().toArray()", [[[[1, 2]], [[3, 4]]]]),
        ("sql.exec('S').columnNames", [["a", "b"]]),
        ("sql.exec('S').next()", {"done": False, "value": {"a": 1, "b": 2}}),
        ("(() => { const c = sql.exec('S'); c.next(); return c.raw().next().value })()", [[3, 4]]),
        ("(() => { const c = sql.exec('S'); c.toArray(); return c.next() })()", {"done": True, "value": ["undefined"]}),
        ("(({ rowsRead, rowsWritten }) => [rowsRead, rowsWritten])(sql.exec('S'))", [[1, 0]]),
    ],
)
def test_faces_of_a_cursor(guest: Driver, source: str, result: object) -> None:
    rows(guest, [[1, 2], [3, 4]])

    assert run(guest, source) == result


def test_last_of_columns_with_one_name_wins(guest: Driver) -> None:
    rows(guest, [[1, 2]], columns=("c", "c"))

    assert run(guest, "[sql.exec('S').one(), sql.exec('S').columnNames]") == [[{"c": 2}, [["c", "c"]]]]


@pytest.mark.parametrize(("page", "text"), [([], "got no results"), ([[1, 2], [3, 4]], "got multiple results")])
def test_one_wants_exactly_one_row(guest: Driver, page: list[list[object]], text: str) -> None:
    rows(guest, page)

    assert f"Expected exactly one result from SQL query, but {text}" in failure(guest, "sql.exec('S').one()")


def test_cells_go_both_ways(guest: Driver) -> None:
    asked = rows(guest, [[["b", "AP8="], ["i", "9007199254740993"]], [["inf"], 1.5]])
    source = (
        "[...sql.exec('S', null, undefined, true, 1.5, 'ä\\ud800', 5n, new Uint8Array([1]), new Uint8Array([2]).buffer,"
        " Infinity, NaN).raw()].map(([x, y]) => [x instanceof ArrayBuffer ? new Uint8Array(x).join() : x, y])"
    )

    result = run(guest, source)

    assert result == [[[["0,255", 9007199254740992]], [[["inf"], 1.5]]]]
    assert json.loads(asked[0][1]) == [
        None, None, 1, 1.5, "ä\ufffd", ["i", "5"], ["b", "AQ=="], ["b", "Ag=="], ["inf"], None,
    ]  # fmt: skip


def test_what_cannot_be_bound_says_so(guest: Driver) -> None:
    assert "binding 2 is a `Date`" in failure(guest, "sql.exec('S', 1, new Date())")
    assert "a query is a string" in failure(guest, "sql.exec(1)")


def test_database_size(guest: Driver) -> None:
    guest.host.answers[HostOp.DATABASE_SIZE] = lambda key, payload: "8192"

    assert run(guest, "sql.databaseSize") == 8192
