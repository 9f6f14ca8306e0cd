"""`highlight` and `snippet` of full-text search, in linear time.

FTS5's own take time with the square of the document inside one step, where no deadline reaches. These mark the same
tokens, and refuse a text that is too long to be looked at in one step. `snippet` takes the fragment with most of the
query's phrases in it; FTS5's prefers beginnings of sentences besides.
Effects: none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import apsw

from perdure.errors import SqlError
from perdure.limits import SQL_MARKED_BYTES_MAX, SQL_MARKED_WORK_MAX
from perdure.storage._functions import RowBound
from perdure.wire import SqlValue

# The text is the guest's from the name on: the module may be quoted, or hidden behind a comment.
_FULL_TEXT_TABLES: Final = (
    "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE rootpage = 0 AND type = 'table' AND sql LIKE '%fts5%')"
)
_FRAGMENT_TOKENS_MAX: Final = 64  # FTS5's own
_NEW_PHRASE: Final = 1000  # what the first hit of a phrase counts for a fragment, FTS5's own; each further one counts 1


class _Hit(NamedTuple):
    """A phrase of the query in a column: its tokens are those from `first` up to `end`."""

    first: int
    end: int
    phrase: int


def has_full_text_tables(connection: apsw.Connection) -> bool:
    """Whether a table for full-text search is, or may be, in the database."""
    return bool(connection.execute(_FULL_TEXT_TABLES).get)


class _Column(NamedTuple):
    text: bytes
    tokens: Sequence[tuple[int, int]]
    hits: Sequence[_Hit]


def define_full_text_functions(connection: apsw.Connection, bound: RowBound) -> None:
    """Put ours in the place of FTS5's."""

    def highlight(api: apsw.FTS5ExtensionApi, *arguments: SqlValue) -> str:
        column, opening, closing = _checked("highlight", arguments, 3)
        _check_work("highlight", api)
        number = _whole("highlight", column)
        if not 0 <= number < api.column_count:
            return ""
        _check_length("highlight", [api.column_text(number)])
        part = _column(api, number)
        return _marked(part, 0, len(part.tokens), (_bytes(opening), _bytes(closing)), bound)

    def snippet(api: apsw.FTS5ExtensionApi, *arguments: SqlValue) -> str:
        column, opening, closing, ellipsis, count = _checked("snippet", arguments, 5)
        _check_work("snippet", api)
        size = max(1, min(_whole("snippet", count), _FRAGMENT_TOKENS_MAX))
        number = _whole("snippet", column)
        numbers = range(api.column_count) if number < 0 else [number] if number < api.column_count else []
        _check_length("snippet", [api.column_text(each) for each in numbers])
        best = max(((_fragment(part, size), part) for part in (_column(api, each) for each in numbers)),
                   key=lambda found: found[0].score, default=None)  # fmt: skip
        if best is None:
            return ""
        start, part = best[0].start, best[1]
        end = min(start + size, len(part.tokens))
        text = _marked(part, start, end, (_bytes(opening), _bytes(closing)), bound)
        dots = _bytes(ellipsis).decode("utf-8", "replace")
        return (dots if start > 0 else "") + text + (dots if end < len(part.tokens) else "")

    connection.register_fts5_function("highlight", highlight)
    connection.register_fts5_function("snippet", snippet)


def _column(api: apsw.FTS5ExtensionApi, number: int) -> _Column:
    text = api.column_text(number)
    tokens = [token[:2] for token in api.tokenize(text, api.column_locale(number), include_colocated=False)]
    sizes = [len(phrase) for phrase in api.phrases]
    hits = [
        _Hit(first, min(first + size, len(tokens)), phrase)
        for phrase, size in enumerate(sizes)
        for first in api.phrase_column_offsets(phrase, number)
        if first < len(tokens)  # The content may have been changed behind the index.
    ]
    return _Column(text, tokens, sorted(hits))


def _marked(part: _Column, start: int, end: int, marks: tuple[bytes, bytes], bound: RowBound) -> str:
    """The text of the tokens from `start` up to `end`, with every hit between `marks`."""
    if not part.tokens:
        return part.text.decode("utf-8", "replace")
    spans = _spans(part.hits, start, end)
    at = 0 if start == 0 else part.tokens[start][0]
    stop = len(part.text) if end == len(part.tokens) else part.tokens[end - 1][1]
    if stop - at + len(spans) * (len(marks[0]) + len(marks[1])) > bound.size:
        raise SqlError("string or blob too big", sqlite_code="SQLITE_TOOBIG")
    pieces: list[bytes] = []
    for first, last in spans:
        begins, ends = part.tokens[first][0], part.tokens[last - 1][1]
        pieces += [part.text[at:begins], marks[0], part.text[begins:ends], marks[1]]
        at = ends
    pieces.append(part.text[at:stop])
    return b"".join(pieces).decode("utf-8", "replace")


def _spans(hits: Sequence[_Hit], start: int, end: int) -> list[tuple[int, int]]:
    """The tokens that are hit, in runs: hits that share a token are one."""
    spans: list[tuple[int, int]] = []
    for hit in hits:
        first, last = max(hit.first, start), min(hit.end, end)
        if first >= last:
            continue
        if spans and first < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last))
        else:
            spans.append((first, last))
    return spans


class _Fragment(NamedTuple):
    score: int
    start: int


def _fragment(part: _Column, size: int) -> _Fragment:
    """The best run of `size` tokens: a window slides over the hits, each of which enters and leaves it once."""
    best, around = 0, (0, 0)
    seen: dict[int, int] = {}
    score = entered = 0
    for number, hit in enumerate(part.hits):
        while entered < len(part.hits) and part.hits[entered].end <= max(hit.first + size, hit.end):
            phrase = part.hits[entered].phrase
            score += 1 if seen.get(phrase) else _NEW_PHRASE
            seen[phrase] = seen.get(phrase, 0) + 1
            entered += 1
        if score > best:
            best, around = score, (hit.first, part.hits[max(entered - 1, number)].end)
        if entered > number:
            seen[hit.phrase] -= 1
            score -= 1 if seen[hit.phrase] else _NEW_PHRASE
    spare = size - (around[1] - around[0])
    return _Fragment(best, max(0, min(around[0] - spare // 2, len(part.tokens) - size)))


# ── what comes in ────────────────────────────────────────────────────────────────────────────────────────────


def _checked(function: str, arguments: Sequence[SqlValue], count: int) -> Sequence[SqlValue]:
    if len(arguments) != count:
        raise SqlError(f"wrong number of arguments to function {function}(): it takes the table and {count} more")
    return arguments


def _check_work(function: str, api: apsw.FTS5ExtensionApi) -> None:
    work = api.column_size(-1) * api.phrase_count
    if work > SQL_MARKED_WORK_MAX:
        raise SqlError(
            f"{function}() of a row with {api.column_size(-1)} tokens for {api.phrase_count} phrases cannot be "
            f"interrupted, the limit is {SQL_MARKED_WORK_MAX} in all: search for fewer phrases, or mark the text in "
            "your own code"
        )


def _check_length(function: str, texts: Sequence[bytes]) -> None:
    size = sum(map(len, texts))
    if size > SQL_MARKED_BYTES_MAX:
        raise SqlError(
            f"{function}() of {size} bytes cannot be interrupted, the limit is {SQL_MARKED_BYTES_MAX}: select the text "
            "and mark or cut it in your own code"
        )


def _whole(function: str, value: SqlValue) -> int:
    if isinstance(value, int | float):
        return int(value)
    raise SqlError(f"{function}() takes a number here, not `{type(value).__name__}`")


def _bytes(value: SqlValue) -> bytes:
    if value is None:
        return b""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
