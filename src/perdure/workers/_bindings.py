"""What a worker finds in its `env` beside plain values: namespaces, services and loaders, as the host holds them.

A guest names a binding as `env.NAME`, where it would name an export of its own worker: no class that has a namespace
is called so. Effects: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, Protocol, TypeAlias

from perdure.api import DurableObjectClass, Fetcher, LoadedWorker, LoadWorker, NamespaceCalls, Target

ENV_PREFIX: Final = "env."
"""What stands before the name of a binding where exports are named."""


class LoaderScope(NamedTuple):
    """Who asks a loader: `key` is theirs alone, `label` names them in the log."""

    key: str
    label: str
    outbound: Fetcher | None = None
    """What they reach themselves, for workers whose `global_outbound` is "inherit"."""


class ScopedLoader(Protocol):
    """A loader that is told who asks: ids of different scopes never meet."""

    def get(self, worker_id: str | None, load: LoadWorker, *, scope: LoaderScope | None = None) -> LoadedWorker: ...


@dataclass(frozen=True, slots=True)
class BoundNamespace:
    """The objects of one class, of this worker or of another one."""

    calls: NamespaceCalls
    object_class: DurableObjectClass
    kind: ClassVar[str] = "namespace"


@dataclass(frozen=True, slots=True)
class BoundService:
    """An entry point of a worker, with the props that whoever runs the platform gave it."""

    target: Target
    kind: ClassVar[str] = "service"


@dataclass(frozen=True, slots=True)
class BoundLoader:
    """A loader of dynamic workers."""

    loader: ScopedLoader
    kind: ClassVar[str] = "loader"


Binding: TypeAlias = BoundNamespace | BoundService | BoundLoader
NO_BINDINGS: Final[Mapping[str, Binding]] = {}


def binding_kinds(bindings: Mapping[str, Binding]) -> dict[str, str]:
    """What a guest is told of its bindings."""
    return {name: binding.kind for name, binding in bindings.items()}
