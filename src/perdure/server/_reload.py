"""Reload on save: the program is imported again in the living process; sockets and data stay.

Code that does not import, or does not start, is reported and the old code keeps serving. Effects: disk, tasks, threads.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import watchfiles

from perdure.errors import PerdureError
from perdure.server._discover import RunnablePlatform, Wanted, Watched, discover
from perdure.server._live import LiveApp

_LOG: Final = logging.getLogger("perdure.server")
_SOURCE_SUFFIXES: Final = frozenset(
    {".py", ".js", ".mjs", ".cjs", ".ts", ".mts", ".tsx", ".jsx", ".html", ".css", ".svg", ".sql", ".txt", ".md"}
    | {".toml", ".json", ".jsonc"}
)
_SECRETS: Final = ".dev.vars"
_QUIET_MS: Final = 100  # editors save in several steps


async def reload_on_save(
    live: LiveApp, tree: Watched, wanted: Wanted, *, platform_type: type[RunnablePlatform]
) -> None:
    """Replace what `live` serves whenever a source below `tree` changes, for ever."""
    try:
        await _reload_on_changes(live, tree, wanted, platform_type=platform_type)
    except (OSError, RuntimeError) as error:
        _LOG.warning("reload on save is off, the folder cannot be watched: %s", error)


async def _reload_on_changes(
    live: LiveApp, tree: Watched, wanted: Wanted, *, platform_type: type[RunnablePlatform]
) -> None:
    changes = watchfiles.awatch(
        *tree.watched_folders(),
        watch_filter=is_source,
        debounce=_QUIET_MS,
        recursive=False,  # the data directory is in there, and is written all the time
        raise_interrupt=False,
    )
    async for changed in changes:
        names = ", ".join(sorted({Path(path).name for _, path in changed}))
        await reload(live, wanted, names=names, platform_type=platform_type)


async def reload(live: LiveApp, wanted: Wanted, *, names: str, platform_type: type[RunnablePlatform]) -> None:
    """Read what is wanted anew and serve it; when that fails, say so and go on with the old code."""
    try:
        found, _ = discover(wanted, platform_type=platform_type)
        found.platform.is_development = True
        found.platform.adopt_changed_files = live.found.platform.adopt_changed_files
        await live.replace(found)
    except (PerdureError, OSError, RuntimeError) as error:
        _LOG.error("%s changed, but the new code does not start; the old code goes on.\n%s", names, error)
    else:
        _LOG.info("%s changed: serving %s", names, found.description)


def is_source(_change: object, path: str) -> bool:
    """True for a file whose change may change the program."""
    file = Path(path)
    if file.name.startswith(_SECRETS):
        return True
    return file.suffix in _SOURCE_SUFFIXES and not file.name.startswith((".", "#"))
