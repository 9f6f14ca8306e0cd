"""Values there and back, and what a foreign peer is not sent."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.capnweb._protocol import Protocol
from perdure.capnweb._reader import read_expression
from perdure.capnweb._writer import write_error, write_expression
from perdure.errors import GuestError, ValueNotCloneableError
from perdure.limits import ERROR_PROPERTIES_MAX, JSON_VALUES_MAX
from perdure.web import Headers, Request, Response
from perdure.wire import BigInt, MapDict, RegExp, TypedBytes


class Plain:
    def introduce(self, value: object) -> None:
        return None


def written(value: object) -> object:
    return json.loads(json.dumps(write_expression(value, Plain())))


def there_and_back(value: object) -> Any:
    return read_expression(written(value), Protocol(None)).root[0]


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_values_come_back_as_they_were(value: object) -> None:
    assert there_and_back(value) == value


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        ([1, [2]], [[1, [[2]]]]),
        ((), [[]]),
        (math.inf, ["inf"]),
        (-math.inf, ["-inf"]),
        (2**53, ["bigint", "9007199254740992"]),
        (BigInt(5), ["bigint", "5"]),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), ["date", 1000]),
        (b"\x01\x02", ["bytes", "AQI="]),
        (TypedBytes(b"\x01\x00\x02\x00", "Uint16Array"), ["bytes", "AQACAA==", "Uint16Array"]),
        (Headers({"a": "b"}), ["headers", [["a", "b"]]]),
        (Request("https://a/b"), ["request", "https://a/b", {}]),
        (
            Request("https://a/b", method="PUT", headers={"a": "b"}, body=b"x"),
            [
                "request",
                "https://a/b",
                {"method": "PUT", "headers": [["a", "b"]], "body": ["bytes", "eA=="], "duplex": "half"},
            ],
        ),
        (Response(b"x", 201), ["response", ["bytes", "eA=="], {"status": 201}]),
        (Response(None, 204), ["response", None, {"status": 204}]),
        (ValueError("no"), ["error", "ValueError", "no"]),
    ],
)
def test_a_value_is_written_as_the_protocol_says(value: object, expression: object) -> None:
    assert written(value) == expression


def test_nan_is_tagged() -> None:
    assert math.isnan(there_and_back(math.nan))


def test_base64_without_padding_is_read() -> None:
    assert read_expression(["bytes", "AQI"], Protocol(None)).root[0] == b"\x01\x02"


async def bodies(message: Any) -> bytes:
    body: bytes = await message.bytes()
    return body


def test_requests_and_responses_come_back() -> None:
    request = there_and_back(Request("https://a/b?c=d", method="POST", headers={"x-a": "1"}, body=b"\xff"))
    response = there_and_back(Response("text", 404, {"x-b": "2"}, "Gone Fishing"))

    assert (request.url, request.method, request.headers.get("x-a"), request.body) == (
        "https://a/b?c=d",
        "POST",
        "1",
        b"\xff",
    )
    assert (response.status, response.status_text, response.headers.get("x-b"), response.body) == (
        404,
        "Gone Fishing",
        "2",
        b"text",
    )


@pytest.mark.parametrize(
    "value",
    [{1, 2}, frozenset(), MapDict(a=1), RegExp("a"), re.compile("a"), {1: 2}, object(), [{"x": {3}}]],
    ids=["set", "frozenset", "map", "regexp", "pattern", "keys", "object", "inside"],
)
def test_what_a_foreign_peer_has_not_is_refused(value: object) -> None:
    with pytest.raises(ValueNotCloneableError):
        written(value)


def test_the_refusal_says_what_to_send_instead() -> None:
    with pytest.raises(ValueNotCloneableError, match="a `set` cannot be sent to a Cap'n Web peer, which has none"):
        written({1})


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)

    with pytest.raises(ValueNotCloneableError, match="contains itself"):
        written(value)


def test_shared_parts_do_not_explode() -> None:
    value: list[object] = []
    for _ in range(60):
        value = [value, value]

    with pytest.raises(ValueNotCloneableError, match=f"more than {JSON_VALUES_MAX} values"):
        written(value)


# ── errors ──


def test_an_error_takes_its_properties_and_its_cause_along() -> None:
    error = ValueError("no")
    error.status = 409  # type: ignore[attr-defined]  # as user code does
    error.detail = {"field": "name"}  # type: ignore[attr-defined]
    error._private = 1  # type: ignore[attr-defined]
    error.__cause__ = KeyError("why")

    read = read_expression(write_error(error, Plain()), Protocol(None)).root[0]

    assert isinstance(read, GuestError)
    assert (str(read), read.type_name) == ("no", "ValueError")
    assert read.properties == {"status": 409, "detail": {"field": "name"}}
    assert str(read.__cause__) == "'why'"


def test_the_stack_of_an_error_is_never_sent() -> None:
    with pytest.raises(ValueError, match="place") as caught:
        raise ValueError("secret place")
    caught.value.stack = "secret"  # type: ignore[attr-defined]

    assert write_error(caught.value, Plain()) == ["error", "ValueError", "secret place"]


def test_properties_that_cannot_be_sent_are_left_behind() -> None:
    error = ValueError("no")
    error.handle = object()  # type: ignore[attr-defined]
    error.large = "x" * 100_000  # type: ignore[attr-defined]
    error.kept = 1  # type: ignore[attr-defined]

    assert write_error(error, Plain())[4] == {"kept": 1}


def test_too_many_properties_of_a_peers_error_are_refused() -> None:
    properties = {f"p{number}": number for number in range(ERROR_PROPERTIES_MAX + 1)}

    with pytest.raises(ValueError, match="its properties are no object of at most"):
        read_expression(["error", "Error", "text", None, properties], Protocol(None))
