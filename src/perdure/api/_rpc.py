"""Which methods a stub may call: those of the class, never its private or reserved names (spec 6.1).

Effects: none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from perdure.errors import UsageError

RESERVED: Final = frozenset(
    {
        "fetch", "alarm", "connect", "constructor", "dup", "email", "queue", "scheduled", "tail", "test", "on_start",
        "web_socket_message", "web_socket_close", "web_socket_error", "start_facet",
    }
)  # fmt: skip


class RpcMethodError(UsageError, TypeError):
    """The method a stub asked for is missing, private or reserved."""

    code = "rpc_method"


def rpc_method(receiver: object, name: str, *, base: type) -> Callable[..., object]:
    """The bound method `name` of `receiver`, which must be an instance of `base`.

    A JavaScript name finds the Python method: `setCode` calls `set_code`. Raises RpcMethodError; a name that does not
    exist and one that may not be called read alike, so that nothing can be probed.
    """
    kind = type(receiver)
    if not isinstance(receiver, base):
        raise RpcMethodError(
            f"class `{kind.__name__}` does not support RPC: declare it as `class "
            f"{kind.__name__}({base.__name__})` (it extends {base.__name__})"
        )
    for candidate in (name, snake_case(name)):
        if candidate in RESERVED:
            raise RpcMethodError(f"'{name}' is a reserved method and cannot be called over RPC")
        if _is_public_method(kind, base, candidate):
            method = getattr(receiver, candidate)
            assert callable(method)
            return method  # type: ignore[no-any-return]  # getattr is Any
    raise RpcMethodError(
        f'The RPC receiver does not implement the method "{name}"; `{kind.__name__}` has: '
        f"{public_methods(kind, base) or 'none'}"
    )


def snake_case(name: str) -> str:
    """`setCode` → `set_code`, `getURL` → `get_url`; a name without capitals stays as it is."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def public_methods(kind: type, base: type) -> str:
    """The callable names of a class, for messages."""
    names = {name for owner in kind.__mro__ for name in vars(owner) if _is_public_method(kind, base, name)}
    return ", ".join(f"`{name}`" for name in sorted(names - RESERVED))


def _is_public_method(kind: type, base: type, name: str) -> bool:
    if name.startswith("_") or name in vars(base):
        return False
    owner = next((owner for owner in kind.__mro__ if name in vars(owner)), None)
    if owner is None or owner is object or owner in base.__mro__:
        return False
    member = getattr(kind, name)
    return callable(member) and not isinstance(member, type)
