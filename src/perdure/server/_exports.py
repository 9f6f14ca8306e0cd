"""`ctx.exports` of trusted code: namespaces of the platform's classes, its entry points, classes that run as facets.

Effects: none until something of it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.api import DurableObject, DurableObjectClass, LoopbackEntrypoint, WorkerEntrypoint
from perdure.errors import ConfigurationError
from perdure.objects import MakeContext, ObjectNamespace, TrustedEntrypoint


class Exports:
    """By name: a namespace for a class that has one, a handle for one that has none, a stub for an entry point."""

    def __init__(self, *, env: Callable[[], object], make_context: MakeContext) -> None:
        self._env = env
        self._make_context = make_context
        self._exported: dict[str, object] = {}

    def add_namespace(self, name: str, namespace: ObjectNamespace) -> None:
        """Export a class that has a namespace."""
        self._exported[name] = namespace

    def add(self, kind: type, *, name: str | None = None) -> None:
        """Export an entry point, or a Durable Object class that only runs as a facet. Raises ConfigurationError."""
        if isinstance(kind, type) and issubclass(kind, WorkerEntrypoint):
            self._exported[name or kind.__name__] = LoopbackEntrypoint(
                lambda props: TrustedEntrypoint(kind, props, env=self._env, make_context=self._make_context)
            )
        elif isinstance(kind, type) and issubclass(kind, DurableObject):
            self._exported[name or kind.__name__] = DurableObjectClass(kind)
        else:
            raise ConfigurationError(
                f"`{kind!r}` cannot be exported: exports are WorkerEntrypoint classes, and DurableObject classes that "
                "run as facets only"
            )

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # what it is, its reader knows
        try:
            return self._exported[name]
        except KeyError:
            there = ", ".join(f"`{known}`" for known in sorted(self._exported)) or "none"
            raise AttributeError(f"nothing is exported as `{name}` on this platform; it has: {there}") from None
