"""HTTP messages on the wire: what crosses, and what a forger gets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import GuestError
from perdure.limits import HEADERS_BYTES_MAX, HEADERS_MAX
from perdure.web import Request, Response
from perdure.wire import (
    request_from_host,
    request_from_wire,
    request_to_wire,
    response_from_host,
    response_from_wire,
    response_to_wire,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("get") | st.just(200),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("muhbBs"), inner, max_size=6),
    max_leaves=12,
)


def through_json(value: object) -> Any:
    return json.loads(json.dumps(value))


def test_a_request_has_the_shape_of_the_protocol() -> None:
    request = Request("http://app/x?y=1", "POST", {"X-A": "1"}, "hi")

    assert through_json(request_to_wire(request)) == {
        "m": "POST",
        "u": "http://app/x?y=1",
        "h": [["x-a", "1"], ["content-type", "text/plain;charset=UTF-8"]],
        "b": "hi",
    }


def test_a_body_that_is_not_utf8_travels_in_base64_and_none_not_at_all() -> None:
    assert response_to_wire(Response(b"\xff")) == {"s": 200, "h": [], "B": "/w=="}
    assert response_to_wire(Response(None, 404, None, "Gone fishing")) == {"s": 404, "h": [], "st": "Gone fishing"}


@given(st.none() | st.binary(), st.sampled_from(["POST", "PUT", "patch"]))
def test_requests_survive_the_wire(body: bytes | None, method: str) -> None:
    request = Request("http://app/", method, [("a", "1"), ("a", "2")], body)

    for read in (request_from_wire, request_from_host):
        copy = read(through_json(request_to_wire(request)))
        assert (copy.url, copy.method, copy.body) == (request.url, request.method, request.body)
        assert copy.headers == request.headers


@given(st.none() | st.binary() | st.text(), st.integers(400, 599))
def test_responses_survive_the_wire(body: bytes | str | None, status: int) -> None:
    response = Response(body, status, {"a": "1"}, "Because")

    for read in (response_from_wire, response_from_host):
        copy = read(through_json(response_to_wire(response)))
        assert (copy.status, copy.status_text, copy.body) == (response.status, response.status_text, response.body)
        assert copy.headers == response.headers


@pytest.mark.parametrize(
    "forged",
    [
        None,
        [],
        "x",
        {},
        {"s": "200", "h": []},
        {"s": True, "h": []},
        {"s": 200.0, "h": []},
        {"s": 101, "h": []},
        {"s": 10**30, "h": []},
        {"s": 200, "h": {}},
        {"s": 200, "h": [["a"]]},
        {"s": 200, "h": [["a", 1]]},
        {"s": 200, "h": [["a", "b\r\nc: d"]]},
        {"s": 200, "h": [["a\n", "b"]]},
        {"s": 200, "h": [["a", "b"]] * (HEADERS_MAX + 1)},
        {"s": 200, "h": [["a", "b" * HEADERS_BYTES_MAX]]},
        {"s": 200, "h": [], "b": 1},
        {"s": 200, "h": [], "B": "é"},
        {"s": 200, "h": [], "B": "a"},
        {"s": 204, "h": [], "b": "x"},
        {"s": 200, "h": [], "st": "a\r\n"},
    ],
)
def test_a_forged_response_is_the_guests_error(forged: object) -> None:
    with pytest.raises(GuestError, match="malformed response"):
        response_from_wire(forged)


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"m": "GET"},
        {"m": "GET", "u": "/x"},
        {"m": "A B", "u": "http://a"},
        {"m": "GET", "u": "http://a", "h": 1},
        7,
    ],
)
def test_a_forged_request_is_the_guests_error(forged: object) -> None:
    with pytest.raises(GuestError, match="malformed request"):
        request_from_wire(forged)


def test_a_lone_surrogate_in_a_body_is_replaced() -> None:
    assert response_from_wire(json.loads('{"s": 200, "h": [], "b": "\\ud800"}')).body == "�".encode()


@given(JSON_VALUES)
def test_anything_is_a_message_or_the_guests_error(value: object) -> None:
    for read in (request_from_wire, response_from_wire):
        try:
            read(value)
        except GuestError:
            continue


def test_a_guest_gives_no_orders_to_a_proxy() -> None:
    lines = [["X-Accel-Redirect", "/secret"], ["x-sendfile", "/etc/passwd"], ["x-accelerated", "kept"]]

    response = response_from_wire({"s": 200, "h": lines})

    assert response.headers.multi_items() == [("x-accelerated", "kept")]


@pytest.mark.parametrize("letter", ["\x00", "\x7f", "é", "語"])
def test_a_large_text_that_json_would_blow_up_travels_in_base64(letter: str) -> None:
    request = Request("http://host/", "POST", body=letter * 1_500_000)

    wire = request_to_wire(request)

    assert isinstance(request.body, bytes)
    assert len(json.dumps(wire)) < 1.4 * len(request.body)
    assert request_from_wire(json.loads(json.dumps(wire))).body == request.body


@pytest.mark.parametrize("text", ["plain text, 語 now and then\n" * 100_000, "\x00" * 10_000])
def test_other_texts_travel_as_they_are(text: str) -> None:
    assert request_to_wire(Request("http://host/", "POST", body=text))["b"] == text
