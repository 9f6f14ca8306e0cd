"""Experiment (c): the skeleton of one request and nothing else.

uvicorn (httptools, uvloop) -> ASGI app -> a trusted coroutine -> one guest turn that does kv get + put on the object's own
SQLite (WAL, synchronous=OFF) -> COMMIT -> the tail of its -wal -> group commit on a writer thread (journal.db,
synchronous=FULL) -> the reply leaves only after the acknowledgement. 64 objects, requests spread over them.

    python c_request_skeleton.py [--seconds 3] [--reps 3] [--lock FILE]    tables: layers, group commit, threads
    python c_request_skeleton.py --prices                                  what each small thing costs, in process

Server and wrk are pinned to one core each, so "CPU per request" is the whole server process on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import queue
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from a_switch_interval import ECHO, FETCH, Guest, GuestHost, Kv, alone, build_guest, clean_stop, control, server, wrk

FRAME = 24 + 4096
WAL_LIMIT = 1 << 22  # checkpoint and truncate an object's -wal beyond this
REQUEST = b'{"method":"GET","url":"http://x/"}'
Pages = dict[int, bytes]


class Actor:
    """One object: its database, its guest, and where its -wal was last read."""

    def __init__(self, folder: Path, number: int, host: GuestHost | None) -> None:
        self.number = number
        path = folder / f"{number}.db"
        self.kv = Kv(path)
        self.kv.bump()
        self.wal = os.open(f"{path}-wal", os.O_RDONLY)
        self.offset = os.fstat(self.wal).st_size
        self.guest = Guest(host, self.kv.host_call) if host else None

    def trusted_turn(self) -> bytes:
        n = int(self.kv.host_call(1, b"counter", b"") or 0) + 1
        self.kv.host_call(2, b"counter", b"%d" % n)
        return b"You've made %d requests.\n" % n

    def guest_turn(self) -> bytes:
        assert self.guest
        answer: str = json.loads(self.guest.call(FETCH, REQUEST))["body"]
        return answer.encode()

    def commit(self) -> bytes:
        """End the unit; returns the raw frames it appended to the -wal."""
        kv = self.kv
        kv.execute("COMMIT")
        kv.open = False
        tail = os.pread(self.wal, 1 << 16, self.offset)
        self.offset += len(tail)
        if self.offset > WAL_LIMIT:
            kv.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.offset = 0
        return tail


def pages_of(tail: bytes) -> Pages:
    start = len(tail) % FRAME  # 32 when the file header is included
    return {struct.unpack_from(">I", tail, at)[0]: tail[at + 24 : at + FRAME] for at in range(start, len(tail), FRAME)}


class Journal:
    """Group commit. One batch is with the writer; what comes meanwhile folds, per object, into the next one.

    group  tick   a batch leaves at the end of the loop's tick, if the writer is idle (one shared future per batch)
           now    as tick, but leaves at the first record
           queue  every record goes to the writer's queue by itself, with a future of its own
    rows   one    the whole batch is one row (three steps of SQLite: begin, insert, commit)
           each   one row per record (executemany)
    """

    def __init__(self, folder: Path, *, group: str, rows: str, pack: bool) -> None:
        import apsw
        import zstandard

        self.loop = asyncio.get_running_loop()
        self.group, self.rows = group, rows
        self.pack = zstandard.ZstdCompressor(level=1).compress if pack else None
        self.db = apsw.Connection(str(folder / "journal.db"))
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000"):
            self.db.execute(f"PRAGMA {pragma}")
        self.db.execute("CREATE TABLE log(batch INT, object INT, data BLOB, PRIMARY KEY(batch, object)) WITHOUT ROWID")
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.pending: dict[int, Pages] = {}
        self.gate: asyncio.Future[None] | None = None
        self.busy = False
        self.batches = self.records = self.commits = 0
        self.cpu = 0.0
        threading.Thread(target=self.write_queue if group == "queue" else self.write_batches, daemon=True).start()

    # -- on the loop
    def append(self, number: int, tail: bytes) -> asyncio.Future[None]:
        self.commits += 1
        if self.group == "queue":
            own: asyncio.Future[None] = self.loop.create_future()
            self.inbox.put((number, tail, own))
            return own
        pages = self.pending.get(number)
        if pages is None:
            self.pending[number] = pages_of(tail)
        else:
            pages.update(pages_of(tail))
        if self.gate is None:
            self.gate = self.loop.create_future()
            if not self.busy:
                if self.group == "now":
                    self.flush()
                    return self.sent
                self.loop.call_soon(self.flush)
        return self.gate

    def flush(self) -> None:
        if self.gate is None or self.busy:
            return
        self.busy, self.sent = True, self.gate
        batch, self.pending, self.gate = self.pending, {}, None
        self.inbox.put((batch, self.sent))

    def acknowledged(self, gate: asyncio.Future[None]) -> None:
        self.busy = False
        gate.set_result(None)
        self.flush()

    def acknowledged_each(self, batch: list[Any]) -> None:
        for _, _, own in batch:
            own.set_result(None)

    # -- on the writer thread
    def store(self, records: list[tuple[int, bytes]]) -> None:
        self.batches += 1
        self.records += len(records)
        execute = self.db.execute
        execute("BEGIN IMMEDIATE")
        if self.rows == "one":
            blob = b"".join(part for number, data in records for part in (struct.pack(">II", number, len(data)), data))
            execute("INSERT INTO log VALUES(?,0,?)", (self.batches, self.pack(blob) if self.pack else blob))
        else:
            at = self.batches << 16
            rows = [(at + i, number, data) for i, (number, data) in enumerate(records)]
            self.db.executemany("INSERT INTO log VALUES(?,?,?)", rows)
        execute("COMMIT")
        self.cpu = time.thread_time()

    def write_batches(self) -> None:
        while True:
            batch, gate = self.inbox.get()
            self.store([(number, b"".join(pages.values())) for number, pages in batch.items()])
            self.loop.call_soon_threadsafe(self.acknowledged, gate)

    def write_queue(self) -> None:
        while True:
            batch = [self.inbox.get()]
            while not self.inbox.empty() and len(batch) < 512:
                batch.append(self.inbox.get())
            self.store([(number, tail) for number, tail, _ in batch])
            self.loop.call_soon_threadsafe(self.acknowledged_each, batch)


class Worker:
    """Turns on a thread. Answers come back through one deque and one wake-up of the loop per burst."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.done: deque[Any] = deque()
        self.woken = False
        threading.Thread(target=self.run, daemon=True).start()

    def submit(self, job: Callable[[], Any]) -> asyncio.Future[Any]:
        answer = self.loop.create_future()
        self.inbox.put((job, answer))
        return answer

    def run(self) -> None:
        while True:
            job, answer = self.inbox.get()
            self.done.append((answer, job()))
            if not self.woken:
                self.woken = True
                self.loop.call_soon_threadsafe(self.drain)

    def drain(self) -> None:
        self.woken = False
        while self.done:
            answer, value = self.done.popleft()
            answer.set_result(value)


class Platform:
    """The ASGI app. turn: hello | none | trusted | inline | thread."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.folder, self.args = folder, args
        self.served = 0
        self.journal: Journal | None = None
        self.worker: Worker | None = None
        self.actors: list[Actor] = []

    def start(self) -> None:
        turn = self.args.turn
        host = GuestHost() if turn in ("inline", "thread") else None
        if turn not in ("hello", "none"):
            self.actors = [Actor(self.folder, number, host) for number in range(self.args.objects)]
            if self.args.journal:
                self.journal = Journal(self.folder, group=self.args.group, rows=self.args.rows, pack=self.args.pack)
        if turn == "thread":
            self.worker = Worker()

    async def front(self, number: int) -> bytes:
        """The first turn: trusted code that passes the request on."""
        if self.args.task:
            return await asyncio.get_running_loop().create_task(self.back(number))
        return await self.back(number)

    def whole_turn(self, actor: Actor) -> tuple[bytes, bytes]:
        body = actor.trusted_turn() if self.args.turn == "trusted" else actor.guest_turn()
        return body, actor.commit()

    async def back(self, number: int) -> bytes:
        """The second turn: the object, its commit, its gate."""
        if self.args.turn == "none":
            return b"Hello World\n"
        actor = self.actors[number]
        if self.worker:
            turn: asyncio.Future[tuple[bytes, bytes]] = self.worker.submit(lambda: self.whole_turn(actor))
            body, tail = await turn
        else:
            body, tail = self.whole_turn(actor)
        if self.journal:
            await self.journal.append(number, tail)
        return body

    def counters(self, query: bytes) -> bytes:
        if query:
            sys.setswitchinterval(float(query))
        journal = self.journal
        return json.dumps(
            {
                "t": time.perf_counter(),
                "served": self.served,
                "cpu": time.process_time(),
                "loop": time.thread_time(),
                "batches": journal.batches if journal else 0,
                "records": journal.records if journal else 0,
                "writer": journal.cpu if journal else 0,
            }
        ).encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/ctl":
            if not self.actors and self.args.turn not in ("hello", "none"):
                self.start()
            body = self.counters(scope["query_string"])
        else:
            self.served += 1
            body = b"Hello World\n" if self.args.turn == "hello" else await self.front(self.served % self.args.objects)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def serve(args: argparse.Namespace) -> None:
    import uvicorn

    clean_stop()
    with tempfile.TemporaryDirectory(prefix="perdure-c-") as name:
        app = Platform(Path(name), args)
        config = uvicorn.Config(
            app, port=args.serve, loop="uvloop", http="httptools", log_level="error", access_log=False, lifespan="off"
        )
        uvicorn.Server(config).run()


# ---- tables -------------------------------------------------------------------------------------------------------

LAYERS = {
    "hello, uvicorn alone": ["--turn", "hello"],
    "+ two turns, no kv": ["--turn", "none"],
    "trusted kv, no journal": ["--turn", "trusted"],
    "guest kv inline, no journal": ["--turn", "inline"],
    "guest kv on a thread, no journal": ["--turn", "thread"],
    "trusted kv, journal": ["--turn", "trusted", "--journal"],
    "guest kv inline, journal": ["--turn", "inline", "--journal"],
    "guest kv on a thread, journal": ["--turn", "thread", "--journal"],
    "guest inline, journal, task per event": ["--turn", "inline", "--journal", "--task"],
}
FEWER = {
    f"{turn}{', journal' if journal else ''}, {count} objects": ["--turn", turn, "--objects", str(count), *journal]
    for turn in ("trusted", "inline")
    for journal in ([], ["--journal"])
    for count in (1, 8, 64)
}
GROUPS = {
    f"{group}, rows {rows}{', zstd' if pack else ''}": ["--turn", "inline", "--journal", "--group", group, "--rows", rows]
    + (["--pack"] if pack else [])
    for group, rows, pack in (
        ("tick", "one", True),
        ("tick", "one", False),
        ("tick", "each", False),
        ("now", "one", False),
        ("queue", "one", False),
        ("queue", "each", False),
    )
}


def table(cases: dict[str, list[str]], connections: list[int], intervals: list[float], args: argparse.Namespace) -> None:
    print("case | conns | interval ms | req/s | CPU us/req | loop us | writer us | p50 ms | p99 ms | records/batch")
    pin, other = (("taskset", "-c", "0"), ("taskset", "-c", "1")) if args.pin else ((), ())
    for name, options in cases.items():
        with server(options, script=__file__, prefix=pin) as port, alone(args.lock):
            wrk(port, 16, 1, other)
            for interval in intervals:
                for count in connections:
                    rows: list[list[float]] = []
                    for _ in range(args.reps):
                        before = control(port, interval / 1e3)
                        got = wrk(port, count, args.seconds, other)
                        after = control(port)
                        d = {key: after[key] - before[key] for key in after}
                        each = [d[key] / d["served"] * 1e6 for key in ("cpu", "loop", "writer")]
                        rows.append([got["rps"], *each, got["p50"], got["p99"], d["records"] / max(1, d["batches"])])
                    m = [statistics.median(column) for column in zip(*rows, strict=True)]
                    print(
                        f"{name} | {count} | {interval} | {m[0]:.0f} | {m[1]:.1f} | {m[2]:.1f} | {m[3]:.1f} "
                        f"| {m[4]:.2f} | {m[5]:.2f} | {m[6]:.1f}",
                        flush=True,
                    )


# ---- prices -------------------------------------------------------------------------------------------------------


def price(name: str, work: Callable[[], object], times: int) -> None:
    """Median of five runs, µs of wall time per piece."""
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        rounds.append((time.perf_counter() - start) / times * 1e6)
    print(f"{name:58s} {statistics.median(rounds):8.2f} us", flush=True)


async def asyncio_prices(n: int = 20_000) -> None:
    loop = asyncio.get_running_loop()

    async def nothing() -> None:
        pass

    async def timed(name: str, work: Callable[[], Any], times: int = n) -> None:
        rounds = []
        for _ in range(5):
            start = time.perf_counter()
            await work()
            rounds.append((time.perf_counter() - start) / times * 1e6)
        print(f"{name:58s} {statistics.median(rounds):8.2f} us", flush=True)

    async def direct() -> None:
        for _ in range(n):
            await nothing()

    async def tasks() -> None:
        for _ in range(n):
            await loop.create_task(nothing())

    async def futures() -> None:
        for _ in range(n):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    async def futures_apart() -> None:  # the future alone: made, resolved, awaited without a suspension
        for _ in range(n):
            future = loop.create_future()
            future.set_result(None)
            await future

    async def shared(waiters: int = 64) -> None:
        async def wait(gate: asyncio.Future[None]) -> None:
            await gate

        for _ in range(n // waiters):
            gate = loop.create_future()
            all_tasks = [loop.create_task(wait(gate)) for _ in range(waiters)]
            await asyncio.sleep(0)
            gate.set_result(None)
            for task in all_tasks:
                await task

    async def own(waiters: int = 64) -> None:
        async def wait(gate: asyncio.Future[None]) -> None:
            await gate

        for _ in range(n // waiters):
            gates = [loop.create_future() for _ in range(waiters)]
            all_tasks = [loop.create_task(wait(gate)) for gate in gates]
            await asyncio.sleep(0)
            for gate in gates:
                gate.set_result(None)
            for task in all_tasks:
                await task

    async def threadsafe() -> None:
        for _ in range(n):
            loop.call_soon_threadsafe(int)

    async def executor() -> None:
        for _ in range(n // 10):
            await loop.run_in_executor(None, int)

    worker = Worker()

    async def handover() -> None:
        for _ in range(n // 10):
            await worker.submit(int)

    async def handover_many() -> None:
        for _ in range(n // 64):
            await asyncio.gather(*[worker.submit(int) for _ in range(64)])

    await timed("await a coroutine", direct)
    await timed("task per event (create_task + await)", tasks)
    await timed("future resolved before it is awaited", futures_apart)
    await timed("future resolved later (suspend + call_soon + wake)", futures)
    await timed("64 tasks on 64 futures, per task", own)
    await timed("64 tasks on one shared future, per task", shared)
    await timed("call_soon_threadsafe, from the loop's thread", threadsafe)
    await timed("run_in_executor, there and back", executor, n // 10)
    await timed("own thread + deque + wake, there and back", handover, n // 10)
    await timed("the same, 64 in flight, per piece", handover_many)


def prices() -> None:
    import zstandard

    n = 5_000
    with tempfile.TemporaryDirectory(prefix="perdure-c-") as name:
        folder = Path(name)
        host = GuestHost()
        actor = Actor(folder, 0, host)
        kv = actor.kv
        plain = Guest(host, lambda op, key, payload: b"1")
        loose = Guest(GuestHost(hold_gil=False), lambda op, key, payload: b"1")

        def many(work: Callable[[], object], times: int = n) -> Callable[[], None]:
            def run() -> None:
                for _ in range(times):
                    work()

            return run

        def turn() -> None:
            actor.trusted_turn()
            actor.commit()

        def guest_turn() -> None:
            actor.guest_turn()
            actor.commit()

        def empty_unit() -> None:
            kv.execute("BEGIN IMMEDIATE")
            kv.execute("COMMIT")

        price("kv get", many(lambda: kv.host_call(1, b"counter", b"")), n)
        price("BEGIN IMMEDIATE + COMMIT, empty", many(empty_unit), n)
        price("get + BEGIN + put + COMMIT + pread of the tail", many(turn), n)
        price("pread of an unchanged -wal", many(lambda: os.pread(actor.wal, 1 << 16, actor.offset)), n)
        price("guest call, echo", many(lambda: plain.call(ECHO, b"x")), n)
        price("guest fetch (json in/out, 2 empty host calls)", many(lambda: plain.call(FETCH, REQUEST)), n)
        price("the same, small FFI calls release the GIL", many(lambda: loose.call(FETCH, REQUEST)), n)
        price("guest fetch + real kv + COMMIT + pread", many(guest_turn), n)
        for count in (4, 16, 64):  # the same turns, but each on the next of so many objects: what cold caches cost
            crowd = [Actor(folder, 1000 * count + i, host) for i in range(count)]
            round_robin = itertools.cycle(crowd)
            idle = itertools.cycle([Guest(host, lambda op, key, payload: b"1") for _ in range(count)])

            def next_trusted(objects: Any = round_robin) -> None:
                actor = next(objects)
                actor.trusted_turn()
                actor.commit()

            def next_guest(objects: Any = round_robin) -> None:
                actor = next(objects)
                actor.guest_turn()
                actor.commit()

            def next_fetch(guests: Any = idle) -> None:
                next(guests).call(FETCH, REQUEST)

            price(f"{count} in rotation: trusted turn + COMMIT + pread", many(next_trusted), n)
            price(f"{count} in rotation: guest fetch, empty host calls", many(next_fetch), n)
            price(f"{count} in rotation: guest fetch + kv + COMMIT + pread", many(next_guest), n)
        page = os.urandom(300) + bytes(3796)
        pack = zstandard.ZstdCompressor(level=1).compress
        price("zstd-1 of a 4 KB page, mostly zeros", many(lambda: pack(page)), n)
        price("sha256 of 4 KB", many(lambda: hashlib.sha256(page).digest()), n)
        price("blake2b of 4 KB", many(lambda: hashlib.blake2b(page, digest_size=32).digest()), n)
        here: queue.SimpleQueue[int] = queue.SimpleQueue()
        there: queue.SimpleQueue[int] = queue.SimpleQueue()

        def echo() -> None:
            while True:
                here.put(there.get())

        def ping() -> None:
            there.put(1)
            here.get()

        threading.Thread(target=echo, daemon=True).start()
        price("two thread switches (SimpleQueue ping-pong)", many(ping), n)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio_prices())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", type=int)
    parser.add_argument("--turn", default="inline", choices=["hello", "none", "trusted", "inline", "thread"])
    parser.add_argument("--journal", action="store_true")
    parser.add_argument("--group", default="tick", choices=["tick", "now", "queue"])
    parser.add_argument("--rows", default="one", choices=["one", "each"])
    parser.add_argument("--pack", action="store_true", help="zstd the batch on the writer thread")
    parser.add_argument("--objects", type=int, default=64)
    parser.add_argument("--task", action="store_true", help="one more asyncio task per event")
    parser.add_argument("--prices", action="store_true")
    parser.add_argument("--tables", nargs="*", default=["layers", "objects", "groups", "threads"])
    parser.add_argument("--no-pin", dest="pin", action="store_false")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--lock")
    args = parser.parse_args()
    if args.serve is not None:
        serve(args)
        return
    build_guest()
    if args.prices:
        with alone(args.lock):
            prices()
        return
    if "layers" in args.tables:
        table(LAYERS, [1, 16, 64], [5], args)
    if "objects" in args.tables:
        table(FEWER, [64], [5], args)
    if "groups" in args.tables:
        table(GROUPS, [64], [5, 0.5], args)
    if "threads" in args.tables:
        args.pin = False
        table({k: v for k, v in LAYERS.items() if "kv" in k and ", journal" in k}, [64], [5, 0.5, 0.1], args)


if __name__ == "__main__":
    main()
