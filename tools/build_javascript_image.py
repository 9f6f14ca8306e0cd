"""Builds the JavaScript image: QuickJS with our runtime booted in it, as one core module.

Four steps. *Bundle*: esbuild makes one module of `src/perdure/guest/js`. *Link*: the engine, the C extensions we use
and our bridge become one module; the extensions are dynamic libraries whose package loads each into an instance of its
own, here their static memory and table slots are placed once and for all. *Boot*: the runtime runs once, from bytecode,
so that no source text of ours is kept. *Bake*: the memory it leaves becomes the data of the image: how guests start.
Effects: disk, process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wasmtime import Engine, Func, FuncType, Instance, Memory, Module, Store, Trap, wat2wasm

try:
    from tools import wasm_binary as wasm
except ImportError:  # run as a script, this folder is where modules are looked for
    import wasm_binary as wasm  # type: ignore[import-not-found, no-redef]  # the same file

ROOT: Final = Path(__file__).resolve().parents[1]
RUNTIME: Final = ROOT / "src" / "perdure" / "guest" / "js"
NODE_MODULES: Final = ROOT / "tools" / "javascript" / "node_modules"
LOCK: Final = ROOT / "tools" / "javascript" / "package-lock.json"
LICENSES: Final = ROOT / "licenses"

EXTENSIONS: Final = ("url", "encoding", "headers", "crypto")
RUNTIME_MODULE: Final = "cloudflare:workers"  # the runtime is the module that workers import

_BUFFER_BYTES: Final = 60_000
_BRIDGE_BYTES: Final = wasm.PAGE_BYTES  # the bridge's static memory: a few words, then the buffer
_BRIDGE_FUNCTIONS: Final = 3
_COLLECTION_HEADROOM_BYTES: Final = 512 * 1024
_COUNTERS_BYTES: Final = 26 * 8  # what qjs_compute_memory_usage fills
_WRITE_BYTECODE_WITHOUT_SOURCE: Final = 16  # JS_WRITE_OBJ_STRIP_SOURCE
_EVALUATE_MODULE: Final = 1
_FULFILLED: Final = 1
_RUNTIME_BYTES: Final = 1_024  # within which QuickJS's runtime has the heads of its lists
_OBJECTS_MIN: Final = 1_000
_TEXT_BYTES_MAX: Final = 64 * 1024  # of one that the build reads

_FEATURES: Final = [
    f"--enable-{name}"
    for name in (
        "extended-const", "mutable-globals", "bulk-memory", "bulk-memory-opt", "sign-ext", "nontrapping-float-to-int",
        "multivalue", "reference-types", "gc",
    )
]  # fmt: skip
# What the host uses; building uses more, and the rest is removed with it.
_HOST_EXPORTS: Final = frozenset(
    {
        "memory", "malloc", "free", "perdure_call", "perdure_buffer", "qjs_set_memory_limit", "qjs_set_max_stack_size",
        "qjs_set_gc_threshold",
        "qjs_new_error", "qjs_new_string", "qjs_set_prop_string", "qjs_throw", "qjs_free_value",
    }
)  # fmt: skip
_BUILD_EXPORTS: Final = re.compile(r"memory$|__stack_pointer$|_initialize$|malloc$|free$|qjs_|perdure_")


def sources() -> list[Path]:
    """Every file of ours that the image is made from."""
    here = Path(__file__).resolve()
    return [*RUNTIME.rglob("*.js"), RUNTIME / "bridge.wat", LOCK, here, here.with_name("wasm_binary.py")]


def build(output: Path) -> None:
    """Write the image to `output`."""
    if not (NODE_MODULES / "quickjs-wasi").is_dir():
        raise SystemExit("the JavaScript image needs its packages: npm ci --prefix tools/javascript")
    with tempfile.TemporaryDirectory() as directory:
        stage = Path(directory)
        bundle = bundled(stage)
        linked = link(stage)
        output.write_bytes(booted(linked, bundle))


def gather_licenses() -> None:
    """Copy the licences of what is in the image to where the wheel takes them from."""
    LICENSES.mkdir(exist_ok=True)
    shutil.copyfile(NODE_MODULES / "quickjs-wasi" / "LICENSE", LICENSES / "quickjs-wasi.txt")
    (LICENSES / "quickjs-wasi-parts.txt").write_text(_PARTS, encoding="utf-8")
    for name, folder in bundled_packages().items():
        texts = [file for file in sorted(folder.iterdir()) if file.name.lower().startswith(("license", "licence"))]
        if not texts:
            raise SystemExit(f"the package `{name}` is in the runtime and has no licence in its folder")
        shutil.copyfile(texts[0], LICENSES / f"npm-{name.removeprefix('@').replace('/', '-')}.txt")


def bundled_packages() -> dict[str, Path]:
    """The npm packages that esbuild takes into the runtime, and their folders."""
    with tempfile.TemporaryDirectory() as directory:
        meta = Path(directory) / "meta.json"
        bundled(Path(directory), f"--metafile={meta}")
        inputs = json.loads(meta.read_text(encoding="utf-8"))["inputs"]
    found = {}
    for path in inputs:
        if match := re.search(r"node_modules/((?:@[^/]+/)?[^/]+)/(?!.*node_modules/)", path):
            found[match[1]] = Path(path[: match.end()])
    return {name: folder if folder.is_absolute() else Path.cwd() / folder for name, folder in sorted(found.items())}


_PARTS: Final = """\
quickjs-wasi contains, as compiled code:

QuickJS-ng, MIT: Copyright (c) 2017-2024 Fabrice Bellard, (c) 2017-2024 Charlie Gordon, (c) 2023-2026 Ben Noordhuis,
  Saúl Ibarra Corretgé and contributors
Mbed TLS (crypto.subtle), Apache-2.0 or GPL-2.0: Copyright The Mbed TLS Contributors
ada (URL parsing), MIT or Apache-2.0: Copyright 2023 Yagiz Nizipli and Daniel Lemire
LLVM libc++ and wasi-libc, Apache-2.0 with LLVM exceptions, and MIT: Copyright (c) the LLVM Project; (c) 2005-2020 Rich
  Felker and contributors

The MIT licence of all of them reads as in quickjs-wasi.txt; the Apache licence is in the file LICENSE.
"""


# ── bundle ───────────────────────────────────────────────────────────────────────────────────────────────────


def bundled(stage: Path, *options: str) -> bytes:
    """The runtime as one module."""
    output = stage / "runtime.js"
    _run(
        "esbuild", str(RUNTIME / "main.js"), "--bundle", "--format=esm", "--target=es2023", "--platform=neutral",
        "--main-fields=module,main", "--minify-syntax",
        "--minify-whitespace", "--legal-comments=none", "--log-level=error", f"--outfile={output}",
        *options,
    )  # fmt: skip
    return output.read_bytes()


def _run(tool: str, *arguments: str) -> None:
    finished = subprocess.run(
        [str(NODE_MODULES / ".bin" / tool), *arguments],
        capture_output=True, text=True, check=False,
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},  # the runtime is not in a folder above its packages
    )  # fmt: skip
    if finished.returncode:
        raise SystemExit(f"{tool} failed: {finished.stderr[-4000:]}")


# ── link ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Layout:
    """Where static memory and table entries have been given away up to."""

    memory: int
    table: int
    glue: list[str] = field(default_factory=list)
    """Definitions that stand in for what a dynamic linker gives to libraries."""

    def place(self, name: str, library: wasm.SharedLibrary) -> None:
        self.memory = -(-self.memory // 16) * 16
        self.define_global(f"{name}.__memory_base", self.memory)
        self.define_global(f"{name}.__table_base", self.table)
        self.memory += library.memory_bytes + 16  # the last word is zero: what weak symbols point to
        self.table += library.table_entries

    def place_function(self, engine: bytes, name: str) -> int:
        """Give a function of the engine a table entry, so that its address can be taken."""
        kind = wasm.signature(engine, wasm.type_of_export(engine, name))
        self.glue.insert(0, f'(import "env" "{name}" (func ${name}{kind}))')
        self.glue.append(f"(elem (i32.const {self.table}) ${name})")
        self.table += 1
        return self.table - 1

    def define_global(self, name: str, value: int, *, is_mutable: bool = False) -> None:
        kind = "(mut i32)" if is_mutable else "i32"
        self.glue.append(f'(global (export "{name}") {kind} (i32.const {value}))')


def link(stage: Path) -> bytes:
    """The engine, the extensions and the bridge as one module, still to be booted."""
    package = NODE_MODULES / "quickjs-wasi"
    engine = (package / "quickjs.wasm").read_bytes()
    libraries = {name: (package / "extensions" / name / f"{name}.so").read_bytes() for name in EXTENSIONS}
    layout = _Layout(
        memory=wasm.minimum(engine, wasm.Section.MEMORY) * wasm.PAGE_BYTES,
        table=wasm.minimum(engine, wasm.Section.TABLE),
    )
    parts = {"env": engine, "bridge": _bridge(layout)}
    for name, library in libraries.items():
        parts[f"library:{name}"] = _linkable(name, library, engine, layout)
    parts["glue"] = _assemble('(import "env" "__indirect_function_table" (table 1 funcref))', *layout.glue)
    parts["start"] = _starter(libraries)
    merged = _merge(stage, parts)
    merged = wasm.set_minimum(merged, wasm.Section.MEMORY, -(-layout.memory // wasm.PAGE_BYTES))
    return _optimized(stage, wasm.set_minimum(merged, wasm.Section.TABLE, layout.table))


def _bridge(layout: _Layout) -> bytes:
    text = (RUNTIME / "bridge.wat").read_text(encoding="utf-8").replace("@BUFFER", str(_BUFFER_BYTES))
    for name, start in (("BASE", layout.memory), ("TABLE", layout.table)):
        text = re.sub(rf"@{name}(?:\+(\d+))?", lambda match, start=start: str(start + int(match[1] or 0)), text)  # type: ignore[misc]  # a default argument
    layout.memory += _BRIDGE_BYTES
    layout.table += _BRIDGE_FUNCTIONS
    return bytes(wat2wasm(text))


def _linkable(name: str, library: bytes, engine: bytes, layout: _Layout) -> bytes:
    """A dynamic library with every import renamed to where it is defined."""
    offered = {each.name for each in wasm.exports(engine)}
    own = {each.name for each in wasm.exports(library)}
    layout.place(name, wasm.shared_library(library))
    for each in wasm.imports(library):
        if each.module == "GOT.mem":
            layout.define_global(f"{name}.{each.field}", layout.memory - 16, is_mutable=True)
        elif each.module == "GOT.func":
            # A weak symbol that nobody defines is at 0.
            place = layout.place_function(engine, each.field) if each.field in offered else 0
            layout.define_global(f"{name}.{each.field}", place, is_mutable=True)
        elif each.module == "env" and each.kind == "func" and each.field not in offered | own:
            kind = wasm.signature(library, each.type[0])
            layout.glue.append(f'(func (export "{name}.{each.field}"){kind} unreachable)')

    def rename(each: wasm.Import) -> tuple[str, str]:
        if each.module in {"GOT.mem", "GOT.func"} or each.field in {"__memory_base", "__table_base"}:
            return "glue", f"{name}.{each.field}"
        if each.module == "env" and each.kind == "func" and each.field not in offered:
            return (f"library:{name}", each.field) if each.field in own else ("glue", f"{name}.{each.field}")
        return each.module, each.field

    return wasm.rename_imports(library, rename)


def _starter(libraries: Mapping[str, bytes]) -> bytes:
    """One function that does for every library what its package's loader does after instantiation."""
    imports = [
        '(import "env" "qjs_get_context_ptr" (func $context (result i32)))',
        '(import "env" "qjs_get_runtime_ptr" (func $runtime (result i32)))',
    ]
    body = []
    for number, (name, library) in enumerate(libraries.items()):
        own = {each.name for each in wasm.exports(library)}
        for step in ("__wasm_apply_data_relocs", "__wasm_call_ctors"):
            if step in own:
                imports.append(f'(import "library:{name}" "{step}" (func ${step}{number}))')
                body.append(f"(call ${step}{number})")
        imports.append(
            f'(import "library:{name}" "qjs_ext_{name}_init" (func $init{number} (param i32 i32) (result i32)))'
        )
        body.append(f"(if (call $init{number} (call $context) (call $runtime)) (then unreachable))")
    return _assemble(*imports, f'(func (export "perdure_start_libraries") {" ".join(body)})')


def _assemble(*parts: str) -> bytes:
    return bytes(wat2wasm(f"(module {' '.join(parts)})"))


def _merge(stage: Path, parts: Mapping[str, bytes]) -> bytes:
    arguments = []
    for number, (name, content) in enumerate(parts.items()):
        file = stage / f"part{number}.wasm"
        file.write_bytes(content)
        arguments += [str(file), name]
    output = stage / "merged.wasm"
    _run("wasm-merge", *arguments, "--output", str(output), "--rename-export-conflicts", *_FEATURES)
    return output.read_bytes()


def _optimized(stage: Path, module: bytes) -> bytes:
    """The module with the exports that building uses, and without what only the others needed."""
    kept = wasm.set_exports(module, [each for each in wasm.exports(module) if _BUILD_EXPORTS.match(each.name)])
    before, after = stage / "before.wasm", stage / "after.wasm"
    before.write_bytes(kept)
    _run(
        "wasm-opt",
        str(before),
        "--output",
        str(after),
        "--simplify-globals",
        "--remove-unused-module-elements",
        *_FEATURES,
    )
    for each in wasm.imports(after.read_bytes()):
        if each.module not in {"env", "wasi_snapshot_preview1", "perdure"}:
            raise ValueError(f"`{each.module}` `{each.field}` is left to be linked")
    return after.read_bytes()


# ── boot and bake ────────────────────────────────────────────────────────────────────────────────────────────


def booted(linked: bytes, runtime: bytes) -> bytes:
    """The image: `linked` with the memory it has after `runtime` has run in it."""
    changing = wasm.mutable_globals(linked)
    names = {index: f"global:{index}" for index in changing}
    visible = wasm.set_exports(
        linked, [*wasm.exports(linked), *(wasm.Export(name, "global", index) for index, name in names.items())]
    )
    compiler, boot = _Boot(visible), _Boot(visible)  # two: what is compiled stays known to its compiler
    boot.run(runtime, compiler)
    memory = boot.memory.read(boot.store)
    values = {index: boot.read_global(name) for index, name in names.items()}
    image = wasm.bake(linked, bytes(memory), values)
    return wasm.set_exports(image, [each for each in wasm.exports(image) if each.name in _HOST_EXPORTS])


# Asked for by the C library and by QuickJS when they initialise (a canary, the seed of their own `Math.random`, which
# our runtime replaces). They get nothing, so that the same sources always give the same image.
_HARMLESS_IMPORTS: Final = frozenset({"wasi_snapshot_preview1.clock_time_get", "wasi_snapshot_preview1.random_get"})


class _Boot:
    """An instance of the linked module while it is prepared. It may ask its host for nothing: that would stay in it."""

    def __init__(self, module: bytes) -> None:
        engine = Engine()
        self.store = Store(engine)
        compiled = Module(engine, module)
        self._exports = Instance(self.store, compiled, [self._refusal(each) for each in compiled.imports]).exports(
            self.store
        )
        memory = self._exports["memory"]
        assert isinstance(memory, Memory)
        self.memory = memory
        self._call("_initialize")
        if self._call("qjs_init"):
            raise ValueError("QuickJS could not be initialised")

    def _refusal(self, wanted: object) -> Func:
        kind, name = wanted.type, f"{wanted.module}.{wanted.name}"  # type: ignore[attr-defined]  # an ImportType
        assert isinstance(kind, FuncType)
        results = len(kind.results)

        def refuse(*_arguments: object) -> int | None:
            if name in _HARMLESS_IMPORTS:
                return 0
            raise Trap(f"the runtime asked its host for `{name}` while it was booted")

        return Func(self.store, kind, refuse if results else lambda *_: None)

    def _call(self, name: str, *arguments: int) -> int:
        function = self._exports[name]
        assert isinstance(function, Func)
        result = function(self.store, *arguments)
        return result if isinstance(result, int) else 0

    def read_global(self, name: str) -> int:
        value = self._exports[name].value(self.store)  # type: ignore[union-attr]  # a Global
        assert isinstance(value, int)
        return value

    def compile(self, source: bytes, module: str = RUNTIME_MODULE) -> bytes:
        """The bytecode of a module, which keeps line numbers but no source text."""
        text, name, size = self._copy(source + b"\0"), self._copy(module.encode() + b"\0"), self._copy(bytes(4))
        code = self._call(
            "qjs_compile", text, len(source), name, _EVALUATE_MODULE, _WRITE_BYTECODE_WITHOUT_SOURCE, size
        )
        if not code:
            raise ValueError(f"the runtime does not compile: {self._text(self._call('qjs_get_exception'))}")
        return bytes(self.memory.read(self.store, code, code + self._u32(size)))

    def run(self, runtime: bytes, compiler: _Boot) -> None:
        """Bring the instance to where every guest starts."""
        self._call("qjs_set_module_loader", 1)
        self._call("perdure_start_libraries")
        self._call("perdure_install")
        self._run_module(compiler.compile(runtime))
        for name, source in self._builtin_modules().items():
            self._run_module(compiler.compile(source.encode(), name))
        self._call("perdure_bind")
        self._evaluate(
            "delete globalThis.__perdure_enter; delete globalThis.__perdure_rejected;"
            "delete globalThis.__perdure_builtins;"
        )
        self._call("qjs_run_gc")
        self._call("qjs_set_gc_threshold", self._heap_bytes() + _COLLECTION_HEADROOM_BYTES)
        print(f"javascript: {self._make_immortal()} objects are immortal")

    def _builtin_modules(self) -> dict[str, str]:
        """A module for each of Node's that the runtime has, which exports what is there."""
        names = "Object.entries(__perdure_builtins).map(([name, module]) => [name, Object.keys(module)])"
        modules = json.loads(self._evaluate(f"JSON.stringify({names})"))
        return {
            f"node:{name}": f"const module = __perdure_builtins[{json.dumps(name)}]; export default module.default;"
            f"export const {{ {', '.join(export for export in exports if export != 'default')} }} = module;"
            for name, exports in modules
        }

    def _run_module(self, bytecode: bytes) -> None:
        code = self._copy(bytecode)
        result = self._call("qjs_eval_bytecode", code, len(bytecode))
        while self._call("qjs_is_job_pending"):
            self._call("qjs_execute_pending_job")
        if self._call("qjs_is_exception", result):
            raise ValueError(f"the runtime does not start: {self._text(self._call('qjs_get_exception'))}")
        if self._call("qjs_promise_state", result) != _FULFILLED:
            raise ValueError(f"the runtime does not start: {self._text(self._call('qjs_promise_result', result))}")
        self._call("qjs_free_value", result)
        self._call("free", code)

    def _evaluate(self, source: str) -> str:
        """The text of a script's value."""
        text, name = self._copy(source.encode() + b"\0"), self._copy(b"boot\0")
        result = self._call("qjs_eval", text, len(source), name, 0)
        if self._call("qjs_is_exception", result):
            raise ValueError(self._text(self._call("qjs_get_exception")))
        value = self._string(result)
        self._call("qjs_free_value", result)
        for copy in (text, name):
            self._call("free", copy)
        return value

    def _make_immortal(self) -> int:
        """Hide the objects that there are from collections; how many.

        A collection walks the runtime's list of objects, counts the references between those, and writes to each: in an
        instance that would copy the whole snapshot into private pages. What is not on the list is held by somebody for
        all that a collection can tell, and so is what it refers to. The objects stay linked with each other: one that
        is freed in spite of that, because its count of references says so, takes itself out of the ring.
        """
        head, length = self._object_list()
        last, first = self._u32(head), self._u32(head + 4)
        for address, value in ((first, last), (last + 4, first), (head, head), (head + 4, head)):
            self.memory.write(self.store, value.to_bytes(4, "little"), address)
        return length

    def _object_list(self) -> tuple[int, int]:
        """Where in QuickJS's runtime the head of the list of all objects is, and its length.

        It stands between the list of contexts, which has one, and two that are empty while nothing is freed.
        """
        runtime = self._call("qjs_get_runtime_ptr")
        found = []
        for head in range(runtime + 8, runtime + _RUNTIME_BYTES, 4):
            length = self._length_of_list(head)
            around = [self._length_of_list(head + distance) for distance in (-8, 8, 16)]
            if length is not None and length >= _OBJECTS_MIN and around == [1, 0, 0]:
                found.append((head, length))
        if len(found) != 1:
            raise ValueError(f"QuickJS's list of all objects was not found where it was: {found}")
        return found[0]

    def _length_of_list(self, head: int) -> int | None:
        """How many links a ring has in which each knows the one before and the one after; None when it is none."""
        size = self.memory.data_len(self.store)
        length, place = 0, head
        while True:
            following = self._u32(place + 4)
            if not 0 < following < size - 8 or self._u32(following) != place:
                return None
            if following == head:
                return length
            length, place = length + 1, following

    def _heap_bytes(self) -> int:
        """How much JavaScript's heap holds.

        A collection writes to every object. At QuickJS's own threshold, which is less than our runtime's heap, the
        first allocation of each guest would collect, and copy the whole snapshot into private pages.
        """
        counters = self._copy(bytes(_COUNTERS_BYTES))
        self._call("qjs_compute_memory_usage", counters)
        heap = self._u32(counters)
        self._call("free", counters)
        return heap

    def _text(self, value: int) -> str:
        stack = self._call("qjs_get_prop_string", value, self._copy(b"stack\0"))
        return f"{self._string(value)}\n{self._string(stack)}"

    def _string(self, value: int) -> str:
        address = self._call("qjs_get_string", value)
        return bytes(self.memory.read(self.store, address, address + _TEXT_BYTES_MAX)).split(b"\0", 1)[0].decode()

    def _copy(self, content: bytes) -> int:
        address = self._call("malloc", len(content))
        self.memory.write(self.store, content, address)
        return address

    def _u32(self, address: int) -> int:
        return int.from_bytes(self.memory.read(self.store, address, address + 4), "little")
