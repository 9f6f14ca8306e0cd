"""ObjectHistory: the past of one object, for whoever runs the platform. Effects: disk, tasks."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import StorageFailedError, UsageError
from perdure.history import (
    AsOf,
    Bookmark,
    CommitInfo,
    DatabaseDiff,
    When,
    diff_files,
    read_bundle,
    reading,
    write_bundle,
)
from perdure.limits import COMMITS_LISTED_MAX, PAST_ROWS_MAX
from perdure.objects import Travels
from perdure.storage import ObjectKey
from perdure.wire import SqlValue, decode

_CANNOT_READ: Final = "the state of an object at that moment cannot be read so: {}"


class PastState:
    """An object as of one moment, inside `async with history.as_of(…)`. `facet`: names from the root's child down."""

    def __init__(self, then: AsOf) -> None:
        self._then = then
        self.bookmark: Final = str(Bookmark(then.sequence, 0))

    @property
    def facets(self) -> list[tuple[str, ...]]:
        """The paths of the facets there were."""
        return sorted(self._then.path(lineage) for lineage in self._then.files if lineage)

    def kv(self, *, facet: Sequence[str] = ()) -> dict[str, object]:
        """All entries, of which there may be `PAST_ROWS_MAX`; raises UsageError when there are more."""
        rows = self.sql("SELECT key, value FROM _cf_KV ORDER BY key", facet=facet)
        return {str(row["key"]): decode(str(row["value"])) for row in rows}

    def sql(self, query: str, *bindings: SqlValue, facet: Sequence[str] = ()) -> list[dict[str, SqlValue]]:
        """The rows of a statement that reads. Raises UsageError."""
        path = self._then.files[self._then.lineage(tuple(facet))]
        connection = reading(path)
        try:
            cursor = connection.execute(query, bindings)
            names = [str(column[0]) for column in cursor.get_description()] if not cursor.is_explain else []
            rows = [dict(zip(names, row, strict=False)) for row in islice(cursor, PAST_ROWS_MAX + 1)]
        except apsw.ExecutionCompleteError:
            return []
        except apsw.Error as error:
            raise UsageError(_CANNOT_READ.format(error)) from error
        finally:
            connection.close()
        if len(rows) > PAST_ROWS_MAX:
            raise UsageError(f"the answer has more than {PAST_ROWS_MAX} rows: use LIMIT")
        return rows


@dataclass(frozen=True, slots=True)
class HistoryDiff:
    """What became of an object between two moments, and the commits that did it, the newest first.

    `is_truncated`: there are more commits than listed.
    """

    before: str
    after: str
    databases: list[DatabaseDiff]
    commits: list[CommitInfo]
    is_truncated: bool


class ObjectHistory:
    """The past of one object. A moment is a bookmark, an aware datetime, milliseconds since 1970, or None for now."""

    def __init__(
        self,
        travels: Callable[[], Awaitable[Travels]],
        *,
        key: ObjectKey,
        name: str | None,
        key_of: Callable[[str], ObjectKey],
    ) -> None:
        self._travels = travels
        self._key = key
        self._name = name
        self._key_of = key_of

    async def commits(self, *, limit: int = COMMITS_LISTED_MAX, before: When = None) -> list[CommitInfo]:
        """Commits until a moment, the newest first, each with its bookmark, time and cause."""
        return await (await self._travels()).past(self._key).commits(limit=limit, before=before)

    async def bookmark(self, at: When = None) -> str:
        """The bookmark of a moment: of now, or of the last commit until then. Raises BookmarkError."""
        past = (await self._travels()).past(self._key)
        if at is None:
            return str(past.bookmark())
        return str(Bookmark(await past.sequence(at), 0) if isinstance(at, str) else await past.bookmark_at(at))

    @asynccontextmanager
    async def as_of(self, at: When = None) -> AsyncIterator[PastState]:
        """The object as it was: a copy for reading, which goes when the context ends."""
        async with (await self._travels()).past(self._key).as_of(at) as then:
            yield PastState(then)

    async def diff(self, before: When, after: When = None) -> HistoryDiff:
        """What became of every database of the tree between two moments, and by which commits.

        A time before the object was made is its beginning, with nothing in it.
        """
        past = (await self._travels()).past(self._key)
        first, last = await past.or_beginning(before), await past.or_beginning(after)
        async with past.as_of(first) as then, past.as_of(last) as now:
            pairs = {then.path(line): (path, None) for line, path in then.files.items()}
            both = {**pairs, **{now.path(line): (None, path) for line, path in now.files.items()}}
            for line, path in then.files.items():
                if then.path(line) in {now.path(other) for other in now.files}:
                    both[then.path(line)] = (path, both[then.path(line)][1])
            diffs = await asyncio.to_thread(lambda: [diff_files(path, *both[path]) for path in sorted(both)])
            commits = await past.commits(limit=COMMITS_LISTED_MAX + 1, before=str(Bookmark(now.sequence, 0)))
            between = [commit for commit in commits if commit.bookmark > str(Bookmark(then.sequence + 1, 0))]
            return HistoryDiff(
                str(Bookmark(then.sequence, 0)),
                str(Bookmark(now.sequence, 0)),
                [diff for diff in diffs if not diff.is_empty],
                between[:COMMITS_LISTED_MAX],
                is_truncated=len(between) > COMMITS_LISTED_MAX,
            )

    async def rewind(self, to: When, *, facet: Sequence[str] = ()) -> str:
        """Bring the object, or a facet with all below it, back to a moment; the bookmark that takes it back.

        What lives in the tree is reset, and callers hear an ObjectResetError that may be retried.
        """
        return await (await self._travels()).rewind(self._key, to, path=facet)

    async def fork(self, name: str, *, at: When = None) -> None:
        """Make a new object called `name`, of the same class, of what this one is or was: data, facets and alarms.

        Raises UsageError when there is one of that name, QuotaExceededError when the class has as many as it may.
        """
        await (await self._travels()).fork(self._key, self._key_of(name), name=name, at=at)

    async def export(self, path: str | Path, *, at: When = None) -> None:
        """Write the object as of a moment, with its facets, to one new file. Raises UsageError when it exists."""
        target = Path(path)
        async with (await self._travels()).past(self._key).as_of(at) as then:
            if not then.files:
                raise UsageError("the object did not exist at that moment: there is nothing to export")
            try:
                await asyncio.to_thread(
                    write_bundle,
                    target,
                    then,
                    name=self._name,
                    class_name=self._key.namespace,
                    at=str(Bookmark(then.sequence, 0)),
                )
            except FileExistsError:
                raise UsageError(f"`{target}` exists: choose another file") from None
            except OSError as error:
                raise StorageFailedError(f"`{target}` cannot be written: {error.strerror or error}") from error


async def import_object(travels: Travels, target: ObjectKey, name: str, path: str | Path, *, temporary: Path) -> None:
    """Make a new object of an exported one. Raises UsageError when the file is refused, or the object exists.

    Raises QuotaExceededError when the class has as many objects as it may.
    """
    with tempfile.TemporaryDirectory(dir=temporary) as directory:
        bundle = await asyncio.to_thread(read_bundle, Path(path), Path(directory))
        cause = f"imported from {bundle.class_name}/{bundle.name}"
        await travels.make(target, bundle.files, name=name, cause=cause)
