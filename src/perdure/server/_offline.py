"""Answers about a data directory, whether a platform runs on it or not.

A running one is asked through its socket. Of a stopped one the store is opened here, under the directory's lock and
without the app's code: nothing is started, no alarm fires, and the end is a clean stop. Effects: disk, network, tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from perdure.clock import SystemClock, SystemEntropy
from perdure.errors import ConfigurationError, DirectoryInUseError, UnavailableError
from perdure.history import HistoryOptions, SegmentArchive
from perdure.isolates import Isolates, Runner
from perdure.objects import Directory
from perdure.server._admin import Admin
from perdure.server._admin_requests import AdminRequest, Answer
from perdure.server._admin_socket import ask_running
from perdure.server._finder import Finder
from perdure.storage import Layout, Store, StoreOptions
from perdure.workers import WorkerRuntime

_EVERYTHING: Final = HistoryOptions(max_age=timedelta(days=365_000), max_bytes=1 << 62)
_ATTEMPTS: Final = 50  # while a server starts or stops
_ATTEMPT_S: Final = 0.1


async def ask(data: Path, request: AdminRequest) -> Answer:
    """The answer to `request` about the directory `data`. Raises PerdureError whose text is for people."""
    layout = Layout(data)
    check_is_data_directory(layout)
    attempt = 0
    while True:
        answer = await ask_running(layout.admin_socket, request)
        if answer is not None:
            return answer
        try:
            return await _ask_stopped(data, request)
        except DirectoryInUseError as error:
            attempt += 1
            if attempt == _ATTEMPTS:
                raise UnavailableError(f"{error}. It answers no commands: it is starting, stopping, or hung") from error
        await asyncio.sleep(_ATTEMPT_S)


def check_is_data_directory(layout: Layout) -> None:
    """Raise ConfigurationError unless something was ever served from there: looking must not make one."""
    if not layout.journal.exists():
        raise ConfigurationError(
            f"`{layout.directory}` is no data directory: it has no journal. Say where it is with --data"
        )


async def _ask_stopped(data: Path, request: AdminRequest) -> Answer:
    warnings: list[str] = []
    async with opened(data, warnings) as (admin, _, _):
        answer = await admin.answer(request)
    if warnings:
        answer.summary["warnings"] = list(warnings)
    return answer


@asynccontextmanager
async def opened(data: Path, warnings: list[str]) -> AsyncIterator[tuple[Admin, Directory, Finder]]:
    """A stopped directory, under its lock; `warnings` gets what went wrong while it was closed."""
    clock = SystemClock()
    # Without the app nobody knows how much of the past it keeps. What is kept stays, whatever its age.
    options = StoreOptions(make_archive=partial(SegmentArchive, options=_EVERYTHING))
    store = Store.open(data, clock=clock, entropy=SystemEntropy(), options=options)
    runtime = WorkerRuntime(isolates=Isolates(), runner=Runner(), clock=clock)
    directory = Directory(store=store, runtime=runtime, clock=clock, entropy=SystemEntropy())
    try:
        yield Admin(store=store, directory=directory, clock=clock), directory, Finder(store, directory)
    finally:
        await directory.close()
        try:
            await store.close()
        except UnavailableError as error:  # The journal keeps what could not be written: nothing is lost.
            warnings.append(str(error))
