"""The two ends of a connection inside the process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import HttpMessageError, WebSocketError
from perdure.limits import WEBSOCKET_MESSAGE_BYTES_MAX, WEBSOCKET_QUEUE_MESSAGES_MAX
from perdure.web import Response, WebSocketClose, WebSocketPair, close_reason
from perdure.web._websocket import Ends


def accepted() -> Ends:
    ends = WebSocketPair()
    ends.client.accept()
    ends.server.accept()
    return ends


def test_what_one_end_sends_the_other_takes_in_order() -> None:
    client, server = accepted()

    client.send("one")
    client.send(b"two")
    server.send("three")

    assert [server.take(), server.take(), server.take()] == ["one", b"two", None]
    assert client.take() == "three"


def test_the_end_comes_after_the_last_message() -> None:
    client, server = accepted()

    client.send("last")
    client.close(3000, "enough")
    client.close(3001, "twice")

    assert server.take() == "last"
    assert server.take() == server.take() == WebSocketClose(3000, "enough")


def test_nothing_is_sent_after_the_end() -> None:
    client, server = accepted()

    client.close()

    for end in (client, server):
        with pytest.raises(WebSocketError, match="is closed"):
            end.send("more")


def test_an_end_is_used_after_it_was_accepted_and_by_one() -> None:
    client, server = WebSocketPair()

    with pytest.raises(WebSocketError, match="call accept"):
        server.send("early")
    with pytest.raises(WebSocketError, match="call accept"):
        server.take()
    server.accept()
    server.send("kept until the other accepts")
    with pytest.raises(WebSocketError, match="accepted already"):
        server.accept()
    client.accept()

    assert client.take() == "kept until the other accepts"


def test_holders_are_told_of_arrivals_and_of_room() -> None:
    client, server = accepted()
    told: list[str] = []
    server.watch(on_arrival=lambda: told.append("arrival"), on_room=lambda: told.append("server has room"))
    client.watch(on_arrival=lambda: told.append("to client"), on_room=lambda: told.append("client has room"))

    client.send("x")
    server.take()
    client.close()

    assert told == ["arrival", "client has room", "arrival"]


def test_a_queue_is_bounded() -> None:
    client, server = accepted()

    with pytest.raises(WebSocketError, match=f"the limit is {WEBSOCKET_MESSAGE_BYTES_MAX}"):
        client.send("x" * (WEBSOCKET_MESSAGE_BYTES_MAX + 1))
    client.send("x" * WEBSOCKET_MESSAGE_BYTES_MAX)
    client.send("x" * WEBSOCKET_MESSAGE_BYTES_MAX)
    with pytest.raises(WebSocketError, match="wait to be taken"):
        client.send("x")
    server.take()
    client.send("x")

    assert client.buffered_amount == WEBSOCKET_MESSAGE_BYTES_MAX + 1


def test_a_queue_of_empty_messages_is_bounded() -> None:
    client, _ = accepted()
    for _ in range(WEBSOCKET_QUEUE_MESSAGES_MAX):
        client.send("")

    with pytest.raises(WebSocketError, match="wait to be taken"):
        client.send("")


@pytest.mark.parametrize("code", [0, 999, 1004, 1010, 1015, 2999, 5000, True])
def test_a_code_that_means_nothing_is_refused(code: int) -> None:
    client, _ = accepted()

    with pytest.raises(WebSocketError, match="is no code that a WebSocket is closed with"):
        client.close(code)


@given(st.text())
def test_a_reason_is_cut_to_what_a_frame_carries(text: str) -> None:
    cut = close_reason(text)
    client, server = accepted()

    client.close(1000, cut)

    assert server.take() == WebSocketClose(1000, cut)
    assert len(cut.encode()) <= 123


def test_a_reason_that_is_too_long_is_refused() -> None:
    client, _ = accepted()

    with pytest.raises(WebSocketError, match="more than 123 bytes"):
        client.close(1000, "x" * 124)


# ── in a Response ──


def test_a_response_that_switches_has_status_101_and_no_body() -> None:
    socket = WebSocketPair().client

    assert Response(status=101, web_socket=socket).web_socket is socket
    with pytest.raises(HttpMessageError, match="has status 101 and no body"):
        Response(status=200, web_socket=socket)
    with pytest.raises(HttpMessageError, match="has status 101 and no body"):
        Response("text", status=101, web_socket=socket)
    with pytest.raises(HttpMessageError, match="outside 200 to 599"):
        Response(status=101)


def test_a_response_that_switches_cannot_be_cloned() -> None:
    with pytest.raises(HttpMessageError, match="there is one connection"):
        Response(status=101, web_socket=WebSocketPair().client).clone()
