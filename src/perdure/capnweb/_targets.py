"""What a peer may reach in an object of ours: methods and properties of its class, never what an instance holds.

Functions are called as they are. Lists and dicts are walked by their own keys. Effects: none (it calls user code).
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Final

from perdure.api import DurableObject, Stub, WorkerEntrypoint, rpc_method
from perdure.capnweb._references import Path
from perdure.capnweb._stubs import RpcStub
from perdure.errors import UsageError

_PLACE: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_FUNCTIONS: Final = (functools.partial,)


class RpcTarget:
    """Base of classes whose instances are passed to a peer as capabilities: their public methods can be called there.

    `dispose(self)`, if the class has it, is called once, when the peer holds none of it any more.
    """


_BASES: Final = (RpcTarget, DurableObject, WorkerEntrypoint)


class NotAFunctionError(UsageError, TypeError):
    """What a peer called is there, and is no function."""

    code = "rpc_method"


def is_target(value: object) -> bool:
    """Whether a value is passed as a capability."""
    return isinstance(value, (*_BASES, Stub)) or is_function(value)


def is_function(value: object) -> bool:
    """Whether a value is a function, or what behaves like one."""
    return inspect.isroutine(value) or isinstance(value, _FUNCTIONS)


def find(value: object, path: Path) -> tuple[object, Path]:
    """What `path` leads to, and how much of it is left: something, when what was found is a stub.

    Raises UsageError and TypeError for what is not there, private or reserved.
    """
    for place, name in enumerate(path):
        if isinstance(value, RpcStub):
            return value, path[place:]
        value = _step(value, name, path[: place + 1])
    return value, ()


def _step(value: object, name: str | int, so_far: Path) -> object:
    match value:
        case dict():
            return value.get(name) if type(name) is str else None
        case list() | tuple():
            place = int(name) if type(name) is int or (type(name) is str and _PLACE.fullmatch(name)) else -1
            return value[place] if 0 <= place < len(value) else None  # JavaScript's proxies tell every key as text.
        case None:
            raise NotAFunctionError(f"`{dotted(so_far[:-1])}` is null: it has no `{name}`")
        case _:
            return _member(value, str(name))


def _member(value: object, text: str) -> object:
    if isinstance(value, Stub):
        return getattr(value, text)
    base = next((base for base in _BASES if isinstance(value, base)), None)
    if base is None:
        return None
    member = inspect.getattr_static(type(value), text, None)
    if isinstance(member, property | functools.cached_property) and not text.startswith("_"):
        return getattr(value, text)
    if base is RpcTarget and text == "dispose":
        raise NotAFunctionError("'dispose' is a reserved method and cannot be called over RPC")
    return rpc_method(value, text, base=base)


def dotted(path: Path) -> str:
    """A path as messages show it."""
    return ".".join(map(str, path))


def disposer_or_none(target: object) -> Callable[[], object] | None:
    """What is to be called when nobody holds the target any more; what it returns may be awaitable."""
    disposer = getattr(target, "dispose", None) if isinstance(target, RpcTarget) else None
    return disposer if callable(disposer) else None
