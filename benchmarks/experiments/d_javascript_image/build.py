"""Build the images: bundle (esbuild), link, boot once, bake the memory back into the module, compile ahead of time."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import host
import link
import wasmfile as w
from wasmtime import Module

HERE = Path(__file__).parent
BUILD = HERE / "build"
GC_HEADROOM = 512 << 10
ALL = ["url", "encoding", "headers", "crypto"]
VARIANTS = {  # name: (JavaScript entry, C extensions)
    "min": ("min", []),
    "libs": ("libs", []),
    "corejs": ("corejs", []),
    "native": ("native", ALL),
    "native-crypto": ("native", [x for x in ALL if x != "crypto"]),
    "native+c-clone": ("cclone", [*ALL, "structured-clone"]),
    "native+core-clone": ("clone", ALL),
    "native+streams": ("streams", ALL),
    "full": ("full", ALL),
}


def bundle(entry: str) -> bytes:
    out = BUILD / f"{entry}.js"
    subprocess.run(
        [
            str(HERE / "node_modules/.bin/esbuild"),
            str(HERE / f"js/{entry}.js"),
            "--bundle",
            "--format=esm",
            "--external:node:*",
            "--target=es2023",
            "--minify-syntax",
            "--minify-whitespace",
            "--log-level=error",
            f"--outfile={out}",
        ],
        check=True,
    )
    return out.read_bytes()


def build(name: str) -> None:
    entry, extensions = VARIANTS[name]
    t = time.perf_counter()
    js, linked, e = bundle(entry), BUILD / f"{name}.linked.wasm", host.engine()
    link.link(*link.package(extensions), linked)
    wasm = w.export_globals(linked.read_bytes())
    m = Module(e, wasm)
    pre = host.linker(e).instantiate_pre(m)
    iso = Boot(e, pre)
    iso.boot(Boot(e, pre).compile(js))
    ex = iso.inst.exports(iso.store)
    live = {int(g.name[7:]): ex[g.name].value(iso.store) for g in m.exports if g.name.startswith("global:")}
    iso.map()
    baked = w.bake(linked.read_bytes(), bytes(iso.mv), live)
    (BUILD / f"{name}.wasm").write_bytes(baked)
    t2 = time.perf_counter()
    (BUILD / f"{name}.cwasm").write_bytes(Module(e, baked).serialize())
    print(
        f"{name:16} js {len(js) / 1e3:6.0f} kB  linked {len(wasm) / 1e3:5.0f}  baked {len(baked) / 1e3:5.0f}  cwasm {(BUILD / f'{name}.cwasm').stat().st_size / 1e3:5.0f}"
        f"  memory {iso.size >> 10} KiB, heap {iso.heap >> 10}  entropy used while booting {iso.entropy}  build {t2 - t:.1f} s  compile {time.perf_counter() - t2:.1f} s"
    )


class Boot(host.Isolate):
    def compile(self, js: bytes) -> bytes:
        """Bytecode without the source text that functions keep for toString(); line numbers stay."""
        self.fn("_initialize")
        assert self.fn("qjs_init") == 0
        src, name, n = self.new_bytes(js + b"\0"), self.new_bytes(b"perdure:prelude\0"), self.new_bytes(b"\0" * 4)
        p = self.fn("qjs_compile", src, len(js), name, 1, 16, n)
        if not p:
            raise SystemExit(self.text(self.fn("qjs_get_exception")))
        return self.read(p, int.from_bytes(self.read(n, 4), "little"))

    def boot(self, js: bytes) -> None:
        self.fn("_initialize")
        assert self.fn("qjs_init") == 0
        self.fn("qjs_set_module_loader", 1)
        self.fn("ext_init")
        self.fn("perdure_install")
        code = self.new_bytes(js)  # bytecode from compile()
        r = self.fn("qjs_eval_bytecode", code, len(js))
        for _ in range(1000):
            if not self.fn("qjs_is_job_pending"):
                break
            self.fn("qjs_execute_pending_job")
        if self.fn("qjs_is_exception", r):
            raise SystemExit(self.text(self.fn("qjs_get_exception")))
        if self.fn("qjs_promise_state", r) != 1:
            raise SystemExit("prelude: " + self.text(self.fn("qjs_promise_result", r)))
        self.fn("qjs_free_value", r)
        self.fn("free", code)
        self.fn("perdure_bind")
        self.fn("qjs_run_gc")
        # A collection writes to every object, so it turns shared pages of the snapshot into private ones. The default
        # threshold (256 KiB) may be close to the prelude's own heap: leave room, so that small apps never collect.
        out = self.new_bytes(bytes(26 * 8))
        self.fn("qjs_compute_memory_usage", out)
        self.heap = int.from_bytes(self.read(out, 8), "little")
        self.fn("free", out)
        self.fn("qjs_set_gc_threshold", self.heap + GC_HEADROOM)
        self.map()
        self.mv[host.OUT : host.OUT + host.CAP] = bytes(host.CAP)  # leave no build-time bytes in the buffer

    def text(self, v: int) -> str:
        s = self.new_bytes(b"stack\0")
        return (
            self.cstr(self.fn("qjs_get_string", v)).decode()
            + "\n"
            + self.cstr(self.fn("qjs_get_string", self.fn("qjs_get_prop_string", v, s))).decode()
        )


if __name__ == "__main__":
    BUILD.mkdir(exist_ok=True)
    for v in sys.argv[1:] or VARIANTS:
        build(v)
