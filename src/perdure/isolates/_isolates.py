"""All isolates of a process: the engine, the images, the instances made ahead. Effects: disk, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

from perdure.errors import UsageError
from perdure.isolates._engine import Engine
from perdure.isolates._isolate import Isolate
from perdure.isolates._javascript import JavaScriptGuests
from perdure.isolates._pool import InstancePool
from perdure.isolates._python import PythonGuests
from perdure.limits import INSTANCES_READY


class Instance(Isolate, Protocol):
    """An isolate before its first call."""

    def rehearse(self) -> None:
        """Get ready for use, ahead of it."""
        ...

    def limit_memory(self, memory_bytes: int) -> None:
        """Bound its memory."""
        ...


class Guests(Protocol):
    """How the isolates of one language are made; constructing one compiles or maps its image."""

    def make(self) -> Instance:
        """A fresh instance, before any code is loaded into it."""
        ...


GUESTS: Final[dict[str, Callable[[Engine], Guests]]] = {"python": PythonGuests, "javascript": JavaScriptGuests}


class Isolates:
    """Makes isolates; one per process is enough. Thread-safe."""

    def __init__(
        self, *, cache_directory: Path | None = None, on_progress: Callable[[str], None] | None = None
    ) -> None:
        self._cache_directory = cache_directory
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._pools: dict[str, InstancePool[Instance]] = {}

    def warm_up(self, languages: Iterable[str] = tuple(GUESTS)) -> None:
        """Compile or map the images, and make instances ahead. Blocks: seconds the first time, then milliseconds.

        Raises ConfigurationError when an image is missing or the cache directory cannot be trusted.
        """
        for language in languages:
            self._pool(language).fill()

    def create(self, language: str, *, memory_bytes: int) -> Isolate:
        """A fresh isolate, from those made ahead if there is one."""
        instance = self._pool(language).take()
        instance.limit_memory(memory_bytes)
        return instance

    def close(self) -> None:
        """Stop the threads and free what nobody has taken. Isolates in use must be closed before."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def _pool(self, language: str) -> InstancePool[Instance]:
        pool = self._pools.get(language)
        if pool is not None:
            return pool
        load = GUESTS.get(language)
        if load is None:
            raise UsageError(f"there are no `{language}` guests: use one of {', '.join(GUESTS)}")
        with self._lock:
            if language not in self._pools:
                if self._engine is None:
                    self._engine = Engine(cache_directory=self._cache_directory, on_progress=self._on_progress)
                self._pools[language] = InstancePool(load(self._engine).make, size=INSTANCES_READY)
            return self._pools[language]
