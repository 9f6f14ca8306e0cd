from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import KvError
from perdure.limits import KV_ENTRY_BYTES_MAX, KV_LIST_PAGE_BYTES, KV_LIST_PAGE_ROWS
from perdure.storage._database import Database
from perdure.storage._template import new_database
from perdure.wire import KvRange


def keys(database: Database, wanted: KvRange) -> list[str]:
    return [key for key, _ in database.kv_list(wanted)]


# ── one entry ────────────────────────────────────────────────────────────────────────────────────────────────


def test_get_gives_what_was_put(database: Database) -> None:
    database.kv_put("count", "1")
    database.kv_put("count", '"two"')

    assert database.kv_get("count") == '"two"'


def test_get_of_a_missing_key_gives_none(database: Database) -> None:
    assert database.kv_get("missing") is None


def test_delete_tells_whether_there_was_something(database: Database) -> None:
    database.kv_put("count", "1")

    assert database.kv_delete("count") is True
    assert database.kv_delete("count") is False
    assert database.kv_get("count") is None


def test_reads_open_no_unit(database: Database) -> None:
    database.kv_get("a")
    database.kv_list(KvRange())

    assert not database.in_unit


@pytest.mark.parametrize("write", ["put", "delete"])
def test_writes_open_the_unit(database: Database, write: str) -> None:
    if write == "put":
        database.kv_put("a", "1")
    else:
        database.kv_delete("a")

    assert database.in_unit


@pytest.mark.parametrize("key", ["a\0b", "ключ", "\U0001f511", " ", "\uffff"])
def test_keys_hold_any_text(database: Database, key: str) -> None:
    database.kv_put(key, "1")

    assert database.kv_list(KvRange()) == [(key, "1")]


def test_half_of_a_surrogate_pair_becomes_the_replacement_character(database: Database) -> None:
    database.kv_put("a\ud800", '"\udc00"')

    assert database.kv_list(KvRange()) == [("a\ufffd", '"\ufffd"')]
    assert database.kv_get("a\ud800") == '"\ufffd"'
    assert database.kv_delete("a\ud800") is True


def test_the_empty_key_is_refused(database: Database) -> None:
    with pytest.raises(KvError, match="must not be empty"):
        database.kv_put("", "1")

    assert not database.in_unit


def test_an_entry_of_the_largest_size_is_kept(database: Database) -> None:
    value = "x" * (KV_ENTRY_BYTES_MAX - 1)

    database.kv_put("k", value)

    assert database.kv_get("k") == value


@pytest.mark.parametrize("value", ["x" * KV_ENTRY_BYTES_MAX, "я" * (KV_ENTRY_BYTES_MAX // 2)])
def test_an_entry_over_the_limit_is_refused_with_its_size(database: Database, value: str) -> None:
    with pytest.raises(KvError, match=rf"{KV_ENTRY_BYTES_MAX + 1} bytes.*may be {KV_ENTRY_BYTES_MAX}"):
        database.kv_put("k", value)

    assert database.kv_get("k") is None


# ── ranges ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def three(database: Database) -> Database:
    for key in ("foo", "bar", "baz"):
        database.kv_put(key, "1")
    return database


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (KvRange(), ["bar", "baz", "foo"]),
        (KvRange(reverse=True), ["foo", "baz", "bar"]),
        (KvRange(start="baz"), ["baz", "foo"]),
        (KvRange(start_after="baz"), ["foo"]),
        (KvRange(end="foo"), ["bar", "baz"]),
        (KvRange(start="baz", reverse=True), ["foo", "baz"]),
        (KvRange(end="foo", reverse=True, limit=1), ["baz"]),
        (KvRange(limit=2), ["bar", "baz"]),
        (KvRange(prefix="ba"), ["bar", "baz"]),
        (KvRange(prefix="ba", start="bas"), ["baz"]),
        (KvRange(prefix="ba", start="a"), ["bar", "baz"]),
        (KvRange(prefix="ba", start_after="a"), ["bar", "baz"]),
        (KvRange(prefix="ba", start_after="bar"), ["baz"]),
        (KvRange(prefix="ba", end="baz"), ["bar"]),
        (KvRange(prefix="ba", start="c"), []),
        (KvRange(start="foo", end="bar"), []),
        (KvRange(end=""), []),
    ],
)
def test_ranges(three: Database, wanted: KvRange, expected: list[str]) -> None:
    assert keys(three, wanted) == expected


def test_order_is_that_of_utf8_bytes(database: Database) -> None:
    for key in ("\U00010000", "\uffff", "z", "é"):
        database.kv_put(key, "1")

    assert keys(database, KvRange()) == ["z", "é", "\uffff", "\U00010000"]


@pytest.mark.parametrize("prefix", ["\ud7ff", "\U0010ffff", "a\U0010ffff", "\U0010ffff\U0010ffff"])
def test_prefixes_at_the_edges_of_unicode(database: Database, prefix: str) -> None:
    for key in ("a", prefix, f"{prefix}x", "b", "\ue000"):
        database.kv_put(key, "1")

    assert keys(database, KvRange(prefix=prefix)) == [prefix, f"{prefix}x"]


def test_a_page_has_a_bounded_number_of_rows(database: Database) -> None:
    for number in range(KV_LIST_PAGE_ROWS + 1):
        database.kv_put(f"{number:03}", "1")

    page = keys(database, KvRange())

    assert len(page) == KV_LIST_PAGE_ROWS
    assert keys(database, KvRange(start_after=page[-1])) == [f"{KV_LIST_PAGE_ROWS:03}"]


def test_start_and_start_after_exclude_each_other(database: Database) -> None:
    with pytest.raises(KvError, match="both start and startAfter"):
        database.kv_list(KvRange(start="a", start_after="b"))


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_positive(database: Database, limit: int) -> None:
    with pytest.raises(KvError, match=f"List limit must be positive, not `{limit}`"):
        database.kv_list(KvRange(limit=limit))


# ── against a model ──────────────────────────────────────────────────────────────────────────────────────────

TEXTS = st.text(st.sampled_from("ab\0é\ud7ff\ue000\uffff\U00010000\U0010ffff"), max_size=3)
KEYS = TEXTS.filter(bool)
RANGES = st.builds(
    KvRange,
    start=st.none() | TEXTS,
    end=st.none() | TEXTS,
    prefix=st.none() | TEXTS,
    reverse=st.booleans(),
    limit=st.none() | st.integers(1, 5),
) | st.builds(KvRange, start_after=TEXTS, end=st.none() | TEXTS, prefix=st.none() | TEXTS, reverse=st.booleans())
STEPS = st.lists(
    st.tuples(st.just("put"), KEYS, st.text(max_size=5))
    | st.tuples(st.just("delete"), KEYS)
    | st.tuples(st.just("commit"))
    | st.tuples(st.just("rollback")),
    max_size=30,
)


def expected_range(entries: dict[str, str], wanted: KvRange) -> list[tuple[str, str]]:
    found = [
        (key, value)
        for key, value in sorted(entries.items(), key=lambda entry: entry[0].encode(), reverse=wanted.reverse)
        if (wanted.start is None or key.encode() >= wanted.start.encode())
        and (wanted.start_after is None or key.encode() > wanted.start_after.encode())
        and (wanted.end is None or key.encode() < wanted.end.encode())
        and key.startswith(wanted.prefix or "")
    ]
    return found[: wanted.limit]


@settings(max_examples=80, deadline=None)
@given(STEPS, st.lists(RANGES, max_size=8))
def test_kv_is_a_sorted_dict_with_transactions(steps: list[tuple[str, ...]], ranges: list[KvRange]) -> None:
    committed: dict[str, str] = {}
    entries: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "object.sqlite")
        path.write_bytes(new_database())
        database = Database.open(path, number=0)

        for step in steps:
            match step:
                case ("put", key, value):
                    database.kv_put(key, value)
                    entries[key] = value
                case ("delete", key):
                    assert database.kv_delete(key) is (entries.pop(key, None) is not None)
                case ("commit",):
                    database.commit()
                    committed = dict(entries)
                case _:
                    database.rollback()
                    entries = dict(committed)
        for wanted in ranges:
            assert database.kv_list(wanted) == expected_range(entries, wanted)
        for key, value in entries.items():
            assert database.kv_get(key) == value
        database.close()

        reopened = Database.open(path, number=0)
        assert dict(reopened.kv_list(KvRange())) == committed
        reopened.close()


# ── large values ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reverse", [False, True])
def test_a_page_of_large_values_is_a_short_one(database: Database, reverse: bool) -> None:  # noqa: FBT001  # a parameter of the test
    value = "x" * (KV_LIST_PAGE_BYTES // 4)
    for number in range(9):
        database.kv_put(f"{number}", value)

    page = database.kv_list(KvRange(reverse=reverse))

    assert [key for key, _ in page] == (["8", "7", "6", "5"] if reverse else ["0", "1", "2", "3"])
    assert database.commit() is not None
    assert keys(database, KvRange(start_after="3")) == ["4", "5", "6", "7"]
