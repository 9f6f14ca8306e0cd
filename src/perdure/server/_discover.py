"""What `perdure dev PATH[:name]` serves: a project, or a file or folder that it imports and finds a platform in.

A folder with a configuration file is a project. In other code are looked for, in this order: an ASGI app called `app`,
`api` or `application` that mounts a Platform; a Platform; DurableObject classes with a `Default` entry point or a
function `fetch(request, env, ctx)`. Effects: disk, imports.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from perdure.api import DurableObject, WorkerEntrypoint
from perdure.errors import ConfigurationError
from perdure.server._asgi import AsgiApp, Receive, Scope, Send
from perdure.server._imports import SourceTree, find_source
from perdure.server._projects import ProjectTree, described, find_project, project_platform

_APP_NAMES: Final = ("app", "api", "application")
_FETCH_NAMES: Final = ("fetch", "on_fetch")
_MOUNT_DEPTH_MAX: Final = 8
DATA_DIRECTORY_NAME: Final = ".perdure"


class RunnablePlatform(Protocol):
    """What the command line needs of a platform: to tell it a few things before it starts, and to run it."""

    classes: list[type[DurableObject]]
    data: Path
    is_development: bool
    adopt_changed_files: bool

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


PlatformType = Callable[..., RunnablePlatform]
"""The class Platform itself: called as `Platform(classes, fetch=…)`."""


@dataclass(frozen=True, slots=True)
class Found:
    """What to serve: `app` is what the server calls, `platform` what owns the data; they may be the same."""

    app: AsgiApp
    platform: RunnablePlatform
    description: str


class Watched(Protocol):
    """Sources whose change makes another program."""

    def watched_folders(self) -> list[Path]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line was told: what to serve, in which environment of its configuration, with which data."""

    targets: Sequence[str]
    environment: str | None = None
    data: Path | None = None


def discover(wanted: Wanted, *, platform_type: type[RunnablePlatform]) -> tuple[Found, Watched]:
    """What stands there, read and imported anew. Raises ConfigurationError; SourceError when the code itself fails."""
    projects = [find_project(target, environment=wanted.environment) for target in wanted.targets]
    there = [project for project in projects if project is not None]
    if there:
        if len(there) < len(projects):
            without = wanted.targets[projects.index(None)]
            raise ConfigurationError(
                f"`{without}` has no configuration file: several folders are served when each has a wrangler.jsonc, or "
                "a pyproject.toml with [tool.perdure]"
            )
        platform = project_platform(there, data=wanted.data)
        return Found(app=platform, platform=platform, description=described(there)), ProjectTree(there)
    if len(wanted.targets) != 1:
        raise ConfigurationError(f"name one file or folder to serve, not {len(wanted.targets)}")
    found, tree = _imported(wanted.targets[0], platform_type)
    if wanted.data is not None:
        found.platform.data = wanted.data
    return found, tree


def _imported(target: str, platform_type: type[RunnablePlatform]) -> tuple[Found, SourceTree]:
    tree, name = find_source(target)
    module = tree.load()
    found = _named(vars(module), name, platform_type) if name else find(vars(module), platform_type)
    if not found.platform.data.is_absolute():
        found.platform.data = tree.folder / found.platform.data
    return found, tree


def find(namespace: Mapping[str, object], platform_type: type[RunnablePlatform]) -> Found:
    """What a module's names offer to serve. Raises ConfigurationError that lists what is there."""
    apps = [name for name in _APP_NAMES if _is_asgi_app(namespace.get(name), platform_type)]
    platforms = _platforms(namespace, platform_type)
    if apps:
        return _mounting(apps[0], namespace[apps[0]], platforms, platform_type)
    if len(platforms) > 1:
        raise ConfigurationError(
            f"there are several platforms, {_listed(platforms)}: say which, as in `PATH:{next(iter(platforms))}`"
        )
    for name, platform in platforms.items():
        return Found(
            app=platform, platform=platform, description=f"Platform `{name}` with {_classes_text(platform.classes)}"
        )
    return _made(namespace, platform_type)


def _named(namespace: Mapping[str, object], name: str, platform_type: type[RunnablePlatform]) -> Found:
    value = namespace.get(name)
    if isinstance(value, platform_type):
        return find({name: value}, platform_type)
    if inspect.isclass(value) and issubclass(value, DurableObject):
        return _made(
            {name: value, **{key: namespace[key] for key in ("Default", *_FETCH_NAMES) if key in namespace}},
            platform_type,
        )
    if _is_asgi_app(value, platform_type):
        return _mounting(name, value, _platforms(namespace, platform_type), platform_type)
    if name not in namespace:
        raise ConfigurationError(f"there is no `{name}` in it; {_inventory(namespace)}")
    raise ConfigurationError(
        f"`{name}` is a `{type(value).__name__}`, neither a Platform nor an ASGI app that mounts one"
    )


def _mounting(
    name: str, app: object, platforms: Mapping[str, RunnablePlatform], platform_type: type[RunnablePlatform]
) -> Found:
    mounted = list(_mounted(app, platform_type, _MOUNT_DEPTH_MAX)) or list(platforms.values())
    kind = type(app).__name__
    if len({id(platform) for platform in mounted}) != 1:
        raise ConfigurationError(
            f"the {kind} app `{name}` mounts {len(mounted)} platforms, it needs one: "
            f'`{name}.mount("/", Platform([YourClass]))`'
        )
    assert callable(app)
    return Found(
        app=app, platform=mounted[0], description=f"{kind} app `{name}` with {_classes_text(mounted[0].classes)}"
    )


def _made(namespace: Mapping[str, object], platform_type: type[RunnablePlatform]) -> Found:
    classes = _object_classes(namespace)
    fetch = _entry_point(namespace)
    if not classes and fetch is None:
        raise ConfigurationError(
            "there is nothing to serve in it: no Platform, no ASGI app that mounts one, no DurableObject class and no "
            f"fetch function; {_inventory(namespace)}"
        )
    platform = platform_type(classes, fetch=fetch)  # type: ignore[call-arg]  # a Protocol has no constructor
    silent = (
        ""
        if fetch
        else ", but no fetch: define `class Default(WorkerEntrypoint)` or `async def fetch(request, env, ctx)`"
    )
    return Found(app=platform, platform=platform, description=f"{_classes_text(classes)}{silent}")


def _entry_point(namespace: Mapping[str, object]) -> object:
    default = namespace.get("Default")
    if inspect.isclass(default) and issubclass(default, WorkerEntrypoint):
        return default
    return next((namespace[name] for name in _FETCH_NAMES if inspect.isfunction(namespace.get(name))), None)


def _object_classes(namespace: Mapping[str, object]) -> list[type[DurableObject]]:
    """The public classes, each once; those that perdure itself brings are there to be extended."""
    classes = (
        value
        for name, value in namespace.items()
        if isinstance(value, type) and issubclass(value, DurableObject) and not name.startswith("_")
    )
    return [kind for kind in dict.fromkeys(classes) if not kind.__module__.startswith("perdure.")]


def _is_asgi_app(value: object, platform_type: type[RunnablePlatform]) -> bool:
    return callable(value) and not isinstance(value, type) and not isinstance(value, platform_type)


def _platforms(namespace: Mapping[str, object], platform_type: type[RunnablePlatform]) -> dict[str, RunnablePlatform]:
    by_id: dict[int, tuple[str, RunnablePlatform]] = {}
    for name, value in namespace.items():
        if isinstance(value, platform_type):
            by_id.setdefault(id(value), (name, value))
    return dict(by_id.values())


def _mounted(app: object, platform_type: type[RunnablePlatform], depth: int) -> Iterable[RunnablePlatform]:
    """The platforms below the routes of a Starlette-like app."""
    routes: Any = getattr(app, "routes", ())
    for route in routes if isinstance(routes, list | tuple) and depth else ():
        inner = getattr(route, "app", None)
        if isinstance(inner, platform_type):
            yield inner
        elif inner is not None:
            yield from _mounted(inner, platform_type, depth - 1)


def _classes_text(classes: Iterable[type]) -> str:
    return _listed(kind.__name__ for kind in classes) or "no object classes"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _inventory(namespace: Mapping[str, object]) -> str:
    names = [name for name, value in namespace.items() if not name.startswith("_") and not inspect.ismodule(value)]
    return f"its names are {_listed(sorted(names)[:20])}" if names else "it defines no names"
