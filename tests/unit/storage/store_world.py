"""A store in a temporary directory, and ways to end it: cleanly, or as a crash would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from perdure.clock import SystemClock, SystemEntropy
from perdure.storage import Captured, Database, RootStore, Store, StoreOptions

NAMESPACE = "Counter"
OBJECT_ID = bytes(32)


def opened(directory: Path, options: StoreOptions | None = None) -> Store:
    return Store.open(directory, clock=SystemClock(), entropy=SystemEntropy(), options=options)


@asynccontextmanager
async def store_in(directory: Path, options: StoreOptions | None = None) -> AsyncIterator[Store]:
    store = opened(directory, options)
    try:
        yield store
    finally:
        await store.close()


async def crash(store: Store) -> None:
    """What the end of the process does: files and journal stay as they are, the lock goes."""
    await asyncio.to_thread(store._journal.close)
    for root in store._roots.values():
        for database in root._databases.values():
            database.close()
    store._context.executor.shutdown()
    store._lock.release()


async def put(root: RootStore, key: str, value: str, *, number: int = 0) -> None:
    """One acknowledged commit."""
    database = root.open_database(number)
    database.kv_put(key, value)
    await root.log.submit(committed(database))


def committed(database: Database) -> Captured:
    captured = database.commit()
    assert captured is not None
    return captured


def database_file(directory: Path, tree: str = "") -> Path:
    return directory / "objects" / NAMESPACE / f"{OBJECT_ID.hex()}{tree}.sqlite"
