"""The JavaScript guest: QuickJS as a core module, made from a snapshot with our runtime booted.

Everything it imports is defined here. The bridge inside the image makes a turn one wasm call and a host call one
import, with texts in a buffer of fixed place; what does not fit there goes into memory that the guest allocates. Each
pointer and length is the guest's word and is checked by `LinearMemory`.
Effects: randomness.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Final

from perdure.clock import SystemEntropy
from perdure.errors import GuestCrashedError
from perdure.isolates import _failures as failures
from perdure.isolates import _ffi as ffi
from perdure.isolates._core_module import CoreInstance, CoreModule, HostFunction, Numbers
from perdure.isolates._engine import Engine, GuestStore
from perdure.isolates._images import load_image
from perdure.isolates._javascript_modules import (
    NODE_MODULES,
    RUNTIME_MODULE,
    TYPED_SUFFIXES,
    as_typescript_means,
    module_source,
    resolve,
)
from perdure.isolates._translator import KINDS, Translator
from perdure.isolates._wasm_isolate import WasmIsolate
from perdure.limits import (
    GUEST_JAVASCRIPT_STACK_BYTES,
    HOST_CALL_BYTES_MAX,
    KIB,
    MEMORY_BYTES_DEFAULT,
    MIB,
)
from perdure.wire import ERROR_MARK, GuestOp, HostOp

_LIVE_BYTES: Final = 500 * KIB  # measured: private memory of an instance that has loaded a small worker
_ENGINE_RESERVE_BYTES: Final = 4 * MIB  # between QuickJS's limit and the store's: what it allocates outside of its heap
_OWN_CPU_MS: Final = 10_000  # for our own code, before any worker's
_NAME_BYTES_MAX: Final = 4 * KIB
_RANDOM_BYTES_MAX: Final = 64 * KIB
_WORD_MASK: Final = 0xFFFF_FFFF
_FAILED: Final = 1 << 63  # in a turn's result: the text is that of an exception
_OUT_OF_MEMORY: Final = "out of memory"
_NOT_SUPPORTED: Final = 52  # WASI's ENOSYS

_ENTROPY: Final = SystemEntropy()


class JavaScriptGuests:
    """Makes JavaScript isolates: compile or map the image once, then an instance takes 50 µs."""

    language = "javascript"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._module = CoreModule(engine, engine.load_module(load_image(self.language)), _IMPORTS)
        self._translator = Translator(self._make_translating)

    def make(self) -> JavaScriptIsolate:
        """A fresh instance, before any code is loaded into it."""
        store = self._engine.new_store()
        try:
            return JavaScriptIsolate(store, self._module.instantiate(store), self._translator)
        except BaseException:
            store.close()
            raise

    def _make_translating(self) -> JavaScriptIsolate:
        """One that lives for a moment: it may fill its memory instead of collecting it."""
        isolate = self.make()
        isolate.never_collect()
        return isolate


class JavaScriptIsolate(WasmIsolate):
    """One JavaScript guest."""

    language = "javascript"

    __slots__ = (
        "_buffer", "_buffer_bytes", "_function", "_importer", "_instance", "_memory", "_names", "_translator",
        "_untouched_bytes",
    )  # fmt: skip

    def __init__(self, store: GuestStore, instance: CoreInstance, translator: Translator) -> None:
        super().__init__(store)
        self._instance = instance
        self._memory = instance.memory
        self._function = instance.function("perdure_call")
        self._buffer, self._buffer_bytes = _unpacked(instance.call(instance.function("perdure_buffer")))
        self._untouched_bytes = self._memory.size_bytes
        self._importer = ""
        self._names: frozenset[str] | None = None
        self._translator = translator
        self._set("qjs_set_max_stack_size", GUEST_JAVASCRIPT_STACK_BYTES)
        self.limit_memory(MEMORY_BYTES_DEFAULT)

    @property
    def memory_bytes(self) -> int:
        """What it holds: how far its memory has grown, and the pages of the snapshot that it has written to."""
        return self._memory.size_bytes - self._untouched_bytes + _LIVE_BYTES if self._is_alive else 0

    def limit_memory(self, memory_bytes: int) -> None:
        """Bound its memory; before the first call."""
        super().limit_memory(memory_bytes)
        self._set("qjs_set_memory_limit", memory_bytes - _ENGINE_RESERVE_BYTES)

    def never_collect(self) -> None:
        """Let it run without collecting cycles, for as long as its memory lasts."""
        self._set("qjs_set_gc_threshold", _WORD_MASK)

    def rehearse(self) -> None:
        """Touch the memory that every worker needs."""
        self.call(GuestOp.REHEARSE, "{}", cpu_ms=_OWN_CPU_MS)

    def _enter(self, op: int, payload: bytes) -> str:
        result = self._instance.call(self._function, op, self._place(payload), len(payload))
        place, size = _unpacked(result & ~_FAILED)
        if not place:
            raise failures.memory_exceeded(self._store.memory_limit_bytes)
        text = _decoded(self._memory.read(place, self.checked_size(size)))
        if not result & _FAILED:
            return text
        if _OUT_OF_MEMORY in text:
            raise failures.memory_exceeded(self._store.memory_limit_bytes)
        raise GuestCrashedError(f"the guest's runtime failed ({text[:200]}): its isolate has ended")

    # ── what the host functions below ask ────────────────────────────────────────────────────────────────────

    def answer_bridge(self, numbers: Numbers) -> None:
        """Answer one host call: its numbers are replaced by the place of the reply. Raises what ends the isolate."""
        op, key, key_size, payload, payload_size = [number.u32 for number in numbers]
        reply = self.answer(op, self._text(key, key_size), self._text(payload, payload_size))
        text = reply.encode("utf-8", "surrogatepass")
        numbers[0].u64 = self._place(text) | len(text) << 32 if text else 0

    def answer(self, op: int, key: str, payload: str) -> str:
        """The reply to one host call; chance is not the host's. Raises what ends the isolate."""
        return _random_base64(key) if op == HostOp.RANDOM else super().answer(op, key, payload)

    def resolve(self, importer: int, specifier: int) -> int:
        """The address of a module's full name, which the guest frees."""
        self._importer = self._name(importer)
        wanted = self._name(specifier)
        name = resolve(self._importer, wanted)
        if wanted in NODE_MODULES and wanted not in self._known_names():
            name = f"node:{wanted}"
        if self._importer.endswith(TYPED_SUFFIXES):
            name = as_typescript_means(name, self._known_names())
        return self._allocate(name.encode("utf-8", "surrogatepass") + b"\0")

    def load(self, name: int, size_place: int) -> int:
        """The address of a module's source, which the guest frees; 0 with an exception set when there is none."""
        wanted = self._name(name)
        reply = self.answer(HostOp.MODULE, wanted, "") if wanted else ""
        if not reply or reply.startswith(ERROR_MARK):
            # QuickJS asks for a module right after its name was resolved.
            importer = "" if self._importer == RUNTIME_MODULE else f', imported by "{self._importer}"'
            self._throw(f'No such module "{wanted}"{importer}')
            return 0
        kind, _, text = reply.partition("\n")
        if kind in KINDS:
            kind, text = "js", self._translator.translate(kind, wanted, text)
        source = module_source(kind, text).encode("utf-8", "surrogatepass")
        self._memory.write(size_place, len(source).to_bytes(4, "little"))
        return self._allocate(source + b"\0")

    def _known_names(self) -> frozenset[str]:
        if self._names is None:
            _, _, names = self.answer(HostOp.MODULE, "", "").partition("\n")
            self._names = frozenset(json.loads(names or "[]"))
        return self._names

    def fill_randomly(self, place: int, size: int) -> None:
        """Write random bytes."""
        if size > _RANDOM_BYTES_MAX:
            raise ffi.forged(f"{size} random bytes at once")
        self._memory.write(place, _ENTROPY.random_bytes(size))

    def write_time(self, place: int) -> None:
        """Write the host's time in nanoseconds, in steps too coarse to time a cache with."""
        milliseconds = int(self.host.host_call(HostOp.CLOCK, "", ""))
        self._memory.write(place, (milliseconds * 1_000_000).to_bytes(8, "little"))

    # ── texts ────────────────────────────────────────────────────────────────────────────────────────────────

    def _place(self, text: bytes) -> int:
        """Where `text` lies in the guest now: in the buffer, or in memory of its own that the bridge frees."""
        if len(text) > self._buffer_bytes:
            return self._allocate(text)
        self._memory.write(self._buffer, text)
        return self._buffer

    def _allocate(self, content: bytes) -> int:
        place = self._instance.call(self._instance.function("malloc"), len(content)) & _WORD_MASK
        if not place:
            raise failures.memory_exceeded(self._store.memory_limit_bytes)
        self._memory.write(place, content)
        return place

    def _text(self, place: int, size: int) -> str:
        if size > HOST_CALL_BYTES_MAX:
            raise ffi.forged(f"a string of {size} bytes, the limit is {HOST_CALL_BYTES_MAX}")
        return _decoded(self._memory.read(place, size)) if size else ""

    def _name(self, place: int) -> str:
        """The text up to a NUL."""
        size = min(_NAME_BYTES_MAX, max(0, self._memory.size_bytes - place))
        name, end, _ = self._memory.read(place, size).partition(b"\0")
        if not end:
            raise ffi.forged(f"a name of more than {_NAME_BYTES_MAX} bytes")
        return _decoded(name)

    def _throw(self, message: str) -> None:
        """Set an exception in the guest, which it finds when the host function has returned."""
        call, function = self._instance.call, self._instance.function
        text = message.encode("utf-8", "surrogatepass")
        place = self._allocate(text)
        name = self._allocate(b"message\0")
        error = call(function("qjs_new_error")) & _WORD_MASK
        value = call(function("qjs_new_string"), place, len(text)) & _WORD_MASK
        call(function("qjs_set_prop_string"), error, name, value)
        call(function("qjs_throw"), error)
        for handle in (value, error):
            call(function("qjs_free_value"), handle)
        for address in (place, name):
            call(function("free"), address)

    def _set(self, function: str, number: int) -> None:
        self._instance.call(self._instance.function(function), number)


def _unpacked(packed: int) -> tuple[int, int]:
    """Address and length of a text, as the bridge packs them."""
    return packed & _WORD_MASK, packed >> 32


def _decoded(content: bytes) -> str:
    """UTF-8 as QuickJS writes it: it may hold lone surrogates, which no other text does."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        try:
            return (
                content.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            )
        except UnicodeDecodeError:
            raise ffi.forged("a string that is not UTF-8") from None


def _random_base64(size: str) -> str:
    if not size.isdecimal() or len(size) > 6 or int(size) > _RANDOM_BYTES_MAX:
        raise ffi.forged("a request for random bytes of no sane size")
    return base64.b64encode(_ENTROPY.random_bytes(int(size))).decode("ascii")


# ── host functions ───────────────────────────────────────────────────────────────────────────────────────────


def _of(work: Callable[[JavaScriptIsolate, Numbers], None]) -> HostFunction:
    """A host function that works on the isolate it was called from."""

    def function(store: GuestStore, numbers: Numbers) -> None:
        isolate = store.isolate
        assert isinstance(isolate, JavaScriptIsolate)
        work(isolate, numbers)

    return function


def _resolve(isolate: JavaScriptIsolate, numbers: Numbers) -> None:
    numbers[0].u64 = isolate.resolve(numbers[0].u32, numbers[1].u32)


def _load(isolate: JavaScriptIsolate, numbers: Numbers) -> None:
    numbers[0].u64 = isolate.load(numbers[0].u32, numbers[1].u32)


def _random(isolate: JavaScriptIsolate, numbers: Numbers) -> None:
    isolate.fill_randomly(numbers[0].u32, numbers[1].u32)
    numbers[0].u64 = 0


def _time(isolate: JavaScriptIsolate, numbers: Numbers) -> None:
    isolate.write_time(numbers[2].u32)
    numbers[0].u64 = 0


def _zero(store: GuestStore, numbers: Numbers) -> None:
    del store
    numbers[0].u64 = 0


def _refuse(store: GuestStore, numbers: Numbers) -> None:
    del store
    numbers[0].u64 = _NOT_SUPPORTED


def _unused(store: GuestStore, numbers: Numbers) -> None:
    raise ffi.forged("a function that our runtime never calls")


_WASI: Final = "wasi_snapshot_preview1"
_IMPORTS: Final[dict[tuple[str, str], tuple[str, HostFunction]]] = {
    ("perdure", "call"): ("iiiii>I", _of(JavaScriptIsolate.answer_bridge)),
    ("env", "host_module_normalize"): ("ii>i", _of(_resolve)),
    ("env", "host_module_load"): ("ii>i", _of(_load)),
    ("env", "host_get_timezone_offset"): ("ii>i", _zero),  # minutes west of UTC
    ("env", "host_interrupt"): (">i", _zero),  # epochs interrupt, QuickJS need not ask
    ("env", "host_promise_rejection"): ("iii>", _unused),  # the bridge tracks them itself
    ("env", "host_call"): ("iiiii>i", _unused),  # the bridge has a faster one
    (_WASI, "clock_time_get"): ("iIi>i", _of(_time)),
    (_WASI, "random_get"): ("ii>i", _of(_random)),
    (_WASI, "fd_close"): ("i>i", _refuse),
    (_WASI, "fd_fdstat_get"): ("ii>i", _refuse),
    (_WASI, "fd_seek"): ("iIii>i", _refuse),
    (_WASI, "fd_write"): ("iiii>i", _refuse),
}
