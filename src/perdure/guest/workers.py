"""`from workers import …`: Cloudflare's module name for what a Python worker needs. Effects: none."""

from perdure.api import DurableObject as DurableObject
from perdure.api import FacetOptions as FacetOptions
from perdure.api import RpcPromise as RpcPromise
from perdure.api import RpcStub as RpcStub
from perdure.api import RpcTarget as RpcTarget
from perdure.api import WorkerEntrypoint as WorkerEntrypoint
from perdure.errors import FetchError as FetchError
from perdure.errors import GuestError as GuestError
from perdure.errors import PerdureError as PerdureError
from perdure.guest._outside import abort_isolate as abort_isolate
from perdure.guest._outside import fetch as fetch
from perdure.web import File as File
from perdure.web import FormData as FormData
from perdure.web import Headers as Headers
from perdure.web import ReadableStream as ReadableStream
from perdure.web import Request as Request
from perdure.web import Response as Response
