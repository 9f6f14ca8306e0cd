"""Past: what one object and its facets were, read from its history and the journal together.

Reading holds the root's file lock, so that no record moves meanwhile; open databases go on.
Effects: clock, disk, tasks.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from perdure.clock import Clock
from perdure.errors import BookmarkError, FacetError
from perdure.history._archive import End, SegmentArchive
from perdure.history._bookmarks import Bookmark, read_bookmark
from perdure.history._targets import reading
from perdure.storage import Layout, Lineage, RecordHeader, Replay, RootStore, decode_header

When = str | datetime | int | None
"""A bookmark, an aware datetime, milliseconds since 1970, or None for now."""

_PROMISED: Final = "; undo {}"


class CommitInfo(NamedTuple):
    """One record of an object: commits of one moment, with what led to the last of them."""

    bookmark: str
    at: datetime
    cause: str


@dataclass(frozen=True, slots=True)
class AsOf:
    """The files of an object's databases as of one record; `names` are the facets', by number."""

    sequence: int
    files: dict[Lineage, Path]
    names: dict[int, str]

    def path(self, lineage: Lineage) -> tuple[str, ...]:
        """The names that lead to a database; `()` is the root's own."""
        return tuple(self.names.get(number, f"#{number}") for number in lineage)

    def lineage(self, path: tuple[str, ...]) -> Lineage:
        """The database that names lead to. Raises FacetError when it did not exist."""
        for lineage in self.files:
            if self.path(lineage) == path:
                return lineage
        there = ", ".join(sorted("/".join(self.path(lineage)) or "(root)" for lineage in self.files)[:20]) or "none"
        raise FacetError(f"there is no facet `{'/'.join(path)}` at that moment; there are: {there}")


class Past:
    """See the module. `archive` None: no history is kept, and only the present can be read."""

    def __init__(
        self,
        root: RootStore,
        archive: SegmentArchive | None,
        *,
        layout: Layout,
        clock: Clock,
        now_us: Callable[[], int] | None = None,
    ) -> None:
        self.root = root
        self.archive = archive
        self._layout = layout
        self._clock = clock
        self._now_us = now_us or (lambda: clock.now_ms() * 1000)

    def bookmark(self) -> Bookmark:
        """The state that the journal has acknowledged. Later ones are greater."""
        return Bookmark(self.root.log.chain.known, self._now_us())

    # ── which record ─────────────────────────────────────────────────────────────────────────────────────────

    async def sequence(self, at: When) -> int:
        """The record that a bookmark or a time means. Raises BookmarkError."""
        known = self.root.log.chain.known
        if at is None:
            return known
        if isinstance(at, datetime | int) and not isinstance(at, bool):
            return (await self.bookmark_at(at)).sequence
        bookmark = read_bookmark(at)
        if bookmark.sequence > known:
            raise BookmarkError(f"bookmark `{at}` names record {bookmark.sequence} of an object that has {known}")
        if bookmark.is_promise:
            return await self.root.aside(lambda: self._before_restore(bookmark))
        return bookmark.sequence

    async def bookmark_at(self, at: datetime | int) -> Bookmark:
        """The bookmark of the last record that was committed until a time. Raises BookmarkError."""
        at_ms = milliseconds(at)
        if at_ms > self._clock.now_ms():
            raise BookmarkError(f"`{_text(at_ms)}` is still to come")
        known = self.root.log.chain.known
        sequence = await self.root.aside(lambda: self._last_until(at_ms, known))
        return Bookmark(sequence, at_ms * 1000)

    async def or_beginning(self, at: When) -> When:
        """`at`; of a time before the object was made, the nothing that it began with. For whoever compares."""
        if at is None or isinstance(at, str | bool):
            return at
        at_ms = milliseconds(at)
        first = await self.root.aside(lambda: next(self._headers(), None))
        is_before = first is not None and first.sequence == 1 and at_ms < first.committed_at_ms
        return str(Bookmark(0, max(0, at_ms) * 1000)) if is_before else at

    def _last_until(self, at_ms: int, known: int) -> int:
        sequence = None
        oldest: RecordHeader | None = None
        for header in self._headers():
            if header.sequence > known:
                break
            oldest = oldest or header
            if header.committed_at_ms <= at_ms:
                sequence = header.sequence
        if sequence is None:
            since = "has none" if oldest is None else f"goes back to {_text(oldest.committed_at_ms)}"
            raise BookmarkError(f"the history {since}: `{_text(at_ms)}` is before that")
        return sequence

    def _before_restore(self, bookmark: Bookmark) -> int:
        for header in self._headers():
            if header.sequence > bookmark.sequence and header.cause.endswith(_PROMISED.format(bookmark)):
                return header.sequence - 1
        raise BookmarkError(f"bookmark `{bookmark}` means the moment before a restore that has not happened yet")

    def _headers(self) -> Iterator[RecordHeader]:
        """What all records say that can be found, the oldest first."""
        last = 0
        if self.archive is not None:
            for header in self.archive.headers(self.root.key):
                last = header.sequence
                yield header
        yield from map(decode_header, self.root.record_bytes(last))

    async def commits(self, *, limit: int, before: When = None) -> list[CommitInfo]:
        """The records until `before`, the newest first."""
        until = await self.sequence(before)
        headers = await self.root.aside(lambda: [header for header in self._headers() if header.sequence <= until])
        return [
            CommitInfo(
                str(Bookmark(header.sequence, header.committed_at_ms * 1000)),
                datetime.fromtimestamp(header.committed_at_ms / 1000, UTC),
                header.cause,
            )
            for header in reversed(headers[-limit:])
        ]

    # ── what it was ──────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def as_of(self, at: When = None) -> AsyncIterator[AsOf]:
        """The databases as of then, in files that go when the context ends: page for page what they were."""
        sequence = await self.sequence(at)
        with tempfile.TemporaryDirectory(dir=self._layout.temporary) as directory:
            replay = await self._replay(sequence, Path(directory), is_now=at is None)
            yield AsOf(replay[0], replay[1].files, await self.root.aside(lambda: facet_names(replay[1])))

    async def _replay(self, sequence: int, directory: Path, *, is_now: bool) -> tuple[int, Replay]:
        archive, root = self.archive, self.root
        if is_now or (archive is None and sequence == root.log.chain.known):
            image = await root.image(directory)
            if not is_now and image.sequence != sequence:
                raise BookmarkError("the object went on while it was read: try again")
            return image.sequence, image.replay
        if archive is None:
            raise BookmarkError(
                "no history is kept on this platform, so only the present can be read: "
                "give it Platform(history=HistoryOptions())"
            )
        head = End(root.log.chain.known, root.log.chain.digest)
        work = lambda: archive.replay(root.key, sequence, directory, tail=root.record_bytes, head=head)  # noqa: E731
        return sequence, (await root.aside(work))[0]


def restore_cause(to: str, undo: Bookmark | None) -> str:
    """What the record of a rewind says; `undo` is what it was promised that the state before it is called."""
    return f"rewound to {to}" + ("" if undo is None else _PROMISED.format(undo))


def milliseconds(at: datetime | int) -> int:
    """A time as milliseconds since 1970. Raises BookmarkError for one without time zone."""
    if isinstance(at, int):
        return at
    if at.tzinfo is None:
        raise BookmarkError(f"`{at}` has no time zone: use datetime.now(UTC) or the like")
    return int(at.timestamp() * 1000)


def _text(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def facet_names(replay: Replay) -> dict[int, str]:
    """The names of the live facets in the root's own file, by number."""
    path = replay.files.get(())
    if path is None:
        return {}
    connection = reading(path)
    try:
        if not connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = '_cf_FACETS'").get:
            return {}
        return dict(connection.execute("SELECT number, name FROM _cf_FACETS WHERE name IS NOT NULL"))
    finally:
        connection.close()
