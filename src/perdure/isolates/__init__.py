"""Where untrusted code runs: WebAssembly isolates, in this process. Effects: disk, threads, clock."""

from perdure.isolates._isolate import GuestHost as GuestHost
from perdure.isolates._isolate import Isolate as Isolate
from perdure.isolates._isolates import Isolates as Isolates
from perdure.isolates._runner import CallHistory as CallHistory
from perdure.isolates._runner import InlineOverrunError as InlineOverrunError
from perdure.isolates._runner import Runner as Runner
