"""The host side of the experiment: the linked image on wasmtime's C API, through ctypes. Not production code."""

from __future__ import annotations

import ctypes
import os
import time
from ctypes import POINTER, c_size_t, c_void_p

import wasmtime
from wasmtime import Config, Engine, FuncType, Linker, Store, ValType
from wasmtime import _ffi as ffi

raw = ctypes.CDLL(ffi.dll._name)


class Val(ctypes.Union):
    _fields_ = [
        ("i32", ctypes.c_int32),
        ("u32", ctypes.c_uint32),
        ("i64", ctypes.c_int64),
        ("pad", ctypes.c_uint8 * 16),
    ]


CALLBACK = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, POINTER(Val), c_size_t)
for name, res, args in (
    (
        "wasmtime_linker_define_func_unchecked",
        c_void_p,
        [c_void_p, ctypes.c_char_p, c_size_t, ctypes.c_char_p, c_size_t, c_void_p, CALLBACK, c_void_p, c_void_p],
    ),
    ("wasmtime_func_call_unchecked", c_void_p, [c_void_p, c_void_p, c_void_p, c_size_t, c_void_p]),
    ("wasmtime_caller_context", c_void_p, [c_void_p]),
    ("wasmtime_memory_data", c_void_p, [c_void_p, c_void_p]),
    ("wasmtime_memory_data_size", c_size_t, [c_void_p, c_void_p]),
):
    f = getattr(raw, name)
    f.restype, f.argtypes = res, args
CALL = raw.wasmtime_func_call_unchecked
LIVE: dict[int, Isolate] = {}
KEEP: list[object] = []
BASE = 18 * 65536  # where link.py puts the shim's memory
OUT = BASE + 128
CAP = 60_000
TYPES = {"i": ValType.i32, "I": ValType.i64}


def engine(max_wasm_stack: int | None = None) -> Engine:
    c = Config()
    c.epoch_interruption = True
    if max_wasm_stack:
        ffi.wasmtime_config_async_stack_size_set(c.ptr(), max_wasm_stack + (2 << 20))
        c.max_wasm_stack = max_wasm_stack
    return Engine(c)


def linker(e: Engine) -> Linker:
    l = Linker(e)
    context = raw.wasmtime_caller_context

    def define(mod: str, name: str, params: str, result: str, fn) -> None:
        cb = CALLBACK(fn)
        ft = FuncType([TYPES[x]() for x in params], [TYPES[x]() for x in result])
        KEEP.extend((cb, ft))
        err = raw.wasmtime_linker_define_func_unchecked(
            ctypes.cast(l.ptr(), c_void_p),
            mod.encode(),
            len(mod),
            name.encode(),
            len(name),
            ctypes.cast(ft.ptr(), c_void_p),
            cb,
            None,
            None,
        )
        assert not err

    def call(env, caller, a, n):
        iso = LIVE[context(caller)]
        try:
            v = a[0]
            op, p1, n1, p2, n2 = v.i32, a[1].u32, a[2].u32, a[3].u32, a[4].u32
            a[0].i32 = iso.on_call(op, p1, n1, p2, n2)
        except BaseException as x:  # never let it unwind into wasm
            iso.error = x
            a[0].i32 = iso.give(repr(x).encode(), 3)
        return 0

    def classic(env, caller, a, n):
        raise AssertionError("host_call is not used")

    def normalize(env, caller, a, n):
        iso = LIVE[context(caller)]
        a[0].u32 = iso.new_bytes(iso.cstr(a[1].u32) + b"\0")
        return 0

    def load(env, caller, a, n):
        iso = LIVE[context(caller)]
        src = iso.modules.get(iso.cstr(a[0].u32))
        if src is None:
            a[0].u32 = 0
            return 0
        iso.write(a[1].u32, len(src).to_bytes(4, "little"))
        a[0].u32 = iso.new_bytes(src + b"\0")
        return 0

    def rejection(env, caller, a, n):
        iso = LIVE[context(caller)]
        p, r = a[0].u32, a[1].u32
        iso.fn("qjs_free_value", p)
        iso.fn("qjs_free_value", r)
        return 0

    def clock(env, caller, a, n):
        iso = LIVE[context(caller)]
        iso.write(a[2].u32, (time.time_ns() // 1_000_000 * 1_000_000).to_bytes(8, "little"))
        a[0].i32 = 0
        return 0

    def random(env, caller, a, n):
        iso = LIVE[context(caller)]
        iso.entropy += 1
        iso.write(a[0].u32, os.urandom(a[1].u32))
        a[0].i32 = 0
        return 0

    def zero(env, caller, a, n):
        a[0].i64 = 0
        return 0

    def nosys(env, caller, a, n):
        a[0].i32 = 52
        return 0

    define("perdure", "call", "iiiii", "i", call)
    define("env", "host_call", "iiiii", "i", classic)
    define("env", "host_module_normalize", "ii", "i", normalize)
    define("env", "host_module_load", "ii", "i", load)
    define("env", "host_get_timezone_offset", "ii", "i", zero)
    define("env", "host_interrupt", "", "i", zero)
    define("env", "host_promise_rejection", "iii", "", rejection)
    w = "wasi_snapshot_preview1"
    define(w, "clock_time_get", "iIi", "i", clock)
    define(w, "random_get", "ii", "i", random)
    for name, params in (("fd_close", "i"), ("fd_fdstat_get", "ii"), ("fd_seek", "iIii"), ("fd_write", "iiii")):
        define(w, name, params, "i", nosys)
    return l


class Isolate:
    def __init__(
        self,
        e: Engine,
        pre,
        kv=None,
        memory: int | None = None,
        epoch: int = 10**9,
        qjs_limit: int = 0,
        qjs_stack: int = 0,
    ):
        s = self.store = Store(e)
        s.set_epoch_deadline(epoch)
        if memory:
            s.set_limits(memory_size=memory)
        self.ctx = ctypes.cast(s._context(), c_void_p).value
        LIVE[self.ctx] = self
        self.inst = pre.instantiate(s)
        self.fns: dict[str, tuple] = {}
        self._mem = ffi.wasmtime_memory_t.from_buffer_copy(self.export("memory").memory)
        self.pm = ctypes.addressof(self._mem)
        self.args = (Val * 6)()
        self.trap = c_void_p()
        self.pt = ctypes.addressof(self.trap)
        self.map()
        self.kv = {} if kv is None else kv
        self.modules: dict[bytes, bytes] = {
            b"cloudflare:workers": b"export const {DurableObject, WorkerEntrypoint} = globalThis.__classes;"
        }
        self.error: BaseException | None = None
        self.replies: list[tuple[int, str, str]] = []
        self.entropy = 0
        self.enter_fn = self.lookup("perdure_enter")
        if qjs_limit:
            self.fn("qjs_set_memory_limit", qjs_limit)
        if qjs_stack:
            self.fn("qjs_set_max_stack_size", qjs_stack)

    def export(self, name: str):
        item = ffi.wasmtime_extern_t()
        b = name.encode()
        assert ffi.wasmtime_instance_export_get(
            self.store._context(), ctypes.byref(self.inst._instance), b, len(b), ctypes.byref(item)
        ), name
        return item.of

    def lookup(self, name: str) -> int:
        f = self.fns.get(name)
        if f is None:
            fc = ffi.wasmtime_func_t.from_buffer_copy(self.export(name).func)
            f = self.fns[name] = (ctypes.addressof(fc), fc)
        return f[0]

    def fn(self, name: str, *args: int) -> int:
        a = (Val * 6)()
        for i, x in enumerate(args):
            a[i].u32 = x
        self.invoke(self.lookup(name), a)
        return a[0].u32

    def invoke(self, f: int, a) -> None:
        err = CALL(self.ctx, f, a, 6, self.pt)
        if err:
            raise wasmtime.WasmtimeError._from_ptr(ctypes.cast(err, POINTER(ffi.wasmtime_error_t)))
        if self.trap.value:
            t, self.trap.value = self.trap.value, None
            raise wasmtime.Trap._from_ptr(ctypes.cast(t, POINTER(ffi.wasm_trap_t)))

    # memory: every pointer from the guest is checked against the size
    def map(self) -> None:
        self.size = raw.wasmtime_memory_data_size(self.ctx, self.pm)
        self.addr = raw.wasmtime_memory_data(self.ctx, self.pm)
        self.mv = memoryview((ctypes.c_ubyte * self.size).from_address(self.addr)).cast("B")

    def read(self, p: int, n: int) -> bytes:
        if p + n > self.size:
            self.map()
            if p + n > self.size:
                raise ValueError("out of bounds")
        return bytes(self.mv[p : p + n])

    def write(self, p: int, b: bytes) -> None:
        if p + len(b) > self.size:
            self.map()
        self.mv[p : p + len(b)] = b

    def cstr(self, p: int) -> bytes:
        return self.read(p, min(4096, self.size - p)).split(b"\0", 1)[0]

    def new_bytes(self, b: bytes) -> int:
        p = self.fn("malloc", len(b))
        self.write(p, b)
        return p

    def give(self, b: bytes, kind: int) -> int:
        """A host call's result: into the fixed buffer, or into malloc'ed memory that the shim frees."""
        n = len(b)
        p = OUT if n <= CAP else self.new_bytes(b)
        mv = self.mv
        if p == OUT:
            mv[OUT : OUT + n] = b
        mv[BASE : BASE + 8] = (n << 32 | p).to_bytes(8, "little")
        return kind

    def on_call(self, op: int, p1: int, n1: int, p2: int, n2: int) -> int:
        a = self.read(p1, n1)
        if op == 1:
            v = self.kv.get(a)
            return 0 if v is None else self.give(v, 1)
        if op == 2:
            self.kv[a] = self.read(p2, n2)
            return 0
        if op == 3:
            return self.give(b"1" if self.kv.pop(a, None) is not None else b"0", 1)
        if op == 31:
            self.entropy += 1
            return self.give(os.urandom(int(a)), 2)
        self.replies.append((op, a.decode(errors="surrogatepass"), self.read(p2, n2).decode(errors="replace")))
        return 0

    def enter(self, op: int, text: bytes) -> bytes | None:
        n = len(text)
        p = OUT if n <= CAP else self.new_bytes(text)
        if p == OUT:
            self.mv[OUT : OUT + n] = text
        a = self.args
        a[0].u32, a[1].u32, a[2].u32 = op, p, n
        if CALL(self.ctx, self.enter_fn, a, 6, self.pt) or self.trap.value:
            self.invoke_failed()
        kind = a[0].i32
        if p != OUT:
            self.fn("free", p)
        if kind == 0:
            return None
        if kind == 4:
            raise RuntimeError("threw something that has no text")
        v = int.from_bytes(self.mv[BASE : BASE + 8], "little")
        b = self.read(v & 0xFFFFFFFF, v >> 32)
        if kind == 3:
            raise RuntimeError(b.decode(errors="replace"))
        return b

    def invoke_failed(self) -> None:
        t, self.trap.value = self.trap.value, None
        raise wasmtime.Trap._from_ptr(ctypes.cast(t, POINTER(ffi.wasm_trap_t))) if t else RuntimeError("call failed")

    def load(self, src: bytes) -> None:
        self.modules[b"worker.js"] = src
        self.enter(0, b"worker.js")
        op, _, msg = self.replies.pop()
        if op != 41:
            raise RuntimeError(msg)

    def close(self) -> None:
        LIVE.pop(self.ctx, None)
        self.mv.release()
        self.store.close()


AGENT_CODE = b"""
  import { DurableObject } from "cloudflare:workers";
  export class App extends DurableObject {
    fetch(request) {
      let counter = this.ctx.storage.kv.get("counter") || 0;
      ++counter;
      this.ctx.storage.kv.put("counter", counter);
      return new Response("You've made " + counter + " requests.\\n");
    }
  }
"""
REQUEST = b'{"id":"1","method":"GET","url":"http://x/"}'
