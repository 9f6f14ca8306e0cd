"""The server's half: an answer to a request that begins a session, over a WebSocket or for one batch over HTTP.

Effects: none (whoever carries the answer runs the session).
"""

from __future__ import annotations

from perdure.capnweb._batch import answer_batch
from perdure.capnweb._session import Host, Session
from perdure.capnweb._socket import SocketTransport
from perdure.objects import current_host
from perdure.web import Request, Response, WebSocketPair


async def new_workers_rpc_response(request: Request, main: object) -> Response:
    """Offer `main` to whoever sent `request`, as a Cap'n Web API: a WebSocket session, or one batch of calls by POST.

    `main` is an RpcTarget, a DurableObject (`self`), a stub or a function. Where an object's trusted code answers so,
    the calls of the peer enter that object as events, and what the session says waits until what the object wrote is
    durable; the session ends when the object is reset. Raises UsageError when `main` is none of these.
    """
    host: Host | None = current_host()
    if (request.headers.get("upgrade") or "").lower() == "websocket":
        return _web_socket_response(main, host)
    if request.method != "POST":
        return Response(
            "This endpoint speaks Cap'n Web: it accepts POST requests and WebSockets.\n", 405, {"allow": "POST"}
        )
    return await answer_batch(request, main, host)


def _web_socket_response(main: object, host: Host | None) -> Response:
    ends = WebSocketPair()
    session = Session(SocketTransport(ends.server), main, host=host)
    ends.client.serve = session.run
    return Response(status=101, web_socket=ends.client)
