"""What module-level functions of `workers` reach: the host, once this interpreter is a guest.

Effects: host calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from perdure.web import BodyInit, HeadersInit, Request, Response
from perdure.wire import ABORTS_ISOLATE, HostOp, request_to_wire, response_from_host

if TYPE_CHECKING:
    from perdure.guest._host_calls import Ask
    from perdure.guest._operations import Operations

DEFAULT_REASON: Final = "abort_isolate() was called"


class Outside:
    """The one guest of this interpreter, as code without a `ctx` sees it."""

    def __init__(self) -> None:
        self._ask: Ask | None = None
        self._operations: Operations | None = None

    def connect(self, ask: Ask, operations: Operations) -> None:
        """From now on there is a host."""
        self._ask, self._operations = ask, operations

    def abort_isolate(self, reason: str) -> NoReturn:
        """End this isolate. Does not return."""
        assert self._ask is not None, "the worker's code runs in a guest"
        self._ask(HostOp.ABORT, ABORTS_ISOLATE, reason)
        raise AssertionError("the host ends this isolate")

    async def fetch(self, request: Request, redirect: str) -> Response:
        """Ask the host to fetch."""
        assert self._operations is not None, "the worker's code runs in a guest"
        streams = self._operations.streams
        payload: dict[str, object] = {"r": request_to_wire(request, streams.lend)}
        if redirect != "follow":
            payload["rd"] = redirect
        tree = await self._operations.start("fetch", payload)
        response = response_from_host(tree, streams.receive)
        response.url, response.redirected = tree["u"], "rd" in tree
        return response


OUTSIDE: Final = Outside()


async def fetch(
    resource: Request | str,
    *,
    method: str = "GET",
    headers: HeadersInit = None,
    body: BodyInit = None,
    redirect: str = "follow",
) -> Response:
    """Fetch an absolute URL, or what a Request asks for, through the way out that this worker was given.

    `redirect`: "follow", "manual" (the redirect is the answer) or "error". Raises NetworkDeniedError, FetchError.
    """
    request = resource if isinstance(resource, Request) else Request(resource, method, headers, body)
    return await OUTSIDE.fetch(request, redirect)


def abort_isolate(reason: str = DEFAULT_REASON) -> NoReturn:
    """End this isolate at once: everything under way in it fails, and the next use loads the worker's code anew."""
    OUTSIDE.abort_isolate(str(reason))
