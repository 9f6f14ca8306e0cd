"""Dynamic workers: code by id, checked, loaded into isolates and driven turn by turn.

Effects: tasks, timers, network.
"""

from perdure.workers._bindings import Binding as Binding
from perdure.workers._bindings import BoundLoader as BoundLoader
from perdure.workers._bindings import BoundNamespace as BoundNamespace
from perdure.workers._bindings import BoundService as BoundService
from perdure.workers._bindings import LoaderScope as LoaderScope
from perdure.workers._code import CheckedCode as CheckedCode
from perdure.workers._code import check_code as check_code
from perdure.workers._exports import ExportCalls as ExportCalls
from perdure.workers._exports import WorkerExports as WorkerExports
from perdure.workers._exports import send as send
from perdure.workers._guest_host import WorkerHost as WorkerHost
from perdure.workers._guest_loaders import LOADER_KINDS as LOADER_KINDS
from perdure.workers._guest_loaders import GuestLoaders as GuestLoaders
from perdure.workers._internet import InternetFetcher as InternetFetcher
from perdure.workers._internet import close_internet_clients as close_internet_clients
from perdure.workers._loader import DynamicClass as DynamicClass
from perdure.workers._loader import KnownClass as KnownClass
from perdure.workers._loader import LoaderCache as LoaderCache
from perdure.workers._loader import LoaderEntry as LoaderEntry
from perdure.workers._loader import WorkerRuntime as WorkerRuntime
from perdure.workers._messages import check_arguments as check_arguments
from perdure.workers._outbound import FETCH as FETCH
from perdure.workers._outbound import fetch as fetch
from perdure.workers._outbound import fetch_outside as fetch_outside
from perdure.workers._pins import Pins as Pins
from perdure.workers._references import Read as Read
from perdure.workers._reports import Operation as Operation
from perdure.workers._reports import SectionChange as SectionChange
from perdure.workers._session import EventTurns as EventTurns
from perdure.workers._session import GuestSession as GuestSession
from perdure.workers._session import ObjectStart as ObjectStart
from perdure.workers._session import TurnHooks as TurnHooks
from perdure.workers._session import check_object_class as check_object_class
from perdure.workers._tasks import shared_task as shared_task
