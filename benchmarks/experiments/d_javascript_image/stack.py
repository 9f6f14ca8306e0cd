"""Which pair (max_wasm_stack, qjs_set_max_stack_size) turns every deep recursion into a catchable RangeError on which thread stack?"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

BUILD = Path(__file__).parent / "build"
CASES = {
    "function": "(function f(){f()})()",
    "args": "(function f(...a){return f(...a,1)})()",
    "method": "({m(){return this.m()}}).m()",
    "getter": "({get a(){return this.a}}).a",
    "closure": "(f=>f(f))(f=>f(f))",
    "class": "(class A{constructor(){new A}}) && new (class A{constructor(){new A}})",
    "generator": "(function*g(){yield*g()})().next()",
    "async": "(async function f(){await f()})().catch(e=>globalThis.e=e), (()=>{throw new RangeError('async')})()",
    "proxy": "(()=>{const p=new Proxy({},{get(t,k,r){return r[k]}});return p.x})()",
    "sort": "(function f(){[2,1].sort(()=>f())})()",
    "map": "(function f(){[1].map(f)})()",
    "replace": "(function f(){'a'.replace(/a/,f)})()",
    "toString": "(()=>{const o={toString(){return ''+o}};return ''+o})()",
    "valueOf": "(()=>{const o={valueOf(){return +o}};return +o})()",
    "json": "JSON.parse('['.repeat(1e6))",
    "stringify": "(()=>{let a=[];for(let i=0;i<1e5;i++)a=[a];return JSON.stringify(a)})()",
    "toJSON": "(()=>{const o={toJSON(){return JSON.stringify(o)}};return JSON.stringify(o)})()",
    "parens": "eval('('.repeat(1e6))",
    "arrays": "eval('['.repeat(1e6))",
    "blocks": "eval('{'.repeat(1e6))",
    "unary": "eval('!'.repeat(1e6)+'1')",
    "template": "eval('`${'.repeat(1e5))",
    "functions": "eval('function f(){'.repeat(1e5))",
    "regexp": "new RegExp('('.repeat(1e6))",
    "regexec": "/^(?:(a)|b)*$/.test('a'.repeat(1e6)) || (()=>{throw new RangeError('fine')})()",
    "clone": "(()=>{let a=[];for(let i=0;i<1e5;i++)a=[a];return structuredClone(a)})()",
    "free": "(()=>{let a={};for(let i=0;i<1e6;i++)a={a};a=null;throw new RangeError('freed')})()",
    "flat": "(()=>{let a=[];for(let i=0;i<1e5;i++)a=[a];return a.flat(Infinity)})()",
    "bind": "(()=>{let f=()=>1;for(let i=0;i<1e5;i++)f=f.bind();return f()})()",
    "depth": "{let d=0;const f=()=>{d++;f()};try{f()}catch(e){throw new RangeError(d+' arrow frames')}}",
    "hostcall": "(function f(){ globalThis.crypto?.randomUUID?.(); f()})()",
    "import": "(function f(){import('x'+Math.random());f()})()",
}
WRAP = "(()=>{try{%s}catch(e){return 'caught '+e.name+' '+String(e.message).slice(0,30)}return 'returned'})()"


def child(spec: dict) -> None:
    import host
    from wasmtime import Module

    name = spec["image"]
    e = host.engine(spec["wasm"])
    cw = BUILD / f"{name}.cwasm"
    pre = host.linker(e).instantiate_pre(Module.deserialize_file(e, str(cw)))

    def go() -> None:
        iso = host.Isolate(e, pre, memory=128 << 20, qjs_stack=spec["qjs"])
        try:
            r = (iso.enter(9, (WRAP % CASES[spec["case"]]).encode()) or b"").decode()
        except RuntimeError as x:
            r = "threw " + str(x)[:60]
        except Exception as x:
            r = "TRAP " + str(x).strip().splitlines()[-1][:80]
        print(r)

    if spec["thread"]:
        threading.stack_size(spec["thread"])
        t = threading.Thread(target=go)
        t.start()
        t.join()
    else:
        go()


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(json.loads(sys.argv[2]))
    else:
        M = 1 << 20
        PAIRS = (
            (0, 512 << 10, 0),
            (0, 4 * M, 256 << 10),
            (0, 4 * M, 160 << 10),
            (8 * M, 4 * M, 160 << 10),
            (16 * M, 4 * M, 160 << 10),
            (0, 6 * M, 256 << 10),
            (16 * M, 8 * M, 320 << 10),
        )
        for thread, wasm, qjs in [(t, w, q) for t, w, q in PAIRS]:
            tally: dict[str, list[str]] = {}
            for c in CASES:
                p = subprocess.run(
                    [
                        sys.executable,
                        __file__,
                        "--child",
                        json.dumps({"image": sys.argv[1], "thread": thread, "wasm": wasm, "qjs": qjs, "case": c}),
                    ],
                    capture_output=True,
                    text=True,
                )
                r = f"DIED {p.returncode}" if p.returncode else p.stdout.strip()
                key = (
                    "RangeError"
                    if r.startswith("caught RangeError")
                    else "other error"
                    if r.startswith(("caught", "threw"))
                    else "trap"
                    if r.startswith("TRAP")
                    else r
                )
                tally.setdefault(key, []).append(c if key in ("RangeError",) else f"{c}({r[:60]})")
            depth = subprocess.run(
                [
                    sys.executable,
                    __file__,
                    "--child",
                    json.dumps({"image": sys.argv[1], "thread": thread, "wasm": wasm, "qjs": qjs, "case": "depth"}),
                ],
                capture_output=True,
                text=True,
            ).stdout.strip()
            print(
                f"thread {'main 8M' if not thread else thread >> 20}, max_wasm_stack {wasm >> 10}K, qjs {qjs >> 10}K:",
                {k: len(v) for k, v in tally.items()},
                depth,
            )
            for k, v in tally.items():
                if k not in ("RangeError",):
                    print("    ", k, "; ".join(v))
