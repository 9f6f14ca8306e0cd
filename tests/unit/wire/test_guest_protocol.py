"""The numbers of the guest protocol: both sides of them are built apart, so they never change."""

from __future__ import annotations

from perdure.wire import ERROR_MARK, NETWORK_DENIED, GuestOp, HostOp, encode


def test_what_the_host_asks_keeps_its_numbers() -> None:
    names = ["LOAD", "START", "EVENT", "RESUME", "WAKE", "REHEARSE", "TRANSLATE"]

    assert [op.name for op in sorted(GuestOp)] == names
    assert [op.value for op in sorted(GuestOp)] == list(range(1, 8))


def test_what_a_guest_asks_keeps_its_numbers() -> None:
    names = [
        "LOG", "KV_GET", "KV_PUT", "KV_DELETE", "KV_LIST", "SQL_EXEC", "SQL_NEXT", "SQL_CLOSE", "MODULE", "ABORT",
        "CLOCK", "DATABASE_SIZE", "FACET_LIST", "RANDOM", "EXHAUSTED", "KV_GET_MANY", "KV_WRITE", "SAVEPOINT",
        "DELETE_ALL", "ALARM_GET", "ALARM_SET",
    ]  # fmt: skip

    assert [op.name for op in sorted(HostOp)][: len(names)] == names
    assert [op.value for op in sorted(HostOp)][: len(names)] == list(range(1, len(names) + 1))


def test_no_value_reads_as_an_error() -> None:
    values: list[object] = [None, True, 1, -1, "!", [], {}, b"!", float("inf")]
    for value in values:
        assert not encode(value).startswith(ERROR_MARK)


def test_the_refusal_of_network_reads_like_the_reference() -> None:
    assert "not permitted to access the internet via global functions" in NETWORK_DENIED
    assert "capabilities (such as bindings in 'env')" in NETWORK_DENIED
