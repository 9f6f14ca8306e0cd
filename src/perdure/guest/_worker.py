"""A loaded worker: what its main module exports, and how an instance of it is made and called. Effects: none."""

from __future__ import annotations

import ast
import inspect
import json
import linecache
from collections.abc import Callable, Iterable, Mapping
from types import CoroutineType, ModuleType
from typing import Any, Final

from perdure.api import DurableObject, WorkerEntrypoint
from perdure.errors import FacetError, WorkerCodeError
from perdure.web import Request, Response

DEFAULT: Final = "default"
SNIPPET: Final = "snippet.py"
_HANDLERS: Final = ("fetch", "on_fetch")


class Worker:
    """The main module of a worker, seen as its exports."""

    def __init__(self, module: ModuleType, own_modules: set[str], namespaces: Iterable[str] = ()) -> None:
        self.namespaces = frozenset(namespaces)
        self._names: dict[str, object] = {}
        for name, value in vars(module).items():
            if not name.startswith("_") and getattr(value, "__module__", None) in own_modules:
                self._names[DEFAULT if name == "Default" else name] = value
        handler = next((self._names[name] for name in _HANDLERS if inspect.isfunction(self._names.get(name))), None)
        if handler is not None:
            self._names.setdefault(DEFAULT, handler)

    def kinds(self) -> dict[str, str]:
        """Every export and what it is."""
        return {name: kind for name, value in self._names.items() if (kind := _kind(name, value)) is not None}

    def export(self, name: str) -> Any:  # noqa: ANN401  # whatever the worker exports
        """The export of this name. Raises WorkerCodeError."""
        try:
            return self._names[name]
        except KeyError:
            there = ", ".join(f"`{known}`" for known in sorted(self.kinds())) or "nothing"
            raise WorkerCodeError(f"the worker exports no `{name}`; it exports {there}") from None

    def name_of(self, kind: object) -> str:
        """Under which name a class is exported. Raises FacetError."""
        for name, value in self._names.items():
            if value is kind:
                return name
        raise FacetError(
            f"class `{getattr(kind, '__name__', kind)}` is not in the main module of this worker: import it there"
        )


def _kind(name: str, value: object) -> str | None:
    if inspect.isclass(value):
        if issubclass(value, DurableObject):
            return "object"
        return "entrypoint" if issubclass(value, WorkerEntrypoint) else "class"
    if inspect.isfunction(value):
        return "handler" if name == DEFAULT else "function"
    return None


def fetch_of(receiver: Any) -> Callable[[Request], object]:  # noqa: ANN401  # an instance of the worker's own class
    """How `receiver` answers HTTP. Raises WorkerCodeError when it does not."""
    for name in _HANDLERS:
        method = getattr(receiver, name, None)
        if callable(method):
            return method  # type: ignore[no-any-return]  # the worker's own
    kind = type(receiver).__name__
    raise WorkerCodeError(
        "Handler does not export a fetch() function: add `async def fetch(self, request): return Response(…)` to "
        f"class `{kind}`"
    )


def call_handler(handler: Callable[..., object], request: Request, env: object, ctx: object) -> object:
    """Call a module-level `fetch(request, env, ctx)`; it may take fewer of them."""
    parameters = inspect.signature(handler).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return handler(request, env, ctx)
    count = sum(
        parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD} for parameter in parameters
    )
    return handler(*(request, env, ctx)[:count])


def as_response(value: object) -> Response:
    """What a handler returned, if it is a response. Raises TypeError with advice."""
    if isinstance(value, Response):
        return value
    advice = "return Response.json(value)" if isinstance(value, dict | list) else "return Response(text)"
    raise TypeError(f"fetch returned `{type(value).__name__}`, it must return a Response: {advice}")


def is_coroutine(value: object) -> bool:
    """True for what must be awaited."""
    return type(value) is CoroutineType or inspect.isawaitable(value)


async def as_coroutine(value: Any) -> object:  # noqa: ANN401  # any awaitable
    """Await anything awaitable."""
    return await value


def evaluate(source: str, variables: Mapping[str, object], *, own_files: set[str]) -> object:
    """Run `source` once; the value of its last expression, or an awaitable of it when it uses `await`."""
    own_files.add(SNIPPET)
    linecache.cache[SNIPPET] = (len(source), None, source.splitlines(keepends=True), SNIPPET)
    tree = ast.parse(source, SNIPPET)
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        tree.body[-1] = ast.copy_location(ast.Assign([ast.Name(_RESULT, ast.Store())], last.value), last)
    namespace: dict[str, Any] = {"__name__": "__main__", **variables}
    code = compile(ast.fix_missing_locations(tree), SNIPPET, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    outcome = eval(code, namespace)  # noqa: S307  # running it is what we are for
    if inspect.iscoroutine(outcome):
        return _awaited_result(outcome, namespace)
    return namespace.get(_RESULT)


_RESULT: Final = "_result_of_snippet"


async def _awaited_result(run: Any, namespace: dict[str, Any]) -> object:  # noqa: ANN401  # a coroutine
    await run
    return namespace.get(_RESULT)


def to_json(tree: object) -> str:
    """Compact JSON in ASCII."""
    return _ENCODE(tree)


_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
