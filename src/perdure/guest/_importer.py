"""The importer: a worker's modules, asked from the host by name.

`a.b` is `a/b.py`, a package is `a/__init__.py`, or any folder. A module of text, data or JSON is imported by its name
without the suffix and holds its content as `value`. The worker's own modules come before the standard library, as a
script's neighbours do.
Effects: imports.
"""

from __future__ import annotations

import base64
import importlib.abc
import importlib.machinery
import json
import posixpath
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, ModuleType

from perdure.wire import HostOp

_NEVER_SHADOWED = frozenset({"asyncio", "builtins", "importlib", "json", "perdure", "sys", "traceback", "workers"})


@dataclass(frozen=True, slots=True)
class Source:
    """One module as the host keeps it."""

    path: str
    kind: str
    text: str


class WorkerImporter(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads the modules of one worker."""

    def __init__(self, ask: Callable[[int, str, str], str]) -> None:
        self._ask = ask
        self._sources: dict[str, Source | None] = {}
        self._roots: Sequence[str] = ("",)
        self.names: list[str] | None = None
        self.own_files: set[str] = set()
        self.own_modules: set[str] = set()

    def load_main(self, path: str) -> ModuleType:
        """Import the main module. Its folder is where the others are looked for first."""
        self._roots = tuple(dict.fromkeys((posixpath.dirname(path), "")))
        self._learn_names()
        source = self._source(path)
        if source is None:
            raise ModuleNotFoundError(f"the main module `{path}` does not exist", name=path)
        name = posixpath.splitext(posixpath.basename(path))[0].replace("-", "_") or "worker"
        spec = importlib.machinery.ModuleSpec(name, self, origin=path)
        spec.has_location = True
        module = ModuleType(name)
        module.__spec__, module.__loader__, module.__file__, module.__package__ = spec, self, path, ""
        sys.modules[name] = module
        self.own_modules.add(name)
        exec(self._code(source), module.__dict__)  # noqa: S102  # running it is what we are for
        return module

    def owns(self, filename: str) -> bool:
        """True for a file of the worker."""
        return filename in self.own_files

    # ── finder ───────────────────────────────────────────────────────────────────────────────────────────────

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Where a module is, or None: then it is not the worker's."""
        tail = fullname.rpartition(".")[2]
        for folder in self._roots if path is None else path:
            if folder.startswith("/"):
                continue  # a package of the standard library
            base = posixpath.join(folder, tail)
            for candidate, is_package in ((f"{base}.py", False), (f"{base}/__init__.py", True), (base, False)):
                if self._exists(candidate):
                    return self._spec(fullname, candidate, base if is_package else None)
            for other in self._names_under(f"{base}."):
                return self._spec(fullname, other, None)
            if self._names_under(f"{base}/"):
                namespace = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
                namespace.submodule_search_locations = [base]
                return namespace
        return None

    def _spec(self, fullname: str, file: str, package: str | None) -> importlib.machinery.ModuleSpec:
        self.own_modules.add(fullname)
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=file, is_package=package is not None)
        spec.has_location = True
        if package is not None:
            spec.submodule_search_locations = [package]
        return spec

    def _learn_names(self) -> None:
        reply = self._ask(HostOp.MODULE, "", "")
        kind, _, text = reply.partition("\n")
        if kind != "names":
            return
        self.names = json.loads(text)
        for name in self.names or ():
            for root in self._roots:
                if name.startswith(f"{root}/" if root else ""):
                    self._unshadow(name[len(root) + 1 if root else 0 :].partition("/")[0].partition(".")[0])

    def _unshadow(self, top: str) -> None:
        """Let the worker's own `queue.py` be found although the snapshot has imported the standard one."""
        if top in sys.modules and top not in _NEVER_SHADOWED:
            for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
                del sys.modules[name]

    def _exists(self, path: str) -> bool:
        return path in self.names if self.names is not None else self._source(path) is not None

    def _names_under(self, prefix: str) -> list[str]:
        return [name for name in self.names or () if name.startswith(prefix)]

    # ── loader ───────────────────────────────────────────────────────────────────────────────────────────────

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """The default module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code, or give it its content."""
        spec = module.__spec__
        assert spec is not None
        assert spec.origin is not None
        source = self._source(spec.origin)
        assert source is not None
        if source.kind == "py":
            exec(self._code(source), module.__dict__)  # noqa: S102  # running it is what we are for
        else:
            module.__dict__["value"] = _value(source)

    def get_source(self, fullname: str) -> str | None:
        """The text of a loaded module: tracebacks ask for it, to show the line."""
        module = sys.modules.get(fullname)
        spec = module.__spec__ if module is not None else None
        source = self._source(spec.origin) if spec is not None and spec.origin else None
        return source.text if source is not None else None

    def get_code(self, fullname: str) -> CodeType | None:
        """The code of a loaded module."""
        text = self.get_source(fullname)
        spec = sys.modules[fullname].__spec__
        return (
            None if text is None or spec is None else compile(text, spec.origin or fullname, "exec", dont_inherit=True)
        )

    def get_data(self, path: str) -> bytes:
        """The content of any module, for `pkgutil.get_data`. Raises OSError when there is none."""
        source = self._source(path)
        if source is None:
            raise FileNotFoundError(f"the worker has no module `{path}`")
        value = _value(source)
        return value if isinstance(value, bytes) else source.text.encode()

    def _code(self, source: Source) -> CodeType:
        self.own_files.add(source.path)
        return compile(source.text, source.path, "exec", dont_inherit=True)

    def _source(self, path: str) -> Source | None:
        if path not in self._sources:
            reply = self._ask(HostOp.MODULE, path, "")
            kind, _, text = reply.partition("\n")
            self._sources[path] = Source(path, kind, text) if reply else None
        return self._sources[path]


def _value(source: Source) -> object:
    match source.kind:
        case "json":
            return json.loads(source.text)
        case "data":
            return base64.b64decode(source.text)
        case _:
            return source.text
