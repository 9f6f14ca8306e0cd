"""A worker's modules as QuickJS takes them: names resolved, and every kind as the source of an ES module.

Effects: none.
"""

from __future__ import annotations

import json
import posixpath
import re
from typing import Final

RUNTIME_MODULE: Final = "cloudflare:workers"
"""The module that the image itself is: always there, never asked from the host."""

NODE_MODULES: Final = frozenset(
    {
        "assert", "assert/strict", "buffer", "crypto", "events", "module", "path", "path/posix", "perf_hooks",
        "process", "querystring", "stream/web", "string_decoder", "timers", "timers/promises", "url", "util",
        "util/types",
    }
)  # fmt: skip
"""Modules of the image that go by these names too, unless the worker has one of the same name."""

TYPED_SUFFIXES: Final = (".ts", ".tsx", ".jsx", ".mts")
"""Names of modules that are translated to JavaScript."""

_REQUIRED: Final = re.compile(r"""\brequire\(\s*(["'])([^"'\n]+)\1\s*\)""")


def resolve(importer: str, specifier: str) -> str:
    """The name of the module that `importer` means: relative to itself, or from the root."""
    if specifier.startswith(("./", "../")):
        return posixpath.normpath(posixpath.join(posixpath.dirname(importer), specifier))
    return specifier.removeprefix("/")


def as_typescript_means(name: str, there: frozenset[str]) -> str:
    """The module that TypeScript means by a name: one without its suffix, or with the one it will have."""
    if name in there:
        return name
    stem = name.removesuffix(".js").removesuffix(".mjs")
    candidates = [f"{each}{suffix}" for each in (stem, f"{stem}/index") for suffix in (*TYPED_SUFFIXES, ".js", ".mjs")]
    return next((candidate for candidate in candidates if candidate in there), name)


def module_source(kind: str, text: str) -> str:
    """The source of an ES module with the content of a module of this kind; lines stay where they are."""
    match kind:
        case "text":
            return f"export default {json.dumps(text)};"
        case "json":
            return f"export default JSON.parse({json.dumps(text)});"
        case "data":
            return f"export default Uint8Array.fromBase64({json.dumps(text)}).buffer;"
        case "cjs":
            return _common_js(text)
        case _:
            return text


def _common_js(text: str) -> str:
    """CommonJS in an ES module: what it requires by a literal name is imported before it runs."""
    names = sorted({match[2] for match in _REQUIRED.finditer(text)})
    imports = "".join(f"import * as $required{number} from {json.dumps(name)};" for number, name in enumerate(names))
    table = ", ".join(f"{json.dumps(name)}: $required{number}" for number, name in enumerate(names))
    return (
        f"{imports}const module = {{ exports: {{}} }};(function (exports, require) {{{text}\n"
        "}).call(module.exports, module.exports, (name) => {"
        f"const found = {{ {table} }}[name];"
        "if (found === undefined) throw new Error(`require() takes the literal name of a module: ${name}`);"
        'return "default" in found ? found.default : found;'
        "});export default module.exports;"
    )
