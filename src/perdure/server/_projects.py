"""Projects: folders with a configuration file, each a worker, served together as one platform.

The first one answers requests. Effects: disk, imports.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from perdure.api import DurableObject, WorkerEntrypoint
from perdure.config import Config, Place, read_config, read_variables
from perdure.errors import ConfigurationError
from perdure.objects import NamespaceOptions
from perdure.server._imports import SourceTree, source_tree
from perdure.server._migrations import Migrations
from perdure.server._platform import Fetch, Platform
from perdure.server._sources import main_file, read_sources
from perdure.server._workers import LoaderBinding, NamespaceBinding, ServiceBinding, Worker, WorkerBinding

_LOG: Final = logging.getLogger("perdure.server")
_FILES: Final = ("wrangler.jsonc", "wrangler.json", "wrangler.toml", "pyproject.toml")
_SUFFIXES: Final = frozenset({".json", ".jsonc", ".toml"})
_SECRETS: Final = ".dev.vars"
_DATA: Final = ".perdure"
_FETCH_NAMES: Final = ("fetch", "on_fetch")


@dataclass(frozen=True, slots=True)
class Project:
    """A folder and what its file configures."""

    folder: Path
    config: Config

    def bindings(self) -> dict[str, WorkerBinding]:
        """What its env has beside variables."""
        config = self.config
        return {
            **{it.name: NamespaceBinding(it.class_name, it.script_name) for it in config.namespaces},
            **{it.name: ServiceBinding(it.service, it.entrypoint, it.props) for it in config.services},
            **{it.name: LoaderBinding() for it in config.loaders},
        }

    def watched_folders(self) -> list[Path]:
        """The folders whose files may belong to it."""
        main = main_file(self.folder, self.config)
        folders = SourceTree(folder=main.parent, module_name=main.stem).watched_folders()
        return folders if self.folder in folders else [self.folder, *folders]


def find_project(target: str, *, environment: str | None = None) -> Project | None:
    """The project at a path, a folder or its configuration file. None when there is none. Raises ConfigurationError."""
    path = Path(target).resolve()
    if path.is_file() and path.suffix in _SUFFIXES:
        config = _read(path, environment)
        return None if config is None else Project(path.parent, config)
    if not path.is_dir():
        return None
    files = [path / name for name in _FILES if (path / name).is_file()]
    found = [config for file in files if (config := _read(file, environment)) is not None]
    if len(found) > 1:
        both = " and ".join(f"`{config.file}`" for config in found)
        raise ConfigurationError(f"{both} both configure a worker: keep one of them, or name the file to use")
    return Project(path, found[0]) if found else None


def _read(path: Path, environment: str | None) -> Config | None:
    config = read_config(_text(path), _shown(path), environment=environment)
    return None if config is None else _with_secrets(config, path.parent, environment)


def _with_secrets(config: Config, folder: Path, environment: str | None) -> Config:
    """A configuration with the variables of the file that is not shared, of this environment if it has one."""
    path = folder / f"{_SECRETS}.{environment}"
    if environment is None or not path.is_file():
        path = folder / _SECRETS
    if not path.is_file():
        return config
    secrets = read_variables(_text(path), _shown(path))
    bound = Project(folder, config).bindings()
    for name in secrets:
        if name in bound:
            Place(_shown(path)).refuse(f"`env.{name}` is bound in {config.file}: rename one")
    return replace(config, variables={**config.variables, **secrets})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{_shown(path)}: it is not UTF-8 ({error.reason} at byte {error.start})") from None


def _shown(path: Path) -> str:
    """A path as it is told to people: short, where they are."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


class ProjectTree:
    """The sources of all projects, to be watched."""

    def __init__(self, projects: Sequence[Project]) -> None:
        self._projects = projects

    def watched_folders(self) -> list[Path]:
        return list(dict.fromkeys(folder for project in self._projects for folder in project.watched_folders()))


def project_platform(
    projects: Sequence[Project], *, data: Path | None = None, make_platform: Callable[..., Platform] = Platform
) -> Platform:
    """A platform that runs the projects, which has not been started. Raises ConfigurationError, SourceError."""
    _check(projects)
    for project in projects:
        for warning in project.config.warnings:
            _LOG.warning("%s", warning)
    first = projects[0]
    if data is None:
        data = first.folder / (first.config.data or _DATA)
    migrations = Migrations([project.config for project in projects], data)
    workers = [
        _worker(project, migrations.keys(project.config.name)) for project in projects if not project.config.is_trusted
    ]
    served: dict[str, Any] = {"data": data, "hosts": first.config.hosts, "checks_workers": True}
    if first.config.is_trusted:
        trusted = _trusted_program(first, migrations.keys(first.config.name))
        platform = make_platform(**trusted, workers=workers, **served)
    else:
        platform = make_platform(fetch=workers[0], workers=workers[1:], **served)
    platform.before_objects.append(migrations.apply)
    return platform


def _check(projects: Sequence[Project]) -> None:
    by_name: dict[str, Project] = {}
    for project in projects:
        name, place = project.config.name, Place(project.config.file)
        if name in by_name:
            place.refuse(
                f"the worker is called `{name}`, as the one of `{by_name[name].config.file}`: give one another `name`"
            )
        by_name[name] = project
        if project.config.is_trusted and project is not projects[0]:
            place.refuse("only the first folder's worker can be trusted: name its folder first")
    for project in projects:
        for service in project.config.services:
            if service.service not in by_name:
                service.place.refuse(
                    f"`env.{service.name}` is bound to the worker `{service.service}`, which is not here: name its "
                    "folder, too, as in `perdure dev FOLDER OTHER`"
                )
            _check_not_trusted(by_name[service.service], project, service.place)
        for binding in project.config.namespaces:
            if binding.script_name in by_name:
                _check_not_trusted(by_name[binding.script_name], project, binding.place)


def _check_not_trusted(target: Project, project: Project, place: Place) -> None:
    if target.config.is_trusted and target is not project:
        place.refuse(
            f"the worker `{target.config.name}` is trusted and runs in the process itself: workers in a sandbox cannot "
            "be bound to it"
        )


def _worker(project: Project, keys: Mapping[str, str]) -> Worker:
    """A project as a worker in a sandbox. Its files are read now, and again whenever it is loaded anew."""
    config = project.config
    return Worker(
        config.name,
        read_sources(project.folder, config, env=config.variables),
        classes={name: NamespaceOptions(key=key) for name, key in keys.items()},
        bindings=project.bindings(),
    )


def _trusted_program(project: Project, keys: Mapping[str, str]) -> dict[str, Any]:
    """What a Platform is told of a Python project that runs in the process itself."""
    config = project.config
    names = vars(source_tree(main_file(project.folder, config)).load())
    stored = {name: names.get(name) for name in keys}
    for name, kind in stored.items():
        if not isinstance(kind, type):
            there = ", ".join(f"`{known}`" for known in _classes(names)) or "none"
            config.main_place.refuse(
                f"`migrations` name the class `{name}`, which `{config.main}` does not have; its classes are: {there}"
            )
    kinds = [kind for kind in stored.values() if isinstance(kind, type)]
    return {
        "classes": kinds,
        "fetch": _entry_point(names),
        "exports": [
            kind for kind in _classes(names).values() if kind not in kinds and kind is not names.get("Default")
        ],
        "namespaces": {kind: NamespaceOptions(key=keys[name]) for name, kind in zip(stored, kinds, strict=True)},
        "env": {**config.variables, **project.bindings()},
    }


def _classes(names: Mapping[str, object]) -> dict[str, type]:
    return {
        name: value
        for name, value in names.items()
        if isinstance(value, type)
        and issubclass(value, DurableObject | WorkerEntrypoint)
        and not name.startswith("_")
        and not value.__module__.startswith("perdure.")
    }


def _entry_point(names: Mapping[str, Any]) -> Fetch | type[WorkerEntrypoint] | None:
    default = names.get("Default")
    if inspect.isclass(default) and issubclass(default, WorkerEntrypoint):
        return default
    return next((names[name] for name in _FETCH_NAMES if inspect.isfunction(names.get(name))), None)


def described(projects: Iterable[Project]) -> str:
    """What is served, for people."""
    return ", ".join(
        f"worker `{project.config.name}` of {project.config.main}" + (" (trusted)" if project.config.is_trusted else "")
        for project in projects
    )
