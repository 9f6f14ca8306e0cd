"""The bytes that one object's database may have: its own bound, and those of every tree that it belongs to.

The bounds are read from the accounts whenever SQLite is about to grow the file: a supervisor may change them at any
time. Effects: none.
"""

from __future__ import annotations

from perdure.objects._account import Account
from perdure.storage import PAGE_SIZE, DatabaseQuota, RootStore, TreeBound


def byte_quota_or_none(account: Account, root: RootStore) -> DatabaseQuota | None:
    """The quota of a database of `root`, None when nobody bounds it."""
    if account.limits.database_bytes is None and not tree_bounds(account):
        return None
    return DatabaseQuota(
        root.log.ledger,
        tuple(above.number for above in reversed(account.line[:-1])),
        scope=account.scope,
        own_bytes_max=lambda: account.limits.database_bytes,
        tree_bounds=lambda: tree_bounds(account),
    )


def tree_bounds(account: Account) -> list[TreeBound]:
    """The bounds, as they are now, of an object's tree and of those that it is in."""
    return [
        TreeBound(above.number, above.limits.tree_bytes // PAGE_SIZE, above.scope)
        for above in account.line
        if above.limits.tree_bytes is not None
    ]
