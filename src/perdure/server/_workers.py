"""Workers of the platform itself: code in a sandbox whose Durable Object classes have namespaces.

A dynamic worker comes and goes with the object that loads it; one of these is part of the platform, like a class of
trusted code, and its objects are root objects. Effects: none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from perdure.api import LoadWorker, WorkerCode
from perdure.errors import ConfigurationError
from perdure.objects import NamespaceOptions


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that belongs to the platform: `Platform(workers=[Worker("shop", code, classes=["Cart"])])`.

    `code`: its source, or a function that returns it whenever it is to be loaded. `classes`: which of the classes that
    it exports have namespaces, and so objects of their own; the others can only run as facets. A mapping gives some
    of them options. Its code reaches its own namespaces and entry points, through `ctx.exports`, and nobody else's.
    """

    name: str
    code: WorkerCode | LoadWorker
    classes: Mapping[str, NamespaceOptions] | Iterable[str] = field(default=())

    def load(self) -> LoadWorker:
        """How its code is asked for."""
        code = self.code
        return (lambda: code) if isinstance(code, WorkerCode) else code

    def keys(self) -> Mapping[str, tuple[str, NamespaceOptions]]:
        """The key and the options of each class that has a namespace."""
        given = self.classes
        options = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given, NamespaceOptions())
        return {name: (of.key or f"{self.name}-{name}", of) for name, of in options.items()}


def check_workers(workers: Iterable[Worker], taken: Iterable[str]) -> None:
    """Raise ConfigurationError when two workers, or the namespaces of any, have one name."""
    names: set[str] = set()
    keys = set(taken)
    for worker in workers:
        if not isinstance(worker, Worker):
            raise ConfigurationError(f"workers are `Worker(name, code, classes=[…])`, not `{type(worker).__name__}`")
        if worker.name in names:
            raise ConfigurationError(f"two workers are called `{worker.name}`: rename one")
        names.add(worker.name)
        for key, _ in worker.keys().values():
            if key in keys:
                raise ConfigurationError(
                    f"two namespaces have the key `{key}`: their objects would share ids and files; give one another "
                    'with `classes={"Name": NamespaceOptions(key=…)}`'
                )
            keys.add(key)
