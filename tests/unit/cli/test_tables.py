"""Tables that people read, whatever apps have put into them."""

from __future__ import annotations

import pytest

from perdure.cli._tables import bytes_text, cell_text, table, time_text


def test_columns_are_as_wide_as_they_must_be() -> None:
    assert table(("A", "LONG"), [("1", "x"), ("222", "")]) == "A    LONG\n1    x\n222"


def test_what_steers_a_terminal_is_shown_instead() -> None:
    assert table(("A",), [("\x1b[2J\nnext\tcell",)]) == "A\n\\x1b[2J\\nnext\\tcell"


def test_a_long_cell_is_cut() -> None:
    assert table(("A",), [("x" * 1000,)]).splitlines()[1] == "x" * 199 + "…"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "NULL"),
        (1, "1"),
        (1.5, "1.5"),
        ("NULL", "NULL"),
        ({"blob": "AQI="}, "x'0102'"),
        ({"blob": "AAAAAAAAAAAAAAAAAAAAAAAA"}, f"x'{'00' * 16}…'"),
        ({"real": "-inf"}, "-inf"),
    ],
)
def test_cells(cell: object, text: str) -> None:
    assert cell_text(cell) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KB"), (49_357, "48.2 KB"), (1_048_575, "1023 KB"), (5 << 30, "5 GB")],
)
def test_sizes(size: int, text: str) -> None:
    assert bytes_text(size) == text


def test_times_are_of_utc() -> None:
    assert time_text(0) == "1970-01-01 00:00:00Z"
    assert time_text(None) == ""
