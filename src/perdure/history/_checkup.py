"""A checkup of the histories of a data directory: every file whole, each following the one before it. Effects: disk."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from perdure.history._segments import (
    RECORDS,
    entries_end,
    is_whole_base,
    read_header_or_none,
    read_record_headers,
)
from perdure.storage import Finding, Layout, ObjectKey, Repair, problem

_SUFFIXES: Final = frozenset({".records", ".base"})


def check_histories(
    layout: Layout,
    *,
    archived: Callable[[ObjectKey], int | None],
    digest: Callable[[ObjectKey, int], bytes | None],
) -> Iterator[Finding]:
    """What is wrong with them, as far as the journal knows.

    `archived`: the last record of an object that it gave away. `digest`: that of a record, empty when there is none.
    """
    for key in layout.keys_with_history():
        try:
            yield from _check_history(layout, key, archived(key), partial(digest, key))
        except OSError as error:  # Only this one is not checked any further.
            yield problem(f"the history of `{key.namespace}/{key.object_id.hex()}` cannot be read: {error}", key=key)


def _check_history(
    layout: Layout, key: ObjectKey, archived: int | None, digest: Callable[[int], bytes | None]
) -> Iterator[Finding]:
    name = f"{key.namespace}/{key.object_id.hex()}"
    last: int | None = None
    images: dict[int, Path] = {}
    digests: dict[int, bytes] = {}
    for path in sorted(layout.history(key).iterdir()):
        header = read_header_or_none(path) if path.suffix in _SUFFIXES else None
        if path.suffix not in _SUFFIXES:
            yield problem(f"`{path}` is not perdure's", repair=Repair.MOVE, path=path)
        elif header is None:
            yield problem(f"`{path}` cannot be read: its header is damaged, or of another version", path=path)
        elif header.kind != RECORDS:
            images[header.sequence] = path
            if not is_whole_base(path):
                yield problem(f"`{path}` is damaged: states after record {header.sequence} may be lost", path=path)
        else:
            is_next = last is None or header.sequence == last + 1
            if last is not None and not is_next and not images.keys() & set(range(last, header.sequence)):
                yield problem(f"the history of `{name}` lacks records {last + 1} to {header.sequence - 1}", key=key)
            found = yield from _check_records(path, digests)
            last = header.sequence - 1 if found is None else found
    foreign = [
        path for sequence, path in images.items() if _is_foreign(path, digests.get(sequence) or digest(sequence))
    ]
    for path in foreign:
        text = f"`{path}` is no image of this object: a fork or import that failed has left it"
        yield problem(text, repair=Repair.MOVE, path=path)
    end = max([last or 0, *(sequence for sequence, path in images.items() if path not in foreign)])
    if archived is not None and end < archived:
        yield _short(layout.history(key), name, end, archived, key)


def _is_foreign(path: Path, digest: bytes | None) -> bool:
    """Whether an image is of another object, as far as anybody can tell: `digest` is what its record has."""
    header = read_header_or_none(path)
    return header is not None and digest is not None and header.digest != digest


def _short(directory: Path, name: str, end: int, archived: int, key: ObjectKey) -> Finding:
    return problem(
        f"the history of `{name}` ends before record {archived}, up to which the journal gave them away: the rest was "
        "written while no history was kept (`history=None`), or a file is missing. What there is, up to record "
        f"{end}, can be read: delete `{directory}` if it shall not",
        key=key,
    )


def _check_records(path: Path, digests: dict[int, bytes]) -> Generator[Finding, None, int | None]:
    """The last record of a file that can be read. `digests`: what each record says of the one before it."""
    last = None
    for header in read_record_headers(path):
        digests[header.sequence - 1] = header.previous_digest
        last = header.sequence
    end, size = entries_end(path), path.stat().st_size
    if end != size:
        yield problem(f"`{path}` is damaged behind record {last}: {size - end} bytes of it cannot be read", path=path)
    return last
