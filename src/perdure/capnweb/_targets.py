"""What a peer may reach of ours: what any stub may reach in an object, a target, a function or a value.

Effects: none (it calls user code).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from perdure.api import DurableObject, Handle, RpcTarget, WorkerEntrypoint, follow, is_function
from perdure.capnweb._references import Path
from perdure.errors import UsageError

_OBJECTS: Final = (DurableObject, WorkerEntrypoint)


class NotAFunctionError(UsageError, TypeError):
    """What a peer called is there, and is no function."""

    code = "rpc_method"


def is_target(value: object) -> bool:
    """Whether a value is passed by reference."""
    return isinstance(value, (*_OBJECTS, RpcTarget, Handle)) or is_function(value)


def find(value: object, path: Path) -> tuple[object, Path]:
    """What `path` leads to, and how much of it is left: something, when what was found is a stub.

    Raises RpcMethodError for what is not there, private or reserved.
    """
    base = next((base for base in _OBJECTS if isinstance(value, base)), None)
    found, rest = follow(value, [str(name) for name in path], base)
    return found, path[len(path) - len(rest) :]


def dotted(path: Sequence[str | int]) -> str:
    """A path as messages show it."""
    return ".".join(map(str, path))


def disposer_or_none(target: object) -> Callable[[], object] | None:
    """What is to be called when nobody holds the target any more; what it returns may be awaitable."""
    name = "on_dispose" if isinstance(target, RpcTarget) else "close" if isinstance(target, Handle) else None
    disposer = getattr(type(target), name, None) and getattr(target, name) if name is not None else None
    return disposer if callable(disposer) else None
