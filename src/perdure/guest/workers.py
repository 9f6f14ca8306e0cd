"""`from workers import …`: Cloudflare's module name for what a Python worker needs. Effects: none."""

from typing import Any, NoReturn

from perdure.api import DurableObject as DurableObject
from perdure.api import FacetOptions as FacetOptions
from perdure.api import RpcPromise as RpcPromise
from perdure.api import RpcStub as RpcStub
from perdure.api import RpcTarget as RpcTarget
from perdure.api import WorkerEntrypoint as WorkerEntrypoint
from perdure.errors import GuestError as GuestError
from perdure.errors import PerdureError as PerdureError
from perdure.guest._outside import DEFAULT_REASON, OUTSIDE
from perdure.web import File as File
from perdure.web import FormData as FormData
from perdure.web import Headers as Headers
from perdure.web import ReadableStream as ReadableStream
from perdure.web import Request as Request
from perdure.web import Response as Response
from perdure.wire import NETWORK_DENIED


async def fetch(resource: object, *arguments: Any, **options: Any) -> NoReturn:  # noqa: ANN401  # as Cloudflare's
    """Refuse: a worker reaches the outside through what its `env` holds, and through nothing else."""
    raise PermissionError(NETWORK_DENIED)


def abort_isolate(reason: str = DEFAULT_REASON) -> NoReturn:
    """End this isolate at once: everything under way in it fails, and the next use loads the worker's code anew."""
    OUTSIDE.abort_isolate(str(reason))
