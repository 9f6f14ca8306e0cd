"""Link quickjs.wasm, chosen C extensions of the same package and shim.wat into one plain core module.

The extensions are shared libraries (dylink.0). Their package loads them with a JavaScript dynamic linker, one wasm instance each.
Here they are linked once, at build time: static memory goes behind the main module's first pages, table slots behind its table,
relocations and constructors run before the snapshot. What comes out has one memory, one table and one instance.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import wasmfile as w
import wasmtime

HERE = Path(__file__).parent
NODE = HERE / "node_modules"
PAGE, BUFFER = 65536, 60_000
FEATURES = [
    "--enable-" + f
    for f in "extended-const mutable-globals bulk-memory bulk-memory-opt sign-ext nontrapping-float-to-int multivalue reference-types gc".split()
]
KEEP = re.compile(r"memory$|__stack_pointer$|_initialize$|malloc$|free$|qjs_|perdure_|ext_|JS_SetMaxStackSize$")


def signature(b: bytes, index: int) -> str:
    s = dict(w.sections(b))[1]
    n, i = w.uleb(s, 0)
    names = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64"}
    for k in range(n):
        assert s[i] == 0x60
        i += 1
        part = []
        for _ in range(2):
            c, i = w.uleb(s, i)
            part.append([names[x] for x in s[i : i + c]])
            i += c
        if k == index:
            return "".join(f" (param {x})" for x in part[0]) + "".join(f" (result {x})" for x in part[1])
    raise ValueError(index)


def link(main: bytes, extensions: dict[str, bytes], out: Path) -> None:
    out.parent.mkdir(exist_ok=True)
    names = {n for n, _ in w.exports(main)}
    memory, table = w.minimum(main, w.MEMORY) * PAGE, w.minimum(main, w.TABLE)
    base = memory
    shim = (HERE / "shim.wat").read_text().replace("@BUFFER", str(BUFFER)).replace("@TABLE", str(table))
    shim = re.sub(r"@BASE(?:\+(\d+))?", lambda m: str(base + int(m[1] or 0)), shim)
    memory += PAGE
    table += 1
    glue, files, calls = [], [("quickjs", main, "env"), ("shim", bytes(wasmtime.wat2wasm(shim)), "perdure_shim")], []
    for name, b in extensions.items():
        info, own = w.dylink(b), {n for n, _ in w.exports(b)}
        memory = -(-memory // 16) * 16
        glue.append(f'(global (export "{name}.__memory_base") i32 (i32.const {memory}))')
        glue.append(f'(global (export "{name}.__table_base") i32 (i32.const {table}))')
        memory += info["mem"] + 16
        table += info["table"]
        for mod, field, kind, ty in w.imports(b):
            key = f"{name}.{field}"
            if mod == "GOT.mem":
                glue.append(f'(global (export "{key}") (mut i32) (i32.const {memory - 16}))')
            elif mod == "GOT.func":
                if field in names:
                    idx = next((i for i, g in enumerate(glue) if g.startswith(f'(import "env" "{field}"')), None)
                    assert idx is None
                    glue.insert(0, f'(import "env" "{field}" (func ${field}{signature(main, main_type(main, field))}))')
                    glue.append(f"(elem (i32.const {table}) ${field})")
                    glue.append(f'(global (export "{key}") (mut i32) (i32.const {table}))')
                    table += 1
                else:
                    glue.append(f'(global (export "{key}") (mut i32) (i32.const 0))')
            elif mod == "env" and kind == "func" and field not in names and field not in own:
                glue.append(f'(func (export "{key}"){signature(b, w.uleb(ty, 0)[0])} unreachable)')

        def place(mod: str, field: str, kind: str, name: str = name, own: set[str] = own) -> tuple[str, str]:
            if mod in ("GOT.mem", "GOT.func") or field in ("__memory_base", "__table_base"):
                return "glue", f"{name}.{field}"
            if mod == "env" and kind == "func" and field not in names:
                return (f"ext_{name}", field) if field in own else ("glue", f"{name}.{field}")
            return mod, field

        files.append((name, w.rename_imports(b, place), f"ext_{name}"))
        init = "qjs_ext_" + name.replace("-", "_") + "_init"
        calls.append((name, "__wasm_apply_data_relocs" in own, "__wasm_call_ctors" in own, init))
    glue.insert(0, '(import "env" "__indirect_function_table" (table 1 funcref))')
    files.append(("glue", bytes(wasmtime.wat2wasm("(module " + "\n".join(glue) + ")")), "glue"))
    # one function that does what the JavaScript loader does after instantiation
    init = [
        '(import "env" "qjs_get_context_ptr" (func $c (result i32)))',
        '(import "env" "qjs_get_runtime_ptr" (func $r (result i32)))',
    ]
    body = []
    for k, (name, relocs, ctors, fn) in enumerate(calls):
        for flag, f in ((relocs, "__wasm_apply_data_relocs"), (ctors, "__wasm_call_ctors")):
            if flag:
                init.append(f'(import "ext_{name}" "{f}" (func ${f}{k}))')
                body.append(f"(call ${f}{k})")
        init.append(f'(import "ext_{name}" "{fn}" (func $i{k} (param i32 i32) (result i32)))')
        body.append(f"(if (call $i{k} (call $c) (call $r)) (then unreachable))")
    files.append(
        (
            "init",
            bytes(
                wasmtime.wat2wasm("(module " + "\n".join(init) + '(func (export "ext_init") ' + " ".join(body) + "))")
            ),
            "init",
        )
    )
    args = []
    tmp = out.parent / "link"
    tmp.mkdir(exist_ok=True)
    for name, b, as_ in files:
        (tmp / f"{name}.wasm").write_bytes(b)
        args += [str(tmp / f"{name}.wasm"), as_]
    merged = tmp / "merged.wasm"
    run("wasm-merge", *args, "-o", str(merged), "--rename-export-conflicts", *FEATURES)
    b = merged.read_bytes()
    b = w.set_minimum(w.set_minimum(b, w.MEMORY, -(-memory // PAGE)), w.TABLE, table)
    merged.write_bytes(w.keep_exports(b, lambda n: KEEP.match(n) is not None))
    run("wasm-opt", str(merged), "-o", str(out), "--simplify-globals", "--remove-unused-module-elements", *FEATURES)
    for mod, field, _, _ in w.imports(out.read_bytes()):
        assert mod in ("env", "wasi_snapshot_preview1", "perdure") and "ext" not in field, (mod, field)


def main_type(main: bytes, export: str) -> int:
    secs = dict(w.sections(main))
    s = secs[w.EXPORT]
    n, i = w.uleb(s, 0)
    for _ in range(n):
        name, i = w._name(s, i)
        idx, i = w.uleb(s, i + 1)
        if name == export:
            nimp = sum(k == "func" for _, _, k, _ in w.imports(main))
            f = secs[3]
            _, j = w.uleb(f, 0)
            for _ in range(idx - nimp + 1):
                t, j = w.uleb(f, j)
            return t
    raise KeyError(export)


def run(tool: str, *args: str) -> None:
    r = subprocess.run([str(NODE / ".bin" / tool), *args], capture_output=True, text=True)
    if r.returncode:
        raise SystemExit(f"{tool}: {r.stderr[-2000:]}")


def package(names: list[str]) -> tuple[bytes, dict[str, bytes]]:
    p = NODE / "quickjs-wasi"
    return (p / "quickjs.wasm").read_bytes(), {n: (p / "extensions" / n / f"{n}.so").read_bytes() for n in names}


if __name__ == "__main__":
    link(*package(sys.argv[2:]), Path(sys.argv[1]))
