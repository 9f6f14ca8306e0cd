from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import DamagedDataError
from perdure.storage._record import NO_DIGEST, Changed, Deleted, Record, decode_record, digest_of, encode_record

GOLDEN = Path(__file__).with_name("record_v1.bin")


def btree_page(cells: int, *, content_start: int, remains: bytes = b"") -> bytes:
    """A leaf page as SQLite makes it: cell pointers in front, cells at the end, `remains` of deleted ones before."""
    page = bytearray(4096)
    page[0] = 13
    page[3:5] = cells.to_bytes(2, "big")
    page[5:7] = content_start.to_bytes(2, "big")
    page[8 : 8 + 2 * cells] = b"\x0f" * (2 * cells)
    page[content_start:] = b"c" * (4096 - content_start)
    page[content_start - len(remains) : content_start] = remains
    return bytes(page)


EXAMPLE = Record(
    sequence=7,
    previous_digest=bytes(range(8)),
    committed_at_ms=1_700_000_000_123,
    cause="call increment",
    sections=(
        Changed((), False, 4096, 9, {1: btree_page(3, content_start=4000), 9: btree_page(0, content_start=4096)}),
        Changed((1, 3), True, 4096, 2, {1: bytes(4096), 2: btree_page(5, content_start=3000, remains=b"old")}),
        Deleted((2,)),
    ),
)

PAGES = st.builds(
    lambda body, kind, size: (bytes([kind]) + body).ljust(size, b"\0")[:size],
    st.binary(max_size=64),
    st.sampled_from([0, 2, 5, 10, 13, 255]),
    st.just(512),
)
LINEAGES = st.sets(st.integers(1, 2**32 - 1), max_size=3).map(lambda numbers: tuple(sorted(numbers)))


@st.composite
def records(draw: st.DrawFn) -> Record:
    sections: list[Changed | Deleted] = []
    for lineage in draw(st.lists(LINEAGES, max_size=3, unique=True)):
        if draw(st.booleans()):
            sections.append(Deleted(lineage))
        else:
            pages = draw(st.dictionaries(st.integers(1, 9), PAGES, max_size=4))
            sections.append(Changed(lineage, draw(st.booleans()), 512, 9, pages))
    return Record(
        draw(st.integers(0, 2**63 - 1)),
        draw(st.binary(min_size=8, max_size=8)),
        draw(st.integers(0, 2**63 - 1)),
        draw(st.text(max_size=20)),
        tuple(sections),
    )


@given(records())
def test_record_survives_its_bytes(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


@pytest.mark.parametrize("cause", ["call \ud800", "€" * 30_000, "x" + "😀" * 20_000])
def test_any_text_is_a_cause(cause: str) -> None:
    """A guest names its methods, and whoever makes a bundle names the object in it."""
    kept = decode_record(encode_record(replace(EXAMPLE, cause=cause))).cause

    assert kept == cause.replace("\ud800", "?")[: len(kept)]
    assert len(kept.encode()) >= min(len(cause), 65_530)


def test_bytes_are_those_of_the_first_version() -> None:
    """Journals outlive programs: when this fails, the format changed, and needs a new version number."""
    assert encode_record(EXAMPLE) == GOLDEN.read_bytes()
    assert decode_record(GOLDEN.read_bytes()) == EXAMPLE


def test_zeros_inside_pages_are_left_out() -> None:
    assert len(encode_record(EXAMPLE)) < 1400


@pytest.mark.parametrize("page_size", [512, 65536])
def test_page_of_nothing_but_zeros_survives(page_size: int) -> None:
    record = Record(1, NO_DIGEST, 0, "", (Changed((), False, page_size, 1, {1: bytes(page_size)}),))

    assert decode_record(encode_record(record)) == record


def test_every_truncation_is_noticed() -> None:
    data = encode_record(EXAMPLE)

    for size in range(len(data)):
        with pytest.raises(DamagedDataError, match=r"damaged at byte \d+"):
            decode_record(data[:size])


def test_bytes_too_many_are_noticed() -> None:
    with pytest.raises(DamagedDataError, match="3 bytes follow the last section"):
        decode_record(encode_record(EXAMPLE) + b"abc")


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 1400), st.integers(0, 255))
def test_hostile_bytes_are_refused_or_a_record(junk: bytes, position: int, value: int) -> None:
    garbled = bytearray(encode_record(EXAMPLE))
    garbled[position % len(garbled)] = value
    for data in (junk, b"\1" + junk, bytes(garbled)):
        try:
            record = decode_record(data)
        except DamagedDataError:
            continue
        assert encode_record(record) == data or decode_record(encode_record(record)) == record


def test_unknown_version_is_named() -> None:
    with pytest.raises(DamagedDataError, match="the version is 2, this program reads 1"):
        decode_record(b"\2" + encode_record(EXAMPLE)[1:])


def test_digest_tells_records_apart() -> None:
    assert digest_of(b"one") != digest_of(b"two")
    assert len(digest_of(b"one")) == len(NO_DIGEST)
