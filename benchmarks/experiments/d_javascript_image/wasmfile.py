"""The little of the WebAssembly binary format that the image build needs: read sections, rename imports, bake a live memory."""

from __future__ import annotations

MAGIC = b"\0asm\1\0\0\0"
CUSTOM, IMPORT, TABLE, MEMORY, GLOBAL, EXPORT, START, DATA, DATACOUNT = 0, 2, 4, 5, 6, 7, 8, 11, 12
KINDS = ("func", "table", "memory", "global", "tag")


def uleb(b: bytes, i: int) -> tuple[int, int]:
    r = s = 0
    while True:
        x = b[i]
        i += 1
        r |= (x & 127) << s
        s += 7
        if x < 128:
            return r, i


def sleb(b: bytes, i: int) -> tuple[int, int]:
    r = s = 0
    while True:
        x = b[i]
        i += 1
        r |= (x & 127) << s
        s += 7
        if x < 128:
            return (r | -1 << s if x & 64 else r), i


def enc_u(n: int) -> bytes:
    o = bytearray()
    while True:
        x, n = n & 127, n >> 7
        o.append(x | 128 if n else x)
        if not n:
            return bytes(o)


def enc_s(n: int) -> bytes:
    o = bytearray()
    while True:
        x, n = n & 127, n >> 7
        done = (n == 0 and not x & 64) or (n == -1 and x & 64)
        o.append(x if done else x | 128)
        if done:
            return bytes(o)


def sections(b: bytes) -> list[tuple[int, bytes]]:
    assert b[:8] == MAGIC
    i, out = 8, []
    while i < len(b):
        n, j = uleb(b, i + 1)
        out.append((b[i], b[j : j + n]))
        i = j + n
    return out


def join(secs: list[tuple[int, bytes]]) -> bytes:
    return MAGIC + b"".join(bytes([k]) + enc_u(len(s)) + s for k, s in secs)


def _name(s: bytes, i: int) -> tuple[str, int]:
    n, i = uleb(s, i)
    return s[i : i + n].decode(), i + n


def _limits_end(s: bytes, i: int) -> int:
    flags = s[i]
    i = uleb(s, i + 1)[1]
    return uleb(s, i)[1] if flags & 1 else i


def imports(b: bytes) -> list[tuple[str, str, str, bytes]]:
    """[(module, field, kind, type bytes)]"""
    s = dict(sections(b)).get(IMPORT, b"\0")
    n, i = uleb(s, 0)
    out = []
    for _ in range(n):
        mod, i = _name(s, i)
        field, i = _name(s, i)
        kind, st = s[i], i + 1
        if kind == 0:
            end = uleb(s, st)[1]
        elif kind == 1:
            end = _limits_end(s, st + 1)
        elif kind == 2:
            end = _limits_end(s, st)
        elif kind == 3:
            end = st + 2
        else:
            raise ValueError(kind)
        out.append((mod, field, KINDS[kind], s[st:end]))
        i = end
    return out


def exports(b: bytes) -> list[tuple[str, str]]:
    s = dict(sections(b)).get(EXPORT, b"\0")
    n, i = uleb(s, 0)
    out = []
    for _ in range(n):
        name, i = _name(s, i)
        out.append((name, KINDS[s[i]]))
        i = uleb(s, i + 1)[1]
    return out


def rename_imports(b: bytes, f) -> bytes:
    """f(module, field, kind) -> (module, field)"""

    def one(mod: str, field: str, kind: str, ty: bytes) -> bytes:
        m, n = (x.encode() for x in f(mod, field, kind))
        return enc_u(len(m)) + m + enc_u(len(n)) + n + bytes([KINDS.index(kind)]) + ty

    imps = imports(b)
    new = enc_u(len(imps)) + b"".join(one(*x) for x in imps)
    return join([(k, new if k == IMPORT else s) for k, s in sections(b) if k != CUSTOM])


def dylink(b: bytes) -> dict[str, int]:
    for k, s in sections(b):
        if k == CUSTOM and s[1:9] == b"dylink.0":
            i = 9
            while i < len(s):
                kind, (n, j) = s[i], uleb(s, i + 1)
                if kind == 1:
                    v = []
                    while j < len(s) and len(v) < 4:
                        x, j = uleb(s, j)
                        v.append(x)
                    return dict(zip(("mem", "mem_align", "table", "table_align"), v))
                i = j + n
    raise ValueError("not a shared library")


def minimum(b: bytes, section: int) -> int:
    """Minimum of the only memory (pages) or only table (entries)."""
    s = dict(sections(b))[section]
    assert s[0] == 1
    return uleb(s, 3 if section == TABLE else 2)[0]


def set_minimum(b: bytes, section: int, minimum_: int) -> bytes:
    def one(s: bytes) -> bytes:
        assert s[0] == 1
        i = 3 if section == TABLE else 2
        rest = s[uleb(s, i)[1] :]
        if s[i - 1] & 1 and section == TABLE:
            raise ValueError("bounded table")
        return s[:i] + enc_u(minimum_) + rest

    return join([(k, one(s) if k == section else s) for k, s in sections(b)])


def bake(b: bytes, memory: bytes, live: dict[int, int]) -> bytes:
    """Replace data by a live instance's memory and mutable globals by their live values; drop the start function, it has run."""
    out = []
    for k, s in sections(b):
        if k in (CUSTOM, DATACOUNT, START):
            continue
        if k == MEMORY:
            i = uleb(s, 2)[1]
            s = s[:2] + enc_u(len(memory) // 65536) + s[i:]
        elif k == GLOBAL:
            n, i = uleb(s, 0)
            o = enc_u(n)
            for g in range(n):
                ty, mut, op = s[i], s[i + 1], s[i + 2]
                assert op in (0x41, 0x42), f"global {g} is not a plain constant"
                v, j = sleb(s, i + 3)
                assert s[j] == 0x0B
                o += bytes([ty, mut, op]) + enc_s(live[g] if mut else v) + b"\x0b"
                i = j + 1
            s = o
        elif k == DATA:
            segs, i, n, gap = [], 0, len(memory), 256
            zero = bytes(gap)
            while i < n:
                if memory[i : i + gap] == zero[: n - i]:
                    i += gap
                    continue
                j = i
                while j < n and memory[j : j + gap] != zero[: n - j]:
                    j += gap
                segs.append(b"\0\x41" + enc_s(i) + b"\x0b" + enc_u(min(j, n) - i) + memory[i : min(j, n)])
                i = j
            s = enc_u(len(segs)) + b"".join(segs)
        out.append((k, s))
    return join(out)


def keep_exports(b: bytes, keep) -> bytes:
    def one(s: bytes) -> bytes:
        n, i = uleb(s, 0)
        out = []
        for _ in range(n):
            st = i
            name, i = _name(s, i)
            i = uleb(s, i + 1)[1]
            if keep(name):
                out.append(s[st:i])
        return enc_u(len(out)) + b"".join(out)

    return join([(k, one(s) if k == EXPORT else s) for k, s in sections(b)])


def export_globals(b: bytes) -> bytes:
    """Export every mutable global as "global:<index>", so that a live instance can be read."""
    secs = dict(sections(b))
    s = secs[GLOBAL]
    n, i = uleb(s, 0)
    new = b""
    count = 0
    for g in range(n):
        assert s[i + 2] in (0x41, 0x42)
        if s[i + 1]:
            name = f"global:{g}".encode()
            new += enc_u(len(name)) + name + bytes([3]) + enc_u(g)
            count += 1
        i = sleb(s, i + 3)[1] + 1
    n, i = uleb(secs[EXPORT], 0)
    ex = enc_u(n + count) + secs[EXPORT][i:] + new
    return join([(k, ex if k == EXPORT else s) for k, s in sections(b)])
