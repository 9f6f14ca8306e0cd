"""The app that componentize-py bakes into the Python image.

Whatever is imported, created and run here at build time is in the snapshot that every guest starts from: the standard
library, compiled regular expressions, warm caches. Only this file knows `wit_world`, which exists in the image alone.
Effects: the snapshot.
"""

from __future__ import annotations

import gc
import os
import random
import socket
import sys
import time
from typing import Final, NoReturn

import wit_world

from perdure.guest import workers
from perdure.guest._dispatch import Guest
from perdure.guest._stdlib import bake_time_zones, import_standard_library
from perdure.guest._warm_up import warm_up
from perdure.wire import NETWORK_DENIED, GuestOp

_PLUMBING: Final = ("componentize_py_runtime", "componentize_py_types", "wit_world", "tzdata", "perdure_guest")
_SEED_BYTES: Final = 32


def _plug_holes() -> list[object]:
    """Fill the gaps that imports left in the heap, so that what a guest allocates lies together.

    They are all over the snapshot, and each would cost the guest a page of its own: half of its memory. A size class
    has no gap left when the allocator hands out one block after the other.
    """
    plugs: list[object] = []
    for size in (*_SMALL_SIZES, *_LARGE_SIZES):
        in_a_row, last = 0, 0
        while in_a_row < min(_IN_A_ROW, _POOL_BYTES // size // 2 or 1):
            plug = object() if size == _SMALL_SIZES[0] else bytes(size - _BYTES_HEADER)
            plugs.append(plug)
            in_a_row = in_a_row + 1 if 0 < id(plug) - last <= size + _SMALL_SIZES[0] * 2 else 0
            last = id(plug)
    return plugs


# On 32 bits: the classes of CPython's own allocator, then what it leaves to malloc, largest first.
_SMALL_SIZES: Final = (8, *range(24, 513, 8))
_LARGE_SIZES: Final = tuple(1 << exponent for exponent in range(18, 9, -1))
_POOL_BYTES: Final = 16_384
_IN_A_ROW: Final = 64
_BYTES_HEADER: Final = 17


def _refuse_network(*_arguments: object, **_options: object) -> NoReturn:
    raise PermissionError(NETWORK_DENIED)


def _refuse_to_sleep(seconds: float) -> None:
    if seconds > 0:
        raise RuntimeError("time.sleep would stop every other event of this worker: use `await asyncio.sleep(seconds)`")


import_standard_library(os.path.dirname(os.__file__).partition("/lib/")[0])  # noqa: PTH120  # as the build mounts it
bake_time_zones()
sys.modules["workers"] = workers
socket.getaddrinfo = socket.create_connection = socket.socket.connect = _refuse_network  # type: ignore[method-assign]  # fails early, with advice
time.sleep = _refuse_to_sleep  # type: ignore[assignment]  # takes what numbers have in common
warm_up(Guest, rounds=40)
_guest = Guest(wit_world.host_call)
_guest.install()
gc.collect()
_plugs = _plug_holes()
gc.freeze()


class WitWorld(wit_world.WitWorld):  # type: ignore[misc]  # made at build time
    """The world of `guest.wit`."""

    def call(self, op: int, payload: str) -> str:
        """One turn; see `Guest.call`. WAKE comes once, before any other; REHEARSE may follow."""
        match op:
            case GuestOp.EVENT | GuestOp.RESUME | GuestOp.START | GuestOp.LOAD:
                return _guest.call(op, payload)
            case GuestOp.WAKE:
                _wake()
            case GuestOp.REHEARSE:
                warm_up(Guest, rounds=1)
            case _:
                raise ValueError(f"a guest knows no operation {op}")
        return ""


def _wake() -> None:
    """What cannot be in the snapshot.

    Chance is frozen there. The plumbing can be taken out of reach by name only now, since the builder looks for it; it
    may still be found by other means, and the host trusts nothing it is told.
    """
    for name in _PLUMBING:
        sys.modules.pop(name, None)
    random.seed(os.urandom(_SEED_BYTES))
