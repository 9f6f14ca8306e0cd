"""The memory of the snapshot, arranged so that a guest writes to few of its pages.

A page that a guest writes to becomes its own: that is what an instance costs, in memory and in time. Three things
keep pages shared. What guests allocate lies together, behind everything. The code that every worker runs lies together,
since CPython keeps counters in code. And reference counts are never written, because everything in the snapshot is
immortal: only C can do that, so here the objects are only listed, and `tools/immortal_objects.py` sets their counts in
the finished image.
Effects: the snapshot.
"""

from __future__ import annotations

import functools
import gc
import struct
import sys
from collections.abc import Callable, Iterator
from types import (
    AsyncGeneratorType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    TracebackType,
    WrapperDescriptorType,
)
from typing import Final

# Written backwards, so that the only copy of the mark itself is the one that is made for the build.
_MARK_BACKWARDS: Final = b"slatrommi erudrep"

_NEVER_IMMORTAL: Final = (FrameType, TracebackType, GeneratorType, CoroutineType, AsyncGeneratorType)
_DESCRIPTORS: Final = (MethodDescriptorType, WrapperDescriptorType, GetSetDescriptorType, MemberDescriptorType)

# Every allocation is a chunk of malloc, whose sizes are multiples of 16. Larger plugs would make the image so sparse
# that Wasmtime copies it into each instance instead of mapping it.
_LARGE_SIZES: Final = tuple(1 << exponent for exponent in range(18, 10, -1))
_SMALL_SIZES: Final = tuple(range(1024, 16, -8))
_BYTES_HEADER: Final = 17
_TUPLE_SIZE_MAX: Final = 20  # of which CPython keeps lists, to use them again

# ── holes ────────────────────────────────────────────────────────────────────────────────────────────────────


def plug_holes() -> list[object]:
    """Fill the gaps in the heap, for as long as the result lives.

    Imports leave them all over the snapshot, and each would cost a guest a page of its own. Largest first, since what
    is left of a gap is a smaller one; a size has no gap left when it is served from behind the last object.
    """
    makers = (*_blocks(), *_reused())
    plugs: list[object] = [makers]  # They lie in gaps themselves.
    end = max(map(id, gc.get_objects()))
    for make in makers:
        while id(plug := make()) < end:
            plugs.append(plug)
        plugs.append(plug)
        end = id(plug)
    return plugs


def _blocks() -> Iterator[Callable[[], object]]:
    for size in (*_LARGE_SIZES, *_SMALL_SIZES):
        yield functools.partial(bytes, size - _BYTES_HEADER)


def _reused() -> Iterator[Callable[[], object]]:
    """What CPython has lists of, freed and ready to be used again."""
    yield lambda: float("1.5")
    yield lambda: int("123456789")
    yield list
    yield dict
    yield lambda: slice(1, 2)
    yield object
    yield lambda: [].append
    yield lambda: (lambda: None).__get__(1)
    for size in range(_TUPLE_SIZE_MAX, 0, -1):
        yield functools.partial(tuple, [None] * size)


# ── code ─────────────────────────────────────────────────────────────────────────────────────────────────────


def gather_code(use: Callable[[], None]) -> None:
    """Lay the code of all functions that `use` calls side by side."""
    used: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        del argument
        if event == "call":
            used.add(frame.f_code)

    sys.setprofile(note)
    try:
        use()
    finally:
        sys.setprofile(None)
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__ in used:
            thing.__code__ = thing.__code__.replace()


# ── immortals ────────────────────────────────────────────────────────────────────────────────────────────────


def list_immortals() -> tuple[tuple[object, ...], bytes]:
    """Every object there is, kept alive by the list, and for the build a mark with the address of the list."""
    immortals = _all_objects()
    return immortals, _MARK_BACKWARDS[::-1] + struct.pack("<I", id(immortals))


def _all_objects() -> tuple[object, ...]:
    found: dict[int, object] = {}
    rest: list[object] = [object, *gc.get_objects()]
    while rest:
        thing = rest.pop()
        if id(thing) in found or thing is rest or thing is found or isinstance(thing, _NEVER_IMMORTAL):
            continue
        found[id(thing)] = thing
        rest += gc.get_referents(thing)
        rest += _hidden_from_gc(thing)
    return tuple(found.values())


def _hidden_from_gc(thing: object) -> list[object]:
    """What an object holds and does not tell the garbage collector."""
    if isinstance(thing, CodeType):
        return [
            thing.co_consts, thing.co_names, thing.co_name, thing.co_qualname, thing.co_filename,
            thing.co_linetable, thing.co_exceptiontable, *thing.co_varnames, *thing.co_cellvars, *thing.co_freevars,
        ]  # fmt: skip
    if isinstance(thing, type) and issubclass(type(thing), type):  # A proxy only says that it is one.
        namespace = type.__dict__["__dict__"].__get__(thing)
        return [*gc.get_referents(namespace), *type.__subclasses__(thing), thing.__mro__, thing.__bases__]
    if isinstance(thing, _DESCRIPTORS):
        return [thing.__name__]
    return []
