"""Experiment (b): is SQLite good enough as the group-commit journal, or do we want a plain append-only file?

Real page records (captured from the -wal tail of a key-value counter) arrive at an asyncio loop at a fixed rate. Each
object has at most one append in flight; later commits fold into its next record (last image per page). One writer
thread takes whatever has queued up as a batch, makes it durable, and wakes the loop once per batch. The latency is
measured from the commit to the acknowledgement seen on the loop.

    python benchmarks/experiments/b_journal.py            every table, about five minutes
    python benchmarks/experiments/b_journal.py encode     one of: encode engine layout checkpoint delete busy

Everything is written to a temporary directory. Run nothing else beside it.
"""
import asyncio
import hashlib
import json
import os
import queue
import random
import shutil
import statistics
import struct
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass, field, replace

import apsw

PAGE = 4096
RATE = 5_000
SECONDS = 1.0
RUNS = 3
now = time.perf_counter


# ---------------------------------------------------------------- real records
def capture(keys: int, count: int = 2_000) -> list[dict[int, bytes]]:
    """Commit `count` counter puts against `keys` keys; return the pages each commit changed."""
    root = tempfile.mkdtemp()
    path = f"{root}/object.db"
    db = apsw.Connection(path)
    for pragma in ("locking_mode=exclusive", "journal_mode=wal", "synchronous=off", "wal_autocheckpoint=0"):
        db.execute(f"pragma {pragma}")
    db.execute("create table kv(key text primary key, value blob) without rowid; create table host(k text primary key, v)")
    put = "insert into kv values(?,?) on conflict do update set value=excluded.value"
    rng = random.Random(7)
    with db:
        for k in range(keys):
            db.execute(put, (f"user:{k:05d}:profile", json.dumps({"name": rng.random(), "n": k})))
    fd = os.open(path + "-wal", os.O_RDONLY)
    offset = os.fstat(fd).st_size
    commits = []
    for n in range(count):
        with db:
            db.execute(put, (f"user:{rng.randrange(keys):05d}:profile", json.dumps({"name": rng.random(), "n": n})))
            if n % 2:
                db.execute("insert into host values('version', ?) on conflict do update set v=excluded.v", (n,))
        tail = os.pread(fd, 1 << 20, offset)
        offset += len(tail)
        frame = PAGE + 24
        commits.append({struct.unpack_from(">I", tail, o)[0]: tail[o + 24:o + frame] for o in range(0, len(tail), frame)})
    os.close(fd)
    db.close()
    shutil.rmtree(root)
    return commits


# ---------------------------------------------------------------- encodings
ZEROS = bytes(65_536)
PAGE_HEAD = struct.Struct("<IHH")   # page number, where zeros were left out, how many


def zero_gap(page: bytes) -> tuple[int, int]:
    """The zeros to leave out: between the cell pointers and the cells of a b-tree page, else at the end. Byte-exact."""
    kind = page[0]
    if kind in (2, 5, 10, 13):
        low = (12 if kind < 8 else 8) + 2 * (page[3] << 8 | page[4])
        high = page[5] << 8 | page[6] or 65_536
        if low <= high <= len(page):
            if page[low:high] == ZEROS[:high - low]:
                return low, high - low
            kept = len(page[low:high].lstrip(b"\0"))        # remains of old cells: keep them, drop the zeros before
            return low, high - low - kept
    kept = len(page.rstrip(b"\0"))
    return kept, len(page) - kept


def encode_raw(pages: dict[int, bytes]) -> bytes:
    return b"".join([x for n, p in pages.items() for x in (PAGE_HEAD.pack(n, 0, 0), p)])


def encode_gap(pages: dict[int, bytes]) -> bytes:
    parts = []
    for number, page in pages.items():
        start, length = zero_gap(page)
        parts += (PAGE_HEAD.pack(number, start, length), page[:start], page[start + length:])
    return b"".join(parts)


def decode_gap(body: bytes) -> dict[int, bytes]:
    pages, o = {}, 0
    while o < len(body):
        number, start, length = PAGE_HEAD.unpack_from(body, o)
        o += 8
        size = PAGE - length
        pages[number] = body[o:o + start] + ZEROS[:length] + body[o + start:o + size]
        o += size
    return pages


def encode_zlib(pages: dict[int, bytes]) -> bytes:
    return zlib.compress(encode_raw(pages), 1)


def encode_gap_zlib(pages: dict[int, bytes]) -> bytes:
    return zlib.compress(encode_gap(pages), 1)


ENCODERS = {"raw": encode_raw, "zlib": encode_zlib, "gap": encode_gap, "gap+zlib": encode_gap_zlib}


def seal(obj: "Obj", seq: int, pages: dict[int, bytes], encode) -> bytes:
    record = struct.pack("<BB8sQQ", 1, 0, obj.digest, seq, 0) + encode(pages)
    obj.digest = hashlib.blake2b(record, digest_size=8).digest()
    return record


# ---------------------------------------------------------------- engines
@dataclass
class Obj:
    n: int
    id: bytes
    seq: int = 0
    digest: bytes = bytes(8)
    pages: dict = field(default_factory=dict)       # committed, not yet in a record
    times: list = field(default_factory=list)
    inflight: list | None = None                    # commit times waiting on the record in flight
    forgotten: int = 0
    rows: list = field(default_factory=list)        # (sequence, row) for layouts whose index is in memory


@dataclass(frozen=True)
class Plan:
    engine: str = "sqlite"      # sqlite | file | null
    file: str = "zeroed"        # append | falloc | zeroed | dsync
    layout: str = "mem"         # pk | index | mem | batch
    head: bool = True           # compare-and-set of cell.head with every append
    bulk: bool = True           # one statement per batch instead of one or two per record
    checkpoint: str = "side"    # none | auto | side | sideonly
    limit: int = 4 << 20        # bytes of journal WAL that start a checkpoint
    journal_page: int = 4096
    codec: str = "gap"
    objects: int = 64
    keys: int = 20
    forget: int = 32            # one forget per so many records; 0 never
    ride: bool = False          # deletes share the next batch's transaction instead of having their own
    busy_us: float = 0          # Python work on the loop per commit
    switch_ms: float = 5        # sys.setswitchinterval


class Null:
    stalls: tuple = ()

    def __init__(self, root, plan, objs): pass
    def write(self, batch): pass
    def forget(self, items): pass
    def idle(self): pass
    def close(self): pass


class File(Null):
    SIZE = 128 << 20

    def __init__(self, root, plan, objs):
        flags = os.O_RDWR | os.O_CREAT | (os.O_DSYNC if plan.file == "dsync" else 0)
        path = f"{root}/journal.log"
        self.dsync, self.at = plan.file == "dsync", 0
        if plan.file == "falloc":
            with open(path, "wb") as f:
                os.posix_fallocate(f.fileno(), 0, self.SIZE)
        elif plan.file in ("zeroed", "dsync"):
            with open(path, "wb") as f:
                f.writelines(bytes(1 << 20) for _ in range(self.SIZE >> 20))
        self.fd = os.open(path, flags)
        os.fsync(self.fd)

    def write(self, batch):
        parts = []
        for obj, seq, record in batch:
            parts += (struct.pack("<II32sQ", len(record), zlib.crc32(record), obj.id, seq), record)
        data = b"".join(parts)
        if self.at + len(data) > self.SIZE:
            self.at = 0
        os.pwrite(self.fd, data, self.at)
        self.at += len(data)
        if not self.dsync:
            os.fdatasync(self.fd)

    def close(self):
        os.close(self.fd)


class Sqlite(Null):
    def __init__(self, root, plan, objs):
        self.plan, self.path, self.stalls = plan, f"{root}/journal.db", []
        self.row, self.live, self.finish, self.running = 0, {}, False, False
        self.db = self.open()
        self.db.execute(f"pragma page_size={plan.journal_page}; pragma journal_mode=wal")
        self.db.execute("pragma synchronous=full")
        self.db.pragma("wal_autocheckpoint", plan.limit // plan.journal_page if plan.checkpoint == "auto" else 0)
        self.db.execute("create table cell(n integer primary key, id blob unique, epoch, claim, head, snap, alarm)")
        self.db.execute({
            "pk": "create table log(cell blob, seq, data, primary key(cell, seq)) without rowid",
            "index": "create table log(n integer primary key, cell, seq, data); create unique index log_cell on log(cell, seq)",
            "mem": "create table log(n integer primary key, cell, seq, data)",
            "batch": "create table log(n integer primary key, data)",
        }[plan.layout])
        claim = os.urandom(16)
        with self.db:
            for o in objs:
                self.db.execute("insert into cell values(?,?,1,?,0,0,null)", (o.n, o.id, claim))
        self.wal = os.open(self.path + "-wal", os.O_RDONLY)
        if plan.checkpoint.startswith("side"):
            self.wake, self.side_cpu = threading.Event(), 0.0
            self.thread = threading.Thread(target=self.side)
            self.thread.start()

    def open(self):
        db = Counting(self.path)
        db.set_busy_timeout(1000)
        return db

    def side(self):
        """Copies most of the WAL into the file while the writer goes on; a passive checkpoint blocks nobody."""
        db = self.open()
        db.execute("select count(*) from cell").fetchall()  # a connection that never read does not know it is in WAL mode: (-1, -1)
        while self.wake.wait() and self.running is not None:
            self.wake.clear()
            assert db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE) != (-1, -1)
            self.side_cpu = time.thread_time()
            self.finish = self.plan.checkpoint == "side"
            self.running = False
        db.close()

    def write(self, batch, gone=()):
        plan, run = self.plan, self.db.execute
        if plan.layout == "batch":
            self.row += 1
            self.live[self.row] = len(batch)
            for obj, seq, _ in batch:
                obj.rows.append((seq, self.row))
            run("insert into log values(?,?)", (self.row, b"".join([r for _, _, r in batch])))
            return
        first = None                                    # `mem` numbers its rows itself: a row number is never used twice
        if plan.layout == "mem":
            first = self.row + 1
            for obj, seq, _ in batch:
                self.row += 1
                obj.rows.append((seq, self.row))
        pk = plan.layout == "pk"
        if plan.bulk:
            index, offset = [], 1
            for obj, seq, record in batch:
                index.append([obj.id.hex() if pk else obj.n, seq, offset, len(record)])
                offset += len(record)
            index, data = json.dumps(index), b"".join([r for _, _, r in batch])
            if plan.head:
                run("begin immediate")
                run("update cell set head=v.value->>1 from json_each(?) v where cell.n=v.value->>0 and epoch=1 and head=v.value->>1-1"
                    if not pk else
                    "update cell set head=v.value->>1 from json_each(?) v where cell.id=unhex(v.value->>0) and epoch=1 and head=v.value->>1-1",
                    (index,))
                assert self.db.changes() == len(batch), "fenced"
            if pk:
                run("insert into log select unhex(value->>0), value->>1, substr(?2, value->>2, value->>3) from json_each(?1)", (index, data))
            else:
                run("insert into log(n,cell,seq,data) select ?3 + key, value->>0, value->>1, substr(?2, value->>2, value->>3) from json_each(?1)",
                    (index, data, first))
            if gone:
                self.delete(gone)
            if plan.head:
                run("commit")
        else:
            run("begin immediate")
            for k, (obj, seq, record) in enumerate(batch):
                if plan.head:
                    run("update cell set head=? where n=? and epoch=1 and head=?", (seq, obj.n, seq - 1))
                    assert self.db.changes() == 1, "fenced"
                if pk:
                    run("insert into log values(?,?,?)", (obj.id, seq, record))
                else:
                    run("insert into log(n,cell,seq,data) values(?,?,?,?)", (first and first + k, obj.n, seq, record))
            run("commit")

    def forget(self, items):
        self.db.execute("begin immediate")
        self.delete(items)
        self.db.execute("commit")

    def delete(self, items):
        """Delete the records up to a sequence, and remember that in `snap`."""
        layout, run = self.plan.layout, self.db.execute
        for obj, seq in items:
            run("update cell set snap=? where n=?", (seq, obj.n))
            if layout in ("mem", "batch"):
                gone = []
                while obj.rows and obj.rows[0][0] <= seq:
                    n = obj.rows.pop(0)[1]
                    if layout == "mem":
                        gone.append(n)
                    else:
                        self.live[n] -= 1
                        if not self.live[n]:
                            gone.append(n)
                            del self.live[n]
                if gone:
                    run("delete from log where n in (select value from json_each(?))", (json.dumps(gone),))
            else:
                run("delete from log where cell=? and seq<=?", (obj.id if layout == "pk" else obj.n, seq))

    def idle(self):
        """Between batches, after the acknowledgement: start a checkpoint aside, or finish one here."""
        if not self.plan.checkpoint.startswith("side") or self.running:
            return
        if self.finish:
            self.finish, start = False, now()
            self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)     # the few frames written meanwhile: WAL restarts
            self.stalls.append(now() - start)
        elif self.db.last_wal >= self.plan.limit:
            self.running = True
            self.db.last_wal = 0
            self.wake.set()

    def close(self):
        if self.plan.checkpoint.startswith("side"):
            while self.running:
                time.sleep(0.001)
            self.running = None
            self.wake.set()
            self.thread.join()
        self.size = os.fstat(self.wal).st_size
        os.close(self.wal)
        self.db.close()


class Counting(apsw.Connection):
    """Remembers how many bytes of WAL the last commit left."""
    last_wal = 0

    def watch(self, page):
        def hook(_db, _name, frames):
            self.last_wal = frames * (page + 24)
            return apsw.SQLITE_OK
        self.set_wal_hook(hook)


def sqlite_engine(root, plan, objs):
    engine = Sqlite(root, plan, objs)
    if plan.checkpoint != "auto":
        engine.db.watch(plan.journal_page)
    return engine


# ---------------------------------------------------------------- one run
def spin(us: float) -> None:
    end = now() + us * 1e-6
    while now() < end:
        pass


def written() -> int:
    with open("/proc/self/io") as f:
        return int(next(line for line in f if line.startswith("wchar")).split()[1])


async def drive(plan: Plan, root: str, commits) -> dict:
    loop, rng, encode = asyncio.get_running_loop(), random.Random(3), ENCODERS[plan.codec]
    objs = [Obj(i, hashlib.sha256(b"%d" % i).digest()) for i in range(plan.objects)]
    engine = {"sqlite": sqlite_engine, "file": File, "null": Null}[plan.engine](root, plan, objs)
    if plan.engine == "sqlite" and plan.forget:                         # a journal in mid-life: 0 to 31 records each
        todo = [[o] * (o.n * 7 % plan.forget) for o in objs]
        while any(todo):
            batch = []
            for stack in todo:
                if stack:
                    o = stack.pop()
                    o.seq += 1
                    batch.append((o, o.seq, seal(o, o.seq, commits[o.seq], encode)))
            engine.write(batch)
        engine.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    latencies, gaps, cpu, batches, records, forgets = [], [], {}, [], [0], []

    def acknowledged(batch):
        t = now()
        for obj, _, _ in batch:
            latencies.extend([t - x for x in obj.inflight])
            obj.inflight = None
            if obj.pages:
                send(obj)
        records[0] += len(batch)
        while plan.forget and records[0] // plan.forget > len(forgets):
            obj = objs[len(forgets) % len(objs)]
            forgets.append(obj)
            inbox.put((obj, obj.seq - (obj.inflight is not None), None))

    def send(obj):
        obj.inflight, obj.times = obj.times, []
        obj.seq += 1
        inbox.put((obj, obj.seq, obj.pages))
        obj.pages = {}

    def writer():
        start = time.thread_time()
        while True:
            item, batch, gone = inbox.get(), [], []
            while item is not None:
                if item[2] is None:
                    gone.append(item[:2])
                else:
                    batch.append((item[0], item[1], seal(*item, encode)))
                if len(batch) >= 512 or inbox.empty():
                    break
                item = inbox.get()
            if batch and plan.ride:
                engine.write(batch, gone)
                gone = []
            elif batch:
                engine.write(batch)
            if batch:
                batches.append(len(batch))
                loop.call_soon_threadsafe(acknowledged, batch)
            if gone:
                engine.forget(gone)
            engine.idle()
            if item is None:
                break
        cpu["writer"] = time.thread_time() - start

    thread = threading.Thread(target=writer)
    thread.start()
    bytes0, cpu0, start, done, last = written(), time.thread_time(), now(), 0, now()
    total = int(RATE * SECONDS)
    while done < total:
        await asyncio.sleep(0.001)
        t = now()
        gaps.append(t - last)
        last = t
        for _ in range(min(int((t - start) * RATE), total) - done):
            obj = objs[rng.randrange(plan.objects)]
            if plan.busy_us:
                spin(plan.busy_us)
            obj.pages.update(commits[done % len(commits)])
            obj.times.append(now())
            if obj.inflight is None:
                send(obj)
            done += 1
    while len(latencies) < total:
        await asyncio.sleep(0.001)
    seconds = now() - start
    cpu["loop"] = time.thread_time() - cpu0
    inbox.put(None)
    thread.join()
    engine.close()
    latencies.sort()
    gaps.sort()
    at = lambda xs, q: xs[min(int(len(xs) * q), len(xs) - 1)] * 1e3
    return {
        "p50": at(latencies, .5), "p99": at(latencies, .99), "p99.9": at(latencies, .999), "max": latencies[-1] * 1e3,
        "commits/s": total / seconds, "records/s": records[0] / seconds, "batch": statistics.mean(batches),
        "MB/s": (written() - bytes0) / seconds / 1e6, "loop us": cpu["loop"] / total * 1e6,
        "writer us": cpu["writer"] / total * 1e6, "side us": getattr(engine, "side_cpu", 0) / total * 1e6,
        "stall": max(engine.stalls, default=0) * 1e3, "checkpoints": len(engine.stalls),
        "wal MB": getattr(engine, "size", 0) / 1e6, "gap p99.9": at(gaps, .999),
    }


CAPTURED: dict[int, list] = {}
COLUMNS = ("p50", "p99", "p99.9", "max", "MB/s", "batch", "records/s", "loop us", "writer us", "side us", "stall", "wal MB")


def measure(name: str, plan: Plan):
    if plan.keys not in CAPTURED:
        CAPTURED[plan.keys] = capture(plan.keys)
    commits = CAPTURED[plan.keys]
    results = []
    for _ in range(RUNS):
        root = tempfile.mkdtemp()
        sys.setswitchinterval(plan.switch_ms / 1e3)
        try:
            results.append(asyncio.run(drive(plan, root, commits)))
        finally:
            sys.setswitchinterval(0.005)
            shutil.rmtree(root)
    row = {c: statistics.median(r[c] for r in results) for c in COLUMNS}
    print(f"{name:44s}" + " ".join(f"{c} {row[c]:.2f}" if row[c] < 100 else f"{c} {row[c]:.0f}" for c in COLUMNS), flush=True)


# ---------------------------------------------------------------- tables
def encode_table():
    for keys in (20, 2_000):
        commits = capture(keys)
        assert all(decode_gap(encode_gap(c)) == c for c in commits)
        for name, encode in ENCODERS.items():
            times = []
            for _ in range(5):
                start = now()
                for c in commits:
                    encode(c)
                times.append((now() - start) / len(commits) * 1e6)
            size = statistics.mean(len(encode(c)) for c in commits)
            print(f"{keys:5d} keys  {name:9s} {statistics.mean(map(len, commits)):.2f} pages  {size:6.0f} B  {statistics.median(times):6.1f} us", flush=True)


def engine_table():
    measure("null (the bench itself)", Plan(engine="null"))
    for objects in (1, 64, 1000):
        for file in ("append", "falloc", "zeroed", "dsync") if objects == 64 else ("append", "zeroed"):
            measure(f"{objects} objects, file {file}", Plan(engine="file", file=file, objects=objects))
        measure(f"{objects} objects, sqlite", Plan(objects=objects))
        measure(f"{objects} objects, sqlite, raw", Plan(objects=objects, codec="raw"))
        measure(f"{objects} objects, sqlite, zlib", Plan(objects=objects, codec="zlib"))
    measure("64 objects, file zeroed, raw", Plan(engine="file", codec="raw"))


def layout_table():
    base = Plan()
    for objects in (64, 1000):
        for layout in ("pk", "index", "mem", "batch"):
            measure(f"{objects} objects, {layout}", replace(base, layout=layout, objects=objects))
        measure(f"{objects} objects, pk, per record", replace(base, layout="pk", bulk=False, objects=objects))
        measure(f"{objects} objects, mem, per record", replace(base, bulk=False, objects=objects))
        measure(f"{objects} objects, mem, no head", replace(base, head=False, objects=objects))
    measure("64 objects, pk, raw", replace(base, layout="pk", codec="raw"))
    measure("64 objects, index, raw", replace(base, layout="index", codec="raw"))
    measure("64 objects, mem, journal page 16384", replace(base, journal_page=16384))
    measure("64 objects, mem, raw, journal page 16384", replace(base, journal_page=16384, codec="raw"))


def checkpoint_table():
    for codec in ("gap", "raw"):
        for mode, limit in (("none", 4), ("auto", 4), ("auto", 32), ("sideonly", 4), ("side", 4), ("side", 32)):
            measure(f"64 objects, {codec}, {mode} {limit} MB", Plan(codec=codec, checkpoint=mode, limit=limit << 20))


def delete_table():
    for layout in ("index", "mem"):
        for forget in (0, 32, 256):
            measure(f"64 objects, {layout}, forget per {forget}", Plan(layout=layout, forget=forget))
    for forget in (32, 256):
        measure(f"64 objects, mem, forget per {forget}, riding", Plan(forget=forget, ride=True))
    measure("64 objects, mem, forget per 256, side 32 MB, riding", Plan(forget=256, ride=True, limit=32 << 20))
    measure("64 objects, index, forget per 256, side 32 MB, riding", Plan(layout="index", forget=256, ride=True, limit=32 << 20))


def busy_table():
    for switch, busy in ((5, 40), (5, 100), (0.5, 100)):
        note = f"loop {busy * RATE / 1e4:.0f} % busy, switch {switch} ms"
        measure(f"{note}: file zeroed", Plan(engine="file", busy_us=busy, switch_ms=switch))
        measure(f"{note}: file dsync", Plan(engine="file", file="dsync", busy_us=busy, switch_ms=switch))
        measure(f"{note}: sqlite bulk", Plan(busy_us=busy, switch_ms=switch))
        measure(f"{note}: sqlite bulk, no head", Plan(busy_us=busy, head=False, switch_ms=switch))
        measure(f"{note}: sqlite per record", Plan(busy_us=busy, bulk=False, switch_ms=switch))


TABLES = {"encode": encode_table, "engine": engine_table, "layout": layout_table, "checkpoint": checkpoint_table,
          "delete": delete_table, "busy": busy_table}

if __name__ == "__main__":
    for table in sys.argv[1:] or TABLES:
        print(f"-- {table}", flush=True)
        TABLES[table]()
