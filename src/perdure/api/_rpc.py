"""What a stub may reach: methods and getters of the class, own properties of plain values, never a private name.

Spec 6.1. The same rule holds for each step of a path. Effects: none (a getter is the user's own code).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final

from perdure.api._capabilities import Handle, target_of
from perdure.errors import UsageError
from perdure.limits import RPC_PATH_STEPS_MAX

RESERVED: Final = frozenset(
    {
        "fetch", "alarm", "connect", "constructor", "dup", "email", "queue", "scheduled", "tail", "test", "on_start",
        "web_socket_message", "web_socket_close", "web_socket_error", "start_facet",
    }
)  # fmt: skip
TAIL: Final = type("PlatformsOwn", (str,), {})("tail")
"""The method that hears of a worker's events. The platform alone has this very name; one that was sent is another."""

_RESERVED_ON_TARGETS: Final = frozenset({"dup", "constructor", "on_dispose"})
_FUNCTIONS: Final = (FunctionType, MethodType, BuiltinFunctionType, functools.partial)
_GETTERS: Final = (property, functools.cached_property)
_CACHED_NAME_MAX: Final = 100  # characters: whoever calls chooses the names


class RpcMethodError(UsageError, TypeError):
    """The method a stub asked for is missing, private or reserved."""

    code = "rpc_method"


class RpcTarget:
    """Base class of what is passed by reference: who receives it gets a stub, and calls it where it lives.

    Public methods and properties of the class can be reached. `def on_dispose(self)`, sync or async, runs once, after
    the last stub was closed or its holder has gone. A method `dup(self)` gives the target that is sent in its place.
    """


def is_function(value: object) -> bool:
    """True for what is passed by reference as a function: not for classes and other instances that can be called."""
    return isinstance(value, _FUNCTIONS)


def rpc_method(receiver: object, name: str, *, base: type) -> Callable[..., object]:
    """The bound method `name` of `receiver`, which must be an instance of `base`.

    A JavaScript name finds the Python method: `setCode` calls `set_code`. Raises RpcMethodError; a name that does not
    exist and one that may not be called read alike, so that nothing can be probed.
    """
    method = _member(receiver, name, base)
    if not callable(method):
        raise RpcMethodError(f'"{name}" is not a function')
    return method  # type: ignore[no-any-return]  # the user's own


def is_plain_method(receiver: object, path: Sequence[str]) -> bool:
    """Whether `path` is a method of the class or nothing at all, so that no code runs when it is looked for."""
    if len(path) != 1:
        return False
    name = path[0]
    kind: Any = type(receiver)  # which mypy does not take for hashable
    return len(name) <= _CACHED_NAME_MAX and not _has_getter(kind, name)


@functools.lru_cache(maxsize=4_096)
def _has_getter(kind: type, name: str) -> bool:
    names = (name, snake_case(name))
    return any(isinstance(vars(owner).get(each), _GETTERS) for owner in kind.__mro__ for each in names)


def callable_at(receiver: object, path: Sequence[str], *, base: type | None) -> Callable[..., object]:
    """The function at `path` of `receiver`, an instance of `base` or, without one, what was passed by reference.

    Raises RpcMethodError.
    """
    if base is not None and len(path) == 1:
        return rpc_method(receiver, path[0], base=base)
    value, rest = follow(receiver, path, base)
    if isinstance(value, Handle):
        target = target_of(value)
        return lambda *arguments: target.call(rest, arguments)
    if not is_function(value):
        named = f'"{".".join(path)}"' if path else "The RPC receiver"
        raise RpcMethodError(f"{named} is not a function")
    return value  # type: ignore[return-value]  # just asked


def value_at(receiver: object, path: Sequence[str], *, base: type | None) -> object:
    """What stands at `path`, perhaps as an awaitable. Raises RpcMethodError."""
    value, rest = follow(receiver, path, base)
    return target_of(value).get(rest) if rest and isinstance(value, Handle) else value


def checked_path(path: Sequence[str]) -> Sequence[str]:
    """`path`. Raises RpcMethodError when it has too many steps."""
    if len(path) > RPC_PATH_STEPS_MAX:
        raise RpcMethodError(
            f"the property path is too deep: `{'.'.join(path[:3])}…` has {len(path)} steps (max {RPC_PATH_STEPS_MAX})"
        )
    return path


def follow(receiver: object, path: Sequence[str], base: type | None) -> tuple[object, Sequence[str]]:
    """What stands at `path`; a stub that stands earlier comes with the steps that it has to go on with.

    Raises RpcMethodError.
    """
    value = receiver
    for place, name in enumerate(path):
        if place == 0 and base is not None:
            value = _member(value, name, base)
        elif isinstance(value, Handle):
            return value, path[place:]
        else:
            value = _step(value, name)
    return value, ()


def _step(value: object, name: str) -> object:
    if isinstance(value, RpcTarget):
        return _member(value, name, RpcTarget)
    own: Mapping[Any, object] | None = None
    if isinstance(value, Mapping):
        own = value
    elif isinstance(value, list | tuple) and name.isascii() and name.isdecimal() and len(name) < 16:
        own = dict(enumerate(value[int(name) : int(name) + 1], int(name)))
        if int(name) in own:
            return own[int(name)]
    elif is_function(value):
        own = getattr(value, "__dict__", None)
    if own is not None and name in own and not (is_function(value) and name.startswith("_")):
        return own[name]
    raise RpcMethodError(f'The RPC receiver does not implement the method "{name}"')


def _member(receiver: object, name: str, base: type) -> Any:
    """A method or the value of a getter of the class of `receiver`."""
    kind = type(receiver)
    if not isinstance(receiver, base):
        raise RpcMethodError(
            f"class `{kind.__name__}` does not support RPC: declare it as `class "
            f"{kind.__name__}({base.__name__})` (it extends {base.__name__})"
        )
    reserved = _RESERVED_ON_TARGETS if base is RpcTarget else RESERVED
    for candidate in (name, snake_case(name)):
        if candidate in reserved and name is not TAIL:
            raise RpcMethodError(f"'{name}' is a reserved method and cannot be called over RPC")
        if _is_public_member(kind, base, candidate):
            return getattr(receiver, candidate)
    raise RpcMethodError(
        f'The RPC receiver does not implement the method "{name}"; `{kind.__name__}` has: '
        f"{public_methods(kind, base) or 'none'}"
    )


def snake_case(name: str) -> str:
    """`setCode` → `set_code`, `getURL` → `get_url`; a name without capitals stays as it is."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def public_methods(kind: type, base: type) -> str:
    """The names of a class that can be reached, for messages."""
    reserved = _RESERVED_ON_TARGETS if base is RpcTarget else RESERVED
    names = {name for owner in kind.__mro__ for name in vars(owner) if _is_public_member(kind, base, name)}
    return ", ".join(f"`{name}`" for name in sorted(names - reserved))


def _is_public_member(kind: type, base: type, name: str) -> bool:
    if name.startswith("_") or name in vars(base):
        return False
    owner = next((owner for owner in kind.__mro__ if name in vars(owner)), None)
    if owner is None or owner is object or owner in base.__mro__:
        return False
    if isinstance(vars(owner)[name], _GETTERS):
        return True
    member = getattr(kind, name)
    return callable(member) and not isinstance(member, type)
