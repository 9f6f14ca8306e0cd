"""perdure: durable objects, dynamic workers and facets, in Python.

The users' door. It is lazy, so that `import perdure` costs nothing and the same import works inside a sandbox, where
the host's half does not exist. Effects: none until a name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from perdure.api import AlarmInfo as AlarmInfo
    from perdure.api import Budget as Budget
    from perdure.api import DurableObject as DurableObject
    from perdure.api import FacetEvent as FacetEvent
    from perdure.api import FacetLimits as FacetLimits
    from perdure.api import FacetOptions as FacetOptions
    from perdure.api import FacetUsage as FacetUsage
    from perdure.api import Internet as Internet
    from perdure.api import Limits as Limits
    from perdure.api import RpcPromise as RpcPromise
    from perdure.api import RpcStub as RpcStub
    from perdure.api import RpcTarget as RpcTarget
    from perdure.api import WorkerCode as WorkerCode
    from perdure.api import WorkerEntrypoint as WorkerEntrypoint
    from perdure.capnweb import ValueStream as ValueStream
    from perdure.capnweb import WritableStream as WritableStream
    from perdure.capnweb import connect as connect
    from perdure.capnweb import new_workers_rpc_response as new_workers_rpc_response
    from perdure.errors import AlarmError as AlarmError
    from perdure.errors import BookmarkError as BookmarkError
    from perdure.errors import BudgetExceededError as BudgetExceededError
    from perdure.errors import FetchError as FetchError
    from perdure.errors import GuestError as GuestError
    from perdure.errors import HttpMessageError as HttpMessageError
    from perdure.errors import KvError as KvError
    from perdure.errors import LimitExceededError as LimitExceededError
    from perdure.errors import ObjectResetError as ObjectResetError
    from perdure.errors import OverloadedError as OverloadedError
    from perdure.errors import PerdureError as PerdureError
    from perdure.errors import QuotaExceededError as QuotaExceededError
    from perdure.errors import RpcSessionError as RpcSessionError
    from perdure.errors import SqlError as SqlError
    from perdure.errors import StorageFailedError as StorageFailedError
    from perdure.errors import WorkerLoadError as WorkerLoadError
    from perdure.history import HistoryOptions as HistoryOptions
    from perdure.objects import NamespaceOptions as NamespaceOptions
    from perdure.objects import NamespaceQuota as NamespaceQuota
    from perdure.server import LoaderBinding as LoaderBinding
    from perdure.server import NamespaceBinding as NamespaceBinding
    from perdure.server import Platform as Platform
    from perdure.server import ServiceBinding as ServiceBinding
    from perdure.server import Worker as Worker
    from perdure.storage import StorageLimits as StorageLimits
    from perdure.web import Headers as Headers
    from perdure.web import ReadableStream as ReadableStream
    from perdure.web import Request as Request
    from perdure.web import Response as Response
    from perdure.wire import BigInt as BigInt
    from perdure.wire import DateNumber as DateNumber
    from perdure.wire import MapDict as MapDict
    from perdure.wire import MapItems as MapItems
    from perdure.wire import RegExp as RegExp
    from perdure.wire import SetItems as SetItems
    from perdure.wire import TypedBytes as TypedBytes
    from perdure.workers import fetch as fetch

_HOMES = {
    "AlarmInfo": "perdure.api",
    "DurableObject": "perdure.api",
    "WorkerEntrypoint": "perdure.api",
    "Budget": "perdure.api",
    "FacetEvent": "perdure.api",
    "FacetLimits": "perdure.api",
    "FacetOptions": "perdure.api",
    "FacetUsage": "perdure.api",
    "Internet": "perdure.api",
    "Limits": "perdure.api",
    "RpcPromise": "perdure.api",
    "RpcStub": "perdure.api",
    "RpcTarget": "perdure.api",
    "WorkerCode": "perdure.api",
    "ReadableStream": "perdure.web",
    "connect": "perdure.capnweb",
    "new_workers_rpc_response": "perdure.capnweb",
    "ValueStream": "perdure.capnweb",
    "WritableStream": "perdure.capnweb",
    "Request": "perdure.web",
    "Response": "perdure.web",
    "Headers": "perdure.web",
    "PerdureError": "perdure.errors",
    "AlarmError": "perdure.errors",
    "FetchError": "perdure.errors",
    "GuestError": "perdure.errors",
    "BookmarkError": "perdure.errors",
    "WorkerLoadError": "perdure.errors",
    "HttpMessageError": "perdure.errors",
    "KvError": "perdure.errors",
    "OverloadedError": "perdure.errors",
    "SqlError": "perdure.errors",
    "LimitExceededError": "perdure.errors",
    "ObjectResetError": "perdure.errors",
    "BudgetExceededError": "perdure.errors",
    "QuotaExceededError": "perdure.errors",
    "RpcSessionError": "perdure.errors",
    "StorageFailedError": "perdure.errors",
    "Platform": "perdure.server",
    "Worker": "perdure.server",
    "LoaderBinding": "perdure.server",
    "NamespaceBinding": "perdure.server",
    "ServiceBinding": "perdure.server",
    "NamespaceOptions": "perdure.objects",
    "NamespaceQuota": "perdure.objects",
    "StorageLimits": "perdure.storage",
    "BigInt": "perdure.wire",
    "DateNumber": "perdure.wire",
    "MapDict": "perdure.wire",
    "MapItems": "perdure.wire",
    "RegExp": "perdure.wire",
    "SetItems": "perdure.wire",
    "TypedBytes": "perdure.wire",
    "HistoryOptions": "perdure.history",
    "fetch": "perdure.workers",
}
_HOMES_IN_A_SANDBOX = {"fetch": "workers"}
"""Where the sandbox has its own of a name whose home belongs to the host."""

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604  # the names are strings


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module `perdure` has no `{name}`; it has: {', '.join(sorted(_HOMES))}")
    try:
        return getattr(import_module(home), name)
    except ModuleNotFoundError as error:
        if error.name == home and name in _HOMES_IN_A_SANDBOX:
            return getattr(import_module(_HOMES_IN_A_SANDBOX[name]), name)
        if error.name == home:
            raise ImportError(f"`{name}` belongs to the host: it does not exist inside a sandbox") from None
        raise


def __dir__() -> list[str]:
    return sorted(__all__)
