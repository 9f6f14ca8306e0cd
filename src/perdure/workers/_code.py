"""Worker code, checked: what the loader was given becomes modules with a kind, a language and a content hash.

The rules and texts are those of spec 5.2. Effects: none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

from perdure.api import (
    Fetcher,
    KeptValue,
    Limits,
    Outbound,
    Service,
    Stub,
    WorkerCode,
    checked_fetcher,
    checked_outbound,
)
from perdure.errors import ValueNotCloneableError, WorkerCodeError
from perdure.limits import (
    CODE_BYTES_MAX,
    CPU_MS_DEFAULT,
    CPU_MS_MAX,
    ENV_BYTES_MAX,
    MEMORY_BYTES_DEFAULT,
    MEMORY_BYTES_MIN,
    MIB,
    SUBREQUESTS_MAX,
    WALL_MS_DEFAULT,
)
from perdure.workers._invocations import NO_LIMITS, EventLimits

Language = Literal["python", "javascript"]
_KINDS: Final = ("js", "cjs", "py", "ts", "tsx", "jsx", "text", "data", "json")
_SCRIPTS: Final = frozenset({"js", "cjs", "ts", "tsx", "jsx"})
_KIND_OF_SUFFIX: Final = {
    ".py": "py", ".js": "js", ".mjs": "js", ".ts": "ts", ".mts": "ts", ".tsx": "tsx", ".jsx": "jsx",
}  # fmt: skip
_TAILS_MAX: Final = 16
_COMPACT: Final = json.JSONEncoder(separators=(",", ":")).encode
_CAMEL: Final = {
    "mainModule": "main_module",
    "globalOutbound": "global_outbound",
    "compatibilityDate": "compatibility_date",
    "cpuMs": "cpu_ms",
    "memoryMb": "memory_mb",
    "wallMs": "wall_ms",
    "subRequests": "subrequests",
}


@dataclass(frozen=True, slots=True)
class Module:
    """One module as the guest's importer receives it; `data` is base64 text."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class CheckedCode:
    """Code that may be loaded. `digest` is over everything that decides how it behaves."""

    language: Language
    main: str
    modules: Mapping[str, Module]
    env: str
    """As expression, in text: it may be large, and is needed when an isolate starts."""
    cpu_ms: int
    memory_bytes: int
    digest: str
    event_limits: EventLimits = NO_LIMITS
    """Of one event of a stateless entry point."""
    services: Sequence[Service] = ()
    """What stands in `env` by reference."""
    tails: Sequence[Stub] = ()
    outbound: Outbound = None
    """Where its `fetch()` is to go, as it was given."""
    fetcher: Fetcher | None = None
    """Where it goes, which the loader knows."""

    def kept_env(self) -> KeptValue:
        """Its env, to be sent to an isolate."""
        return KeptValue(json.loads(self.env), self.services)


def check_code(given: object) -> CheckedCode:
    """What a loader callback returned, checked. Raises WorkerCodeError."""
    code = _as_worker_code(given)
    modules = _modules(code)
    language = _language(code.main_module, modules)
    env, services = _env(code.env)
    limits = check_limits(code.limits)
    return CheckedCode(
        language=language,
        main=code.main_module,
        modules=modules,
        env=env,
        services=services,
        cpu_ms=CPU_MS_DEFAULT if limits.cpu_ms is None else limits.cpu_ms,
        memory_bytes=MEMORY_BYTES_DEFAULT if limits.memory_mb is None else limits.memory_mb * MIB,
        event_limits=EventLimits(limits.cpu_ms, limits.wall_ms, limits.subrequests),
        digest=_digest(code.main_module, modules),
        outbound=checked_outbound(code.global_outbound),
        tails=_tails(code.tails),
    )


def _tails(given: object) -> Sequence[Stub]:
    if not isinstance(given, list | tuple) or len(given) > _TAILS_MAX:
        raise WorkerCodeError(f"tails is a list of at most {_TAILS_MAX} stubs")
    return tuple(checked_fetcher(tail, f"tails[{place}]") for place, tail in enumerate(given))


def _as_worker_code(given: object) -> WorkerCode:
    if isinstance(given, WorkerCode):
        return given
    if not isinstance(given, Mapping):
        raise WorkerCodeError(
            "the code of a worker is a WorkerCode or a mapping with `main_module` and `modules`, not "
            f"`{type(given).__name__}`: "
            'return WorkerCode(main_module="app.py", modules={"app.py": source})'
        )
    named = {_CAMEL.get(str(key), str(key)): value for key, value in given.items()}
    known = {field.name for field in fields(WorkerCode)}
    unknown = sorted(set(named) - known - {"compatibility_flags", "compatibilityFlags"})
    if unknown:
        raise WorkerCodeError(f"WorkerCode has no field `{unknown[0]}`; its fields are: {', '.join(sorted(known))}")
    missing = sorted({"main_module", "modules"} - set(named))
    if missing:
        raise WorkerCodeError(f"WorkerCode needs `{missing[0]}`")
    return WorkerCode(**{key: value for key, value in named.items() if key in known})


def _modules(code: WorkerCode) -> dict[str, Module]:
    if not isinstance(code.modules, Mapping) or not code.modules:
        raise WorkerCodeError("modules must contain at least one module")
    modules = {_module_name(name): _module(str(name), source) for name, source in code.modules.items()}
    size = sum(_size(name, module) for name, module in modules.items())
    if size > CODE_BYTES_MAX:
        raise WorkerCodeError(
            f"Dynamic Worker code size {size} bytes exceeds the maximum allowed size of {CODE_BYTES_MAX} bytes"
        )
    if not isinstance(code.main_module, str) or code.main_module not in modules:
        raise WorkerCodeError(
            f"Main module name is not present in bundle: `{code.main_module}` is not among "
            f"{', '.join(map(repr, modules))}"
        )
    return modules


def _size(name: str, module: Module) -> int:
    if module.kind == "data":
        return len(base64.b64decode(module.text))
    try:
        return len(module.text.encode())
    except UnicodeEncodeError as error:
        raise WorkerCodeError(f"module `{name}` is no text, it has half a character at {error.start}") from None


def _module_name(name: object) -> str:
    if not isinstance(name, str) or not name or not name.isprintable():
        raise WorkerCodeError(f"`{name!r}` is no module name: use a path such as 'app.py' or 'lib/util.js'")
    if name.startswith(("/", "../")) or posixpath.normpath(name) != name:
        raise WorkerCodeError(f"module name `{name}` must be a plain relative path, such as 'lib/util.py'")
    return name


def _module(name: str, source: object) -> Module:
    if isinstance(source, str):
        return Module(_kind_by_name(name), source)
    if not isinstance(source, Mapping) or len(source) != 1 or (kind := next(iter(source))) not in _KINDS:
        raise WorkerCodeError(f"module `{name}` must be a string, or contain exactly one of: {', '.join(_KINDS)}")
    content = source[kind]
    if kind == "data":
        if not isinstance(content, bytes | bytearray | memoryview):
            raise WorkerCodeError(f"module `{name}`: data is bytes, not `{type(content).__name__}`")
        return Module(kind, base64.b64encode(bytes(content)).decode("ascii"))
    if kind == "json":
        try:
            return Module(kind, json.dumps(content, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise WorkerCodeError(f"module `{name}` cannot be written as JSON: {error}") from None
    if not isinstance(content, str):
        raise WorkerCodeError(f"module `{name}`: {kind} is a string, not `{type(content).__name__}`")
    return Module(kind, content)


def _kind_by_name(name: str) -> str:
    suffix = posixpath.splitext(name)[1]
    if suffix in _KIND_OF_SUFFIX:
        return _KIND_OF_SUFFIX[suffix]
    raise WorkerCodeError(
        "Module name must end with '.js' or '.py', or with '.ts', '.tsx' or '.jsx' "
        f"(or give the kind, as in {{'text': …}}). Got: {name}"
    )


def _language(main: str, modules: Mapping[str, Module]) -> Language:
    kind = modules[main].kind
    if kind != "py" and kind not in _SCRIPTS:
        raise WorkerCodeError(f"main module `{main}` must be Python or JavaScript, it is `{kind}`")
    python = kind == "py"
    for name, module in modules.items():
        if python and module.kind in _SCRIPTS:
            raise WorkerCodeError(
                f"Module `{name}` is a JavaScript module, but the main module `{main}` is a Python module: a "
                "worker has one language"
            )
        if not python and module.kind == "py":
            raise WorkerCodeError(
                f"Module `{name}` is a Python module, but the main module isn't a Python module: a worker has one "
                "language"
            )
    return "python" if python else "javascript"


def _env(env: object) -> tuple[str, Sequence[Service]]:
    if not isinstance(env, Mapping) or not all(isinstance(name, str) for name in env):
        raise WorkerCodeError("env is a mapping from names to values")
    try:
        kept = KeptValue.of(dict(env))
    except ValueNotCloneableError as error:
        raise ValueNotCloneableError(f"env of a dynamic worker: {error}") from None
    text = _COMPACT(kept.tree)
    if len(text) > ENV_BYTES_MAX:
        raise WorkerCodeError(f"Dynamic Worker env size {len(text)} bytes exceeds the maximum of {ENV_BYTES_MAX} bytes")
    return text, kept.services


def check_limits(limits: object) -> Limits:
    """Limits as somebody gave them, checked. Raises WorkerCodeError."""
    if limits is None:
        return Limits()
    known = [field.name for field in fields(Limits)]
    if isinstance(limits, Mapping):
        named = {_CAMEL.get(str(key), str(key)): value for key, value in limits.items()}
        unknown = sorted(set(named) - set(known))
        if unknown:
            raise WorkerCodeError(f"limits has {', '.join(f'`{name}`' for name in known)}, not `{unknown[0]}`")
        limits = Limits(**named)
    if not isinstance(limits, Limits):
        raise WorkerCodeError(f"limits is a Limits(cpu_ms=…, memory_mb=…), not `{type(limits).__name__}`")
    for name, (least, most) in _BOUNDS.items():
        value = getattr(limits, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
            raise WorkerCodeError(f"limits.{name} is `{value}`, it must be between {least} and {most}")
    return limits


_BOUNDS: Final = {
    "cpu_ms": (1, CPU_MS_MAX),
    "memory_mb": (MEMORY_BYTES_MIN // MIB, 4096),
    "wall_ms": (1, WALL_MS_DEFAULT),
    "subrequests": (1, SUBREQUESTS_MAX),
}


def lowered(code: CheckedCode, limits: Limits) -> CheckedCode:
    """The code with the lower of its own limits and these."""
    if limits == Limits():
        return code
    return replace(
        code,
        cpu_ms=min(code.cpu_ms, limits.cpu_ms or code.cpu_ms),
        memory_bytes=min(code.memory_bytes, (limits.memory_mb or 4096) * MIB),
    )


def _digest(main: str, modules: Mapping[str, Module]) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for name in (main, *sorted(modules)):
        for part in (name, modules[name].kind, modules[name].text):
            data = part.encode("utf-8", "surrogatepass")
            hasher.update(len(data).to_bytes(8, "little") + data)
    return hasher.hexdigest()
