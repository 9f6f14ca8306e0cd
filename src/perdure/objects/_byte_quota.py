"""The bytes that one object's database may have: its own bound, and those of every tree that it belongs to.

The bounds are read from the accounts whenever SQLite is about to grow the file: a supervisor may change them at any
time. Effects: none.
"""

from __future__ import annotations

from perdure.objects._account import Account
from perdure.storage import PAGE_SIZE, DatabaseQuota, RootStore, TreeBound


def byte_quota_or_none(account: Account, root: RootStore) -> DatabaseQuota | None:
    """The quota of a database of `root`, None when nobody bounds it."""
    line = account.line
    if account.limits.database_bytes is None and all(above.limits.tree_bytes is None for above in line):
        return None

    def tree_bounds() -> list[TreeBound]:
        return [
            TreeBound(above.number, above.limits.tree_bytes // PAGE_SIZE, above.scope)
            for above in line
            if above.limits.tree_bytes is not None
        ]

    return DatabaseQuota(
        root.log.ledger,
        tuple(above.number for above in reversed(line[:-1])),
        scope=account.scope,
        own_bytes_max=lambda: account.limits.database_bytes,
        tree_bounds=tree_bounds,
    )
