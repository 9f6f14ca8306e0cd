"""Workers of the platform itself: code in a sandbox whose Durable Object classes have namespaces.

A dynamic worker comes and goes with the object that loads it; one of these is part of the platform, like a class of
trusted code, and its objects are root objects. Effects: none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from perdure.api import LoadWorker, Stub, WorkerCode
from perdure.errors import ConfigurationError, SourceError, WorkerCodeError, WorkerLoadError
from perdure.objects import NamespaceOptions, ObjectNamespace
from perdure.workers import Binding, BoundLoader, BoundNamespace, BoundService, LoaderCache, LoaderEntry


@dataclass(frozen=True, slots=True)
class LoaderBinding:
    """A worker may load dynamic workers: `bindings={"LOADER": LoaderBinding()}`."""


@dataclass(frozen=True, slots=True)
class NamespaceBinding:
    """A worker reaches the objects of a class: one of its own, or of the worker called `worker`."""

    class_name: str
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceBinding:
    """A worker reaches an entry point of the worker called `worker`, the default one without a name.

    The entry point finds `props` in its `ctx.props`; whoever holds the binding cannot change them.
    """

    worker: str
    entrypoint: str | None = None
    props: object = None


WorkerBinding: TypeAlias = LoaderBinding | NamespaceBinding | ServiceBinding


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that belongs to the platform: `Platform(workers=[Worker("shop", code, classes=["Cart"])])`.

    `code`: its source, or a function that returns it whenever it is to be loaded. `classes`: which of the classes that
    it exports have namespaces, and so objects of their own; the others can only run as facets. A mapping gives some
    of them options. Its code reaches its own namespaces and entry points, through `ctx.exports`, and of others' what
    `bindings` puts into its `env`.
    """

    name: str
    code: WorkerCode | LoadWorker
    classes: Mapping[str, NamespaceOptions] | Iterable[str] = field(default=())
    bindings: Mapping[str, WorkerBinding] = field(default_factory=dict)

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


def bind(
    worker: Worker,
    workers: Iterable[Worker],
    entries: Mapping[str, LoaderEntry],
    namespaces: Mapping[str, ObjectNamespace],
    loader: LoaderCache,
) -> dict[str, Binding]:
    """What the bindings of `worker` mean, now that all workers are there. Raises ConfigurationError."""
    by_name = {known.name: known for known in workers}

    def resolved(name: str, binding: WorkerBinding) -> Binding:
        match binding:
            case LoaderBinding():
                return BoundLoader(loader)
            case NamespaceBinding():
                owner = _worker_of(binding.worker or worker.name, f"{worker.name}.env.{name}", by_name)
                keys = owner.keys()
                if binding.class_name not in keys:
                    raise ConfigurationError(_no_namespace(f"{worker.name}.env.{name}", owner, binding.class_name))
                namespace = namespaces[keys[binding.class_name][0]]
                return BoundNamespace(namespace.calls, namespace.durable_object_class)
            case ServiceBinding():
                owner = _worker_of(binding.worker, f"{worker.name}.env.{name}", by_name)
                return BoundService(entries[owner.name].entrypoint(binding.entrypoint, binding.props))
        raise ConfigurationError(
            f"`{worker.name}.env.{name}` is bound to a `{type(binding).__name__}`: bindings are LoaderBinding(), "
            'NamespaceBinding("Class") and ServiceBinding("worker")'
        )

    return {name: resolved(name, binding) for name, binding in worker.bindings.items()}


def bind_trusted(
    env: Mapping[str, object],
    workers: Iterable[Worker],
    entries: Mapping[str, LoaderEntry],
    namespaces: Mapping[str, ObjectNamespace],
) -> dict[str, object]:
    """An env of trusted code, with what its bindings mean; loaders stay. `namespaces`: by key, own classes by name."""
    by_name = {known.name: known for known in workers}

    def resolved(name: str, value: object) -> object:
        match value:
            case NamespaceBinding(class_name, None):
                if class_name not in namespaces:
                    raise ConfigurationError(
                        f"`env.{name}` names the class `{class_name}`, which is not on this platform"
                    )
                return namespaces[class_name]
            case NamespaceBinding(class_name, str(worker)):
                owner = _worker_of(worker, f"env.{name}", by_name)
                keys = owner.keys()
                if class_name not in keys:
                    raise ConfigurationError(_no_namespace(f"env.{name}", owner, class_name))
                return namespaces[keys[class_name][0]]
            case ServiceBinding():
                owner = _worker_of(value.worker, f"env.{name}", by_name)
                return Stub(entries[owner.name].entrypoint(value.entrypoint, value.props))
            case _:
                return value

    return {name: resolved(name, value) for name, value in env.items()}


async def check_code(worker: Worker, entries: Mapping[str, LoaderEntry]) -> None:
    """Load a worker, and see that it has what is bound to. Raises SourceError, ConfigurationError."""
    try:
        await entries[worker.name].check(list(worker.keys()))
        for name, binding in worker.bindings.items():
            if isinstance(binding, ServiceBinding):
                await _check_service(f"{worker.name}.env.{name}", binding, entries[binding.worker])
    except WorkerLoadError as error:
        raise SourceError(f"worker `{worker.name}`: {error}") from error
    except WorkerCodeError as error:
        raise ConfigurationError(f"worker `{worker.name}`: {error}") from error


async def _check_service(where: str, binding: ServiceBinding, entry: LoaderEntry) -> None:
    exports = await entry.exports()
    if exports.get(binding.entrypoint or "default") not in {"entrypoint", "handler"}:
        there = ", ".join(f"`{name}`" for name, kind in exports.items() if kind in {"entrypoint", "handler"}) or "none"
        raise ConfigurationError(
            f"`{where}` names the entry point `{binding.entrypoint or 'default'}` of worker `{binding.worker}`, which "
            f"has none of that name; it has: {there}"
        )


def _worker_of(name: str, where: str, by_name: Mapping[str, Worker]) -> Worker:
    worker = by_name.get(name)
    if worker is None:
        there = ", ".join(f"`{known}`" for known in sorted(by_name)) or "none"
        raise ConfigurationError(f"`{where}` names the worker `{name}`, which is not on this platform; it has: {there}")
    return worker


def _no_namespace(where: str, owner: Worker, class_name: str) -> str:
    keys = owner.keys()
    there = ", ".join(f"`{known}`" for known in keys) or "none"
    return (
        f"`{where}` names the class `{class_name}` of worker `{owner.name}`, which has no namespace of that name; it "
        f"has: {there}"
    )
