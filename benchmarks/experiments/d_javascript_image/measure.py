"""Measure every built image. Each variant runs in its own process; run under a lock when the machine is shared."""

from __future__ import annotations

import json
import statistics as st
import subprocess
import sys
import time
from pathlib import Path

BUILD = Path(__file__).parent / "build"
VARIANTS = [
    "min",
    "libs",
    "corejs",
    "native",
    "native-crypto",
    "native+c-clone",
    "native+core-clone",
    "native+streams",
    "full",
]
RICH = b"""
  import { DurableObject } from "cloudflare:workers";
  export class App extends DurableObject {
    fetch(request) {
      const u = new URL(request.url), n = Number(u.searchParams.get("by") ?? 1);
      const c = (this.ctx.storage.kv.get("counter") ?? 0) + n;
      this.ctx.storage.kv.put("counter", c);
      return Response.json({ path: u.pathname, c, agent: request.headers.get("user-agent") }, { headers: { "x-count": String(c) } });
    }
  }
"""
OPS = {  # one operation, in guest microseconds
    "url_us": "new URL('https://example.com/a/b?by=2&x=y').searchParams.get('by')",
    "headers_us": "new Headers([['user-agent','x'],['accept','*/*'],['host','example.com']]).get('accept')",
    "clone_us": "structuredClone({a:[1,2,{b:'c'}],d:new Date(0),m:new Map([[1,2]])})",
    "utf8_1k_us": "new TextDecoder().decode(new TextEncoder().encode(K))",
}
RICH_REQUEST = b'{"id":"1","method":"GET","url":"https://example.com/a/b?by=2","headers":[["user-agent","x"],["accept","*/*"],["host","example.com"],["accept-encoding","gzip"]]}'


def private_kb() -> tuple[int, int]:
    d = dict(x.split()[:2] for x in open("/proc/self/smaps_rollup").read().splitlines()[1:] if ":" in x)
    return int(d["Private_Clean:"]) + int(d["Private_Dirty:"]), int(d["Pss:"])


def per(n: int, rounds: int, f) -> float:
    r = []
    for _ in range(rounds):
        t = time.perf_counter()
        for _ in range(n):
            f()
        r.append((time.perf_counter() - t) / n * 1e6)
    return st.median(r)


def one(name: str) -> dict[str, object]:
    import host
    from wasmtime import Module

    e = host.engine()
    t = time.perf_counter()
    m = Module.deserialize_file(e, str(BUILD / f"{name}.cwasm"))
    open_ms = (time.perf_counter() - t) * 1e3
    pre = host.linker(e).instantiate_pre(m)
    rich = name != "min"
    out: dict[str, object] = {
        "variant": name,
        "wasm_kb": (BUILD / f"{name}.wasm").stat().st_size // 1000,
        "cwasm_kb": (BUILD / f"{name}.cwasm").stat().st_size // 1000,
        "open_ms": round(open_ms, 2),
    }

    def cold(i: int, keep: list) -> tuple[float, float]:
        t0 = time.perf_counter()
        iso = host.Isolate(e, pre)
        t1 = time.perf_counter()
        iso.load(host.AGENT_CODE + b"// %d" % i)
        assert b"made 1 req" in iso.enter(1, host.REQUEST)
        t2 = time.perf_counter()
        keep.append(iso)
        return (t1 - t0) * 1e3, (t2 - t0) * 1e3

    reuse = []
    for i in range(60):
        k: list = []
        reuse.append(cold(i, k))
        k[0].close()
    a, keep = private_kb(), []
    fresh = [cold(i, keep) for i in range(200)]
    b = private_kb()
    out |= {
        "instantiate_ms": round(st.median(x[0] for x in reuse), 3),
        "cold_ms": round(st.median(x[1] for x in reuse), 3),
        "cold_fresh_ms": round(st.median(x[1] for x in fresh), 3),
        "private_kb": round((b[0] - a[0]) / 200),
        "pss_kb": round((b[1] - a[1]) / 200),
    }
    iso = keep[0]
    out["request_us"] = round(per(2000, 9, lambda: iso.enter(1, host.REQUEST)), 1)
    if rich:
        iso = host.Isolate(e, pre)
        iso.load(RICH)
        assert b'\\"path\\":\\"/a/b\\"' in iso.enter(1, RICH_REQUEST), iso.enter(1, RICH_REQUEST)
        out["rich_request_us"] = round(per(1000, 9, lambda: iso.enter(1, RICH_REQUEST)), 1)
        for key, src in OPS.items():
            iso.enter(9, f"globalThis.K='ä'.repeat(500);globalThis.T=(n)=>{{for(let i=0;i<n;i++){{{src}}}}};0".encode())
            out[key] = round(per(1, 9, lambda: iso.enter(9, b"T(2000)")) / 2000, 2)
    bare = host.Isolate(e, pre)
    out["empty_turn_us"] = round(per(3000, 9, lambda: bare.enter(7, b"x")), 2)
    for i in keep:
        i.close()
    return out


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "--one":
        print(json.dumps(one(sys.argv[2])))
    else:
        rows = [
            json.loads(
                subprocess.run(
                    [sys.executable, __file__, "--one", v], check=True, capture_output=True, text=True
                ).stdout
            )
            for v in sys.argv[1:] or VARIANTS
        ]
        keys = list(rows[-1])
        print(" | ".join(keys))
        for r in rows:
            print(" | ".join(str(r.get(k, "-")) for k in keys))
