"""The numbers of the guest protocol: what the host asks a guest, and what a guest may ask the host.

One export `call(op, payload) -> str`, one import `host_call(op, key, payload) -> str`; all payloads are JSON text.
The shapes are described in docs/reference/guest-protocol.md. Effects: none.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class GuestOp(IntEnum):
    """What the host asks of a guest. WAKE, REHEARSE and TRANSLATE are between an instance and whoever makes it."""

    LOAD = 1
    START = 2
    EVENT = 3
    RESUME = 4
    WAKE = 5
    REHEARSE = 6
    TRANSLATE = 7


class HostOp(IntEnum):
    """What a guest asks of the host. Every one is local: it is answered at once, on the thread that runs the guest."""

    LOG = 1
    KV_GET = 2
    KV_PUT = 3
    KV_DELETE = 4
    KV_LIST = 5
    SQL_EXEC = 6
    SQL_NEXT = 7
    SQL_CLOSE = 8
    MODULE = 9
    ABORT = 10
    CLOCK = 11
    DATABASE_SIZE = 12
    FACET_LIST = 13
    RANDOM = 14
    EXHAUSTED = 15
    KV_GET_MANY = 16
    KV_WRITE = 17
    SAVEPOINT = 18
    DELETE_ALL = 19
    ALARM_GET = 20
    ALARM_SET = 21
    OBJECT_ID = 26
    LOAD_CODE = 27
    FACET_CHANGE = 28


ERROR_MARK: Final = "!"
"""First character of a host call's reply that is an error; the rest is an ErrorShape. No value starts with it."""

ABORTS_ISOLATE: Final = "isolate"
"""Key of ABORT when a worker ends its isolate, whatever object lives in it, and wants its code loaded anew."""

ALARM: Final = "alarm"
START_FACET: Final = "start_facet"
"""Handlers that START reports. In JavaScript too they go by these names."""

NETWORK_DENIED: Final = (
    "This worker is not permitted to access the internet via global functions like fetch(). "
    "It must use capabilities (such as bindings in 'env') to talk to the outside world"
)
