"""WebSocket and WebSocketPair: two ends of one connection inside the process; what one sends, the other takes.

A server holds one end on behalf of a client, and answers with it (`Response(status=101, web_socket=…)`); the other end
is its own. Both queues are bounded. Whoever holds an end is told, by the functions it has set, when something arrived
and when there is room again. Effects: none (it calls these functions).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, TypeGuard

from perdure.errors import WebSocketError
from perdure.limits import WEBSOCKET_MESSAGE_BYTES_MAX, WEBSOCKET_QUEUE_BYTES_MAX, WEBSOCKET_QUEUE_MESSAGES_MAX

NORMAL_CLOSURE: Final = 1000
NO_STATUS: Final = 1005
ABNORMAL_CLOSURE: Final = 1006
_REASON_BYTES_MAX: Final = 123  # of a close frame, which holds 125 (RFC 6455, 5.5)
_CODES_OF_APPS: Final = range(3000, 5000)
_CODES_OF_SERVERS: Final = frozenset({1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013})


@dataclass(frozen=True, slots=True)
class WebSocketClose:
    """The end of a connection, as the other side told it. 1006: it broke, 1005: no reason was given."""

    code: int
    reason: str


Arrival: TypeAlias = str | bytes | WebSocketClose


class _Direction:
    """What one end has sent and the other has not taken."""

    __slots__ = ("bytes", "close", "messages", "on_arrival", "on_room")

    def __init__(self) -> None:
        self.messages: deque[str | bytes] = deque()
        self.bytes = 0
        self.close: WebSocketClose | None = None
        self.on_arrival: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None

    def tell_arrival(self) -> None:
        if self.on_arrival is not None:
            self.on_arrival()

    def tell_room(self) -> None:
        if self.on_room is not None:
            self.on_room()


class WebSocket:
    """One end of a pair."""

    __slots__ = ("__weakref__", "_incoming", "_is_accepted", "_outgoing", "serve")

    def __init__(self, outgoing: _Direction, incoming: _Direction) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._is_accepted = False
        self.serve: Callable[[], object] | None = None  # what has to run beside whoever carries this end

    def accept(self) -> None:
        """Begin to use this end. Raises WebSocketError when somebody does already."""
        if self._is_accepted:
            raise WebSocketError("this WebSocket has been accepted already: an end has one user")
        self._is_accepted = True

    def watch(self, *, on_arrival: Callable[[], None], on_room: Callable[[], None]) -> None:
        """Be told when something has arrived, and when the other end has taken something."""
        self._incoming.on_arrival = on_arrival
        self._outgoing.on_room = on_room

    def send(self, data: str | bytes) -> None:
        """Send a message. Raises WebSocketError when that is not possible, or too much waits already."""
        self._check_accepted()
        if self._outgoing.close is not None or self._incoming.close is not None:
            raise WebSocketError("the WebSocket is closed: nothing can be sent any more")
        size = len(data)
        if size > WEBSOCKET_MESSAGE_BYTES_MAX:
            raise WebSocketError(f"a message has {size} bytes, the limit is {WEBSOCKET_MESSAGE_BYTES_MAX}")
        queue = self._outgoing
        if queue.bytes + size > WEBSOCKET_QUEUE_BYTES_MAX or len(queue.messages) >= WEBSOCKET_QUEUE_MESSAGES_MAX:
            raise WebSocketError(
                f"{len(queue.messages)} messages of {queue.bytes} bytes wait to be taken, the limit is "
                f"{WEBSOCKET_QUEUE_MESSAGES_MAX} of {WEBSOCKET_QUEUE_BYTES_MAX}: send when `buffered_amount` has fallen"
            )
        queue.messages.append(data)
        queue.bytes += size
        queue.tell_arrival()

    def close(self, code: int = NO_STATUS, reason: str = "") -> None:
        """End the connection; what was sent before still arrives. Doing it twice is nothing. Raises WebSocketError."""
        if not is_close_code(code):
            raise WebSocketError(f"`{code}` is no code that a WebSocket is closed with: use 1000, or 3000 to 4999")
        if len(reason.encode("utf-8", "replace")) > _REASON_BYTES_MAX:
            raise WebSocketError(f"the reason `{reason:.40}…` has more than {_REASON_BYTES_MAX} bytes")
        if self._outgoing.close is None:
            self._outgoing.close = WebSocketClose(code, reason)
            self._outgoing.tell_arrival()

    def take(self) -> Arrival | None:
        """What has arrived: a message, or the end after the last one; None when there is nothing yet."""
        self._check_accepted()
        incoming = self._incoming
        if not incoming.messages:
            return incoming.close
        message = incoming.messages.popleft()
        incoming.bytes -= len(message)
        incoming.tell_room()
        return message

    @property
    def buffered_amount(self) -> int:
        """How many bytes were sent that the other end has not taken."""
        return self._outgoing.bytes

    @property
    def is_closed(self) -> bool:
        """Whether either end has closed it."""
        return self._outgoing.close is not None or self._incoming.close is not None

    def _check_accepted(self) -> None:
        if not self._is_accepted:
            raise WebSocketError("this WebSocket was not accepted: call accept() first")


class Ends(NamedTuple):
    """The two ends of a pair."""

    client: WebSocket
    server: WebSocket


def WebSocketPair() -> Ends:  # noqa: N802  # the name that the reference has
    """A new connection inside the process: an end for the client, which goes into a Response, and one's own."""
    to_server, to_client = _Direction(), _Direction()
    return Ends(WebSocket(to_server, to_client), WebSocket(to_client, to_server))


def is_close_code(code: object) -> TypeGuard[int]:
    """Whether a connection can be said to have ended with it."""
    return type(code) is int and (code in _CODES_OF_APPS or code in _CODES_OF_SERVERS)


def close_reason(text: str) -> str:
    """As much of `text` as a close frame can carry."""
    return text.encode("utf-8", "replace")[:_REASON_BYTES_MAX].decode("utf-8", "ignore")
