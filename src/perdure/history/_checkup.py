"""A checkup of the histories of a data directory: every file whole, each following the one before it. Effects: disk."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Final

from perdure.history._segments import RECORDS, entries_end, is_whole_base, read_header_or_none, read_record_headers
from perdure.storage import Finding, Layout, ObjectKey, Repair, problem

_SUFFIXES: Final = frozenset({".records", ".base"})


def check_histories(layout: Layout, *, archived: Callable[[ObjectKey], int | None]) -> Iterator[Finding]:
    """What is wrong with them. `archived`: the last record of an object that the journal gave away."""
    for key in layout.keys_with_history():
        try:
            yield from _check_history(layout, key, archived(key))
        except OSError as error:  # Only this one is not checked any further.
            yield problem(f"the history of `{key.namespace}/{key.object_id.hex()}` cannot be read: {error}", key=key)


def _check_history(layout: Layout, key: ObjectKey, archived: int | None) -> Iterator[Finding]:
    name = f"{key.namespace}/{key.object_id.hex()}"
    last: int | None = None
    images: set[int] = set()
    for path in sorted(layout.history(key).iterdir()):
        header = read_header_or_none(path) if path.suffix in _SUFFIXES else None
        if path.suffix not in _SUFFIXES:
            yield problem(f"`{path}` is not perdure's", repair=Repair.MOVE, path=path)
        elif header is None:
            yield problem(f"`{path}` cannot be read: its header is damaged, or of another version", path=path)
        elif header.kind != RECORDS:
            images.add(header.sequence)
            if not is_whole_base(path):
                yield problem(f"`{path}` is damaged: states after record {header.sequence} may be lost", path=path)
        else:
            if last is not None and header.sequence != last + 1 and not images & set(range(last, header.sequence)):
                yield problem(f"the history of `{name}` lacks records {last + 1} to {header.sequence - 1}", key=key)
            found = yield from _check_records(path)
            last = header.sequence - 1 if found is None else found
    if archived is not None and max([last or 0, *images]) < archived:
        yield problem(f"the history of `{name}` ends before record {archived}, up to which it was given them", key=key)


def _check_records(path: Path) -> Generator[Finding, None, int | None]:
    last = None
    for header in read_record_headers(path):
        last = header.sequence
    end, size = entries_end(path), path.stat().st_size
    if end != size:
        yield problem(f"`{path}` is damaged behind record {last}: {size - end} bytes of it cannot be read", path=path)
    return last
