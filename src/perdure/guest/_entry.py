"""The app that componentize-py bakes into the Python image.

Whatever is imported, created and run here at build time is in the snapshot that every guest starts from: the standard
library, compiled regular expressions, warm caches. Only this file knows `wit_world`, which exists in the image alone.
Effects: the snapshot.
"""

from __future__ import annotations

import functools
import gc
import os
import random
import socket
import sys
import time
from typing import Final, NoReturn

import wit_world

from perdure.guest import _passwords as passwords
from perdure.guest import workers
from perdure.guest._dispatch import Guest
from perdure.guest._memory import gather_code, list_immortals, plug_holes
from perdure.guest._stdlib import bake_time_zones, import_standard_library
from perdure.guest._warm_up import rehearse, warm_up
from perdure.wire import NETWORK_DENIED, GuestOp

_PLUMBING: Final = ("componentize_py_runtime", "componentize_py_types", "wit_world", "tzdata", "perdure_guest")
_SEED_BYTES: Final = 32
_REHEARSALS: Final = 20  # after which CPython has specialised all that can be


def _refuse_network(*_arguments: object, **_options: object) -> NoReturn:
    raise PermissionError(NETWORK_DENIED)


def _refuse_to_sleep(seconds: float) -> None:
    if seconds > 0:
        raise RuntimeError("time.sleep would stop every other event of this worker: use `await asyncio.sleep(seconds)`")


import_standard_library(os.path.dirname(os.__file__).partition("/lib/")[0])  # noqa: PTH120  # as the build mounts it
bake_time_zones()
passwords.install()
sys.modules["workers"] = workers
socket.getaddrinfo = socket.create_connection = socket.socket.connect = _refuse_network  # type: ignore[method-assign]  # fails early, with advice
time.sleep = _refuse_to_sleep  # type: ignore[assignment]  # takes what numbers have in common
warm_up(Guest)
gc.collect()
_plugs = plug_holes()
gather_code(functools.partial(warm_up, Guest))
for _ in range(_REHEARSALS):
    warm_up(Guest)
_guest = Guest(wit_world.host_call)
_guest.install()
gc.collect()
_immortals = list_immortals()
_plugs += plug_holes()
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
                rehearse(Guest)
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
    random.seed(int.from_bytes(os.urandom(_SEED_BYTES)))
