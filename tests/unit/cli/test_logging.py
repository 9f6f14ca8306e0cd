"""Log lines as people see them."""

from __future__ import annotations

import logging

import pytest

from perdure.cli._logging import LineFormatter


def line(message: str, *, level: int = logging.INFO, is_coloured: bool = False, guest: str | None = None) -> str:
    record = logging.LogRecord("perdure.server", level, "file.py", 1, message, None, None)
    if guest is not None:
        record.guest = guest
    return LineFormatter(is_coloured=is_coloured).format(record)


def test_a_line_has_time_level_speaker_and_text() -> None:
    time, _, rest = line("hello", guest="AppRunner/todo/app").partition(" ")

    assert len(time) == len("12:34:56")
    assert rest == "info  AppRunner/todo/app | hello"


def test_without_a_guest_the_room_speaks() -> None:
    assert line("hello", level=logging.WARNING).endswith(" warn  server | hello")


def test_further_lines_are_indented() -> None:
    assert line("a\nb\n").endswith("| a\n    b")


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "a\rb", "\x07", "\x9b2J"])
def test_a_guest_cannot_steer_the_terminal(text: str) -> None:
    shown = line(text, guest=text)

    assert not set(shown) & set("\x1b\r\x07\x9b")
    assert "\\x" in shown


def test_colours_are_for_the_level_only() -> None:
    assert "\x1b[31merror\x1b[0m server | x" in line("x", level=logging.ERROR, is_coloured=True)
