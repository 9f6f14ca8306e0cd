"""Requests of operators survive the wire, and nothing else that arrives does any harm."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import UsageError
from perdure.limits import ADMIN_ITEMS_MAX, ADMIN_REQUEST_BYTES_MAX, ALARM_MS_MAX
from perdure.server._admin_requests import (
    AdminRequest,
    CancelAlarm,
    CheckUp,
    DeleteObject,
    ExportObject,
    ForkObject,
    ImportObject,
    ListAlarms,
    ListKv,
    ListObjects,
    RewindObject,
    RunSql,
    SetAlarm,
    ShowDiff,
    ShowHistory,
    ShowStatistics,
    ShowTree,
    request_from_line,
    request_to_line,
)

TEXT = st.text(max_size=20)
LIMIT = st.integers(1, ADMIN_ITEMS_MAX)
CELL = st.none() | st.integers(-(2**63), 2**63 - 1) | TEXT | st.floats(allow_nan=False, allow_infinity=False)
REQUESTS: st.SearchStrategy[AdminRequest] = st.one_of(
    st.builds(ListObjects, TEXT, TEXT, LIMIT),
    st.builds(ShowTree, TEXT),
    st.builds(RunSql, TEXT, TEXT, st.lists(CELL, max_size=4).map(tuple), st.booleans(), LIMIT, TEXT),
    st.builds(ListKv, TEXT, TEXT, TEXT, LIMIT),
    st.builds(DeleteObject, TEXT, st.booleans()),
    st.builds(ListAlarms, TEXT, TEXT, LIMIT),
    st.builds(CancelAlarm, TEXT),
    st.builds(SetAlarm, TEXT, st.integers(0, ALARM_MS_MAX)),
    st.builds(ShowHistory, TEXT, TEXT, LIMIT),
    st.builds(ShowDiff, TEXT, TEXT, TEXT),
    st.builds(RewindObject, TEXT, TEXT),
    st.builds(ForkObject, TEXT, TEXT, TEXT),
    st.builds(ExportObject, TEXT, TEXT, TEXT),
    st.builds(ImportObject, TEXT, TEXT),
    st.builds(CheckUp),
    st.builds(ShowStatistics),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(REQUESTS)
def test_a_request_survives_the_wire(request: AdminRequest) -> None:
    line = request_to_line(request)

    assert line.count(b"\n") == 1
    assert request_from_line(line) == request


@given(st.binary(max_size=200))
def test_bytes_of_a_stranger_are_refused_in_words(line: bytes) -> None:
    with pytest.raises(UsageError):
        request_from_line(line)


@given(st.sampled_from(["ls", "tree", "sql", "kv", "delete", "statistics", "other"]), st.dictionaries(TEXT, JSON))
def test_json_of_a_stranger_is_a_request_or_refused_in_words(do: str, rest: dict[str, object]) -> None:
    try:
        request = request_from_line(json.dumps({**rest, "do": do}).encode())
    except UsageError:
        return
    assert request_from_line(request_to_line(request)) == request


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"do": "sql", "object": "A/b"}', "`sql` needs `query`"),
        (b'{"do": "tree", "object": "A/b", "also": 1}', "`tree` has no `also`"),
        (b'{"do": "tree", "object": 7}', "`object` is no str"),
        (b'{"do": "ls", "limit": true}', "`limit` is no int"),
        (b'{"do": "alarms-set", "object": "A/b", "at_ms": -1}', "`at_ms` is from 0 to"),
        (b'{"do": "ls", "limit": 0}', "`limit` is from 1 to"),
        (b'{"do": "sql", "object": "A/b", "query": "q", "bindings": [[]]}', "`bindings` is no tuple"),
        (b'{"do": ["ls"]}', "`do` must be one of ls, "),
        (b"[" * 100_000, "one line of JSON"),
        (b" " * (ADMIN_REQUEST_BYTES_MAX + 1), f"at most {ADMIN_REQUEST_BYTES_MAX} bytes"),
    ],
)
def test_what_is_wrong_is_named(line: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        request_from_line(line)
