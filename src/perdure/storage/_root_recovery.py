"""The root log of an object as it begins: taken from the journal, after the object's files were made whole.

Blocks, and runs on the event loop: nobody may see the files before. Effects: disk.
"""

from __future__ import annotations

from perdure.errors import DataDirectoryError, StorageFailedError
from perdure.storage._journal import Elsewhere, Grant, History, Snapshot
from perdure.storage._layout import ObjectKey, number_of
from perdure.storage._object_name import ObjectName
from perdure.storage._recovery import FoldedHistory, fold_history, refuse_changed_files, restore_files
from perdure.storage._root_chain import KeptRecord, RootChain
from perdure.storage._root_context import RootContext
from perdure.storage._root_log import Commit, RootLog
from perdure.storage._template import PAGE_SIZE


def recover(context: RootContext, key: ObjectKey, name: ObjectName) -> RootLog:
    """Own the object, bring its files to the journal's head, and begin its log there.

    Raises DamagedDataError, DataDirectoryError, StorageFailedError.
    """
    grant = context.journal.acquire(context.lease, key)
    if isinstance(grant, Elsewhere):
        raise DataDirectoryError(f"object `{key.object_id.hex()}` is owned by `{grant.address}`")
    history = context.journal.load(grant)
    folded = fold_history(key, history)
    _restore_all(context, key, history, folded)
    name.remember(history.name)
    return _log(context, grant, history, folded, name)


def _restore_all(context: RootContext, key: ObjectKey, history: History, folded: FoldedHistory) -> None:
    try:
        changed = restore_files(context.layout, context.disk, key, folded, history.files)
    except OSError as error:
        raise StorageFailedError(f"object `{key.object_id.hex()}` cannot be recovered: {error}") from error
    if changed and context.adopt_changed_files:
        context.journal.snapshot(Snapshot(key, dict(changed), history.forgotten, history.forgotten_digest))
    else:
        refuse_changed_files(context.layout, key, changed)


def _log(context: RootContext, grant: Grant, history: History, folded: FoldedHistory, name: ObjectName) -> RootLog:
    forgotten = KeptRecord(history.forgotten, history.forgotten_digest, 0)
    chain: RootChain[Commit] = RootChain(forgotten=forgotten, kept=folded.kept)
    for lineage in history.files:
        chain.attach(number_of(lineage), lineage)
    for lineage, file in folded.files.items():
        chain.attach_replayed(number_of(lineage), lineage, is_deleted=file.is_deleted)
    log = RootLog(
        chain,
        grant=grant,
        journal=context.journal,
        clock=context.clock,
        alarm_set=context.alarm_set,
        name_to_tell=name.take_untold,
    )
    for lineage, state in history.files.items():
        log.ledger.record(lineage, state.size_bytes // PAGE_SIZE)
    for lineage, file in folded.files.items():
        log.ledger.record(lineage, file.file_pages)
    return log
