"""Migrations of a platform's workers: which are to be applied, and applying them before any object runs.

What was applied is remembered in the data directory. Objects of a deleted class are deleted first, then the migration
is remembered: after a crash between the two it is applied again, and finds less to do. Effects: disk, log.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from perdure.clock import Clock
from perdure.config import AppliedMigration, Config, Plan, WorkerClasses, plan
from perdure.errors import ConfigurationError, DataDirectoryError
from perdure.objects import Directory
from perdure.server._finder import Finder, Target
from perdure.server._history_desk import HistoryDesk
from perdure.storage import ClassRegister, ObjectKey, Store

_LOG: Final = logging.getLogger("perdure.server")
_VERSION: Final = 1
_PAGE: Final = 500
_WAYS_BACK_TOLD_MAX: Final = 10


class Migrations:
    """Those of one platform. `keys` says which class of which worker has which key once they are applied."""

    def __init__(self, configs: Sequence[Config], data: Path) -> None:
        self._configs = configs
        self._data = data
        self._plan = self._look()

    def keys(self, worker: str) -> Mapping[str, str]:
        """The key of each class that has a namespace."""
        return self._plan.workers[worker].keys

    def _look(self) -> Plan:
        """Raises ConfigurationError for a migration that does not fit what was applied before."""
        return plan(self._configs, _remembered(ClassRegister(self._data).read()))

    async def apply(self, store: Store, directory: Directory, clock: Clock) -> None:
        """Apply what is still to be applied. The data directory is ours, and no object runs yet."""
        now = self._look()
        if now != self._plan:
            raise ConfigurationError(
                "another program has applied migrations to this data directory since it was looked at: start again"
            )
        register = ClassRegister(store.layout.directory, store.disk)
        wanted = _tree(now.workers)
        if wanted == register.read():
            return
        for key in now.deleted:
            await _delete_all(key, store, directory, clock)
        register.write(wanted)
        self._plan = self._look()


async def _delete_all(namespace: str, store: Store, directory: Directory, clock: Clock) -> None:
    """Delete every object of a namespace, and say how they come back if they can."""
    history = HistoryDesk(store, directory, Finder(store, directory), clock)
    count = 0
    after: ObjectKey | None = None
    while page := store.objects(namespace=namespace, after=after, limit=_PAGE):
        after = page[-1].key
        for listed in page:
            if listed.is_deleted:
                continue
            target = Target(listed)
            before = await history.bookmark_or_none(target)
            await directory.delete(listed.key)
            count += 1
            if before is not None and count <= _WAYS_BACK_TOLD_MAX:
                _LOG.info("deleted `%s`; undo: %s", target.text, shlex.join(history.way_back(target, before)))
    _LOG.warning(
        "a migration has deleted the namespace `%s` with its objects (%d); %s",
        namespace,
        count,
        "`perdure rewind OBJECT -1h` brings one back" if history.is_kept else "nothing keeps their history",
    )


def _tree(workers: Mapping[str, WorkerClasses]) -> dict[str, object]:
    return {
        "version": _VERSION,
        "workers": {
            name: {
                "applied": [{"tag": migration.tag, "steps": dict(migration.steps)} for migration in worker.applied],
                "keys": dict(worker.keys),
            }
            for name, worker in workers.items()
            if worker.applied or worker.keys
        },
    }


def _remembered(tree: object) -> dict[str, WorkerClasses]:
    """What a register holds. Raises DataDirectoryError for what a later version of ours has written."""
    if tree is None:
        return {}
    try:
        if tree["version"] != _VERSION:  # type: ignore[index]  # a wrong shape is caught below
            raise DataDirectoryError(
                f"the register of classes in the data directory has version `{tree['version']}`, this perdure knows "  # type: ignore[index]
                f"{_VERSION}: use the perdure that wrote it"
            )
        return {
            name: WorkerClasses(
                [AppliedMigration(item["tag"], item["steps"]) for item in worker["applied"]], dict(worker["keys"])
            )
            for name, worker in tree["workers"].items()  # type: ignore[index]
        }
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise DataDirectoryError(f"the register of classes in the data directory is malformed: {error}") from None
