"""Kept values: `env` and `props`, which are written once and sent to one sandbox after the other.

Beside copies they hold services: stubs of objects and called entry points, which are established again for each call.
What lives and dies with one request or one object has no place in them. Effects: none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from perdure.api._capabilities import Capability, Disposable, Handle, lent_by
from perdure.api._parcels import Parcel
from perdure.api._stubs import Stub
from perdure.api._targets import Copies
from perdure.errors import ValueNotCloneableError
from perdure.wire import Introducer, from_expression, to_expression

if TYPE_CHECKING:
    from perdure.api._targets import Target
    from perdure.web import Request, Response


class Service:
    """A target that is established again for each call: what it reached once may have been reset since."""

    __slots__ = ("_target",)

    def __init__(self, target: Target) -> None:
        self._target = target

    def fetch(self, request: Request) -> Awaitable[Response]:
        return self._again().fetch(request)

    def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> Awaitable[Any]:
        return self._again().call(path, arguments)

    def get(self, path: Sequence[str]) -> Awaitable[Any]:
        return self._again().get(path)

    def _again(self) -> Target:
        again = getattr(self._target, "again", None)
        return self._target if again is None else again()


class KeptValue:
    """A value that outlives the code that made it, as expression, and the services in it."""

    __slots__ = ("services", "tree")

    def __init__(self, tree: object, services: Sequence[Service] = ()) -> None:
        self.tree = tree
        self.services = services

    @classmethod
    def of(cls, value: object) -> KeptValue:
        """A copy of `value`. Raises ValueNotCloneableError."""
        parcel = _Services()
        tree = to_expression(value, parcel)
        return cls(tree, [service if isinstance(service, Service) else Service(service) for service in parcel.lent])

    def value(self) -> Any:
        """The value, for trusted code."""
        return from_expression(self.tree, self)

    def written(self, introducer: Introducer) -> object:
        """The expression for the sandbox that `introducer` knows."""
        return to_expression(self.value(), introducer) if self.services else self.tree

    def resolve(self, expression: list[object]) -> Stub:
        """The stub for a service in it."""
        number = expression[1]
        assert isinstance(number, int), "this value was written by `of`"
        return Stub(self.services[number - 1])


class _Services(Parcel):
    """Takes along what can be established again, and nothing that is alive."""

    __slots__ = ()

    def introduce(self, value: object) -> list[object] | None:
        if not isinstance(value, Handle):
            return None
        if isinstance(value, Disposable) or isinstance(lent_by(value), Capability):
            raise ValueNotCloneableError(
                f'could not serialize object of type "{type(value).__name__}", it cannot be serialized in this '
                "context: env and props take stubs of objects and entry points, which can be reached again"
            )
        return super().introduce(value)
