"""How the entries of a history's files are packed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.history._segments import RECORDS, Header, encode_entry, encode_header, read_stored, unpacked

KIB = 1024


def read_back(folder: Path, entries: list[bytes]) -> list[bytes]:
    path = folder / "records"
    path.write_bytes(encode_header(Header(RECORDS, 1, 1, bytes(8))) + b"".join(map(encode_entry, entries)))
    return [unpacked(stored, size) for stored, size in read_stored(path)]


@given(st.lists(st.binary(max_size=3 * KIB), max_size=5))
def test_what_was_packed_is_read_back(tmp_path_factory: pytest.TempPathFactory, entries: list[bytes]) -> None:
    assert read_back(tmp_path_factory.mktemp("entries"), entries) == entries


def test_text_is_packed_small(tmp_path: Path) -> None:
    text = b"a page of text, and another one " * 32 * KIB

    assert len(encode_entry(text)) < len(text) // 20
    assert read_back(tmp_path, [text]) == [text]


def test_what_is_dense_already_is_stored_as_it_is(tmp_path: Path) -> None:
    dense = random.Random(1).randbytes(1024 * KIB)

    entry = encode_entry(dense)

    assert dense[:100] in entry
    assert len(entry) < len(dense) + KIB
    assert read_back(tmp_path, [dense]) == [dense]


def test_dense_parts_do_not_keep_the_rest_from_being_packed() -> None:
    mixed = random.Random(1).randbytes(256 * KIB) + bytes(768 * KIB)

    assert len(encode_entry(mixed)) < len(mixed) // 2
