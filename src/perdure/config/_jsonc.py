"""JSON with comments and trailing commas, as editors know it, read into a tree with places.

Otherwise it is strict: what JSON does not have is refused where it stands, a key that stands twice too.
Effects: none.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final

from perdure.config._tree import Node, Place, Value
from perdure.limits import CONFIG_DEPTH_MAX

_WORDS: Final[dict[str, Value]] = {"true": True, "false": False, "null": None}
_BLANK: Final = re.compile(r"[ \t\r\n]+")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD: Final = re.compile(r"[\w$.+-]+|\S")
_TAIL: Final = re.compile(r"[\w$.+-]")  # what makes a number something else
_DIGITS_MAX: Final = 400  # of one number; Python refuses to read longer ones


def read_jsonc(text: str, file: str) -> Node:
    """The value that `text` holds. Raises ConfigurationError that says where it is malformed."""
    reader = _Reader(text.removeprefix("\ufeff"), file)
    node = reader.value(0)
    reader.skip()
    if reader.at < len(reader.text):
        reader.refuse(f"{reader.here()} stands behind the end of the configuration")
    return node


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.at = 0
        self._file = file
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    # ── where it is ──────────────────────────────────────────────────────────────────────────────────────────

    def place(self, at: int) -> Place:
        """The place of a position. Positions are asked for in any order, so it looks for the line by halves."""
        low, high = 0, len(self._lines)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._lines[middle] <= at else (low, middle)
        return Place(self._file, low + 1, at - self._lines[low] + 1)

    def refuse(self, text: str, at: int | None = None) -> None:
        """Raise ConfigurationError at the position."""
        self.place(self.at if at is None else at).refuse(text)

    def here(self) -> str:
        """What stands at the position, for an error."""
        if self.at >= len(self.text):
            return "the end of the file"
        word = _WORD.match(self.text, self.at)
        return f"`{word[0] if word else self.text[self.at]}`"

    def skip(self) -> None:
        """Go past blanks and comments."""
        text = self.text
        while True:
            blank = _BLANK.match(text, self.at)
            if blank:
                self.at = blank.end()
            if text.startswith("//", self.at):
                end = text.find("\n", self.at)
                self.at = len(text) if end < 0 else end
            elif text.startswith("/*", self.at):
                end = text.find("*/", self.at + 2)
                if end < 0:
                    self.refuse("this comment has no end: close it with `*/`")
                self.at = end + 2
            else:
                return

    def next_sign(self) -> str:
        """The next character that means something, which stays; empty at the end."""
        self.skip()
        return self.text[self.at : self.at + 1]

    # ── values ───────────────────────────────────────────────────────────────────────────────────────────────

    def value(self, depth: int) -> Node:
        """The value that begins here."""
        sign = self.next_sign()
        start = self.at
        if depth > CONFIG_DEPTH_MAX:
            self.refuse(f"values are nested deeper than {CONFIG_DEPTH_MAX} levels")
        if sign == "{":
            value: Value = self._table(depth)
        elif sign == "[":
            value = self._list(depth)
        elif sign == '"':
            value = self._text()
        else:
            value = self._atom()
        return Node(value, self.place(start))

    def _table(self, depth: int) -> dict[str, Node]:
        opened = self.at
        self.at += 1
        table: dict[str, Node] = {}
        while (sign := self.next_sign()) != "}":
            if sign != '"':
                self._expected("a key in double quotes or `}`", opened)
            start = self.at
            key = self._text()
            if key in table:
                self.refuse(f"the key `{key[:80]}` stands here twice, first in line {table[key].place.line}", start)
            if self.next_sign() != ":":
                self._expected(f"`:` behind the key `{key[:80]}`", opened)
            self.at += 1
            table[key] = self.value(depth + 1)
            if not self._goes_on("}", opened):
                break
        self.at += 1
        return table

    def _list(self, depth: int) -> list[Node]:
        opened = self.at
        self.at += 1
        items: list[Node] = []
        while self.next_sign() != "]":
            items.append(self.value(depth + 1))
            if not self._goes_on("]", opened):
                break
        self.at += 1
        return items

    def _goes_on(self, close: str, opened: int) -> bool:
        """Past a comma: true. False at `close`."""
        sign = self.next_sign()
        if sign == ",":
            self.at += 1
            return True
        if sign != close:
            self._expected(f"`,` or `{close}`", opened)
        return False

    def _expected(self, what: str, opened: int) -> None:
        begin = self.place(opened)
        self.refuse(f"{what} is expected, not {self.here()} (`{self.text[opened]}` opened in line {begin.line})")

    def _text(self) -> str:
        match = _STRING.match(self.text, self.at)
        if match is None:
            self.refuse('this text has no end in its line: close it with `"`, and write a line break as `\\n`')
            raise AssertionError
        try:
            text = json.loads(match[0])
        except ValueError as error:
            self.refuse(f"this text is malformed: {error}")
            raise
        self.at = match.end()
        assert isinstance(text, str), "what stands in quotes is a text"
        return text

    def _atom(self) -> Value:
        number = _NUMBER.match(self.text, self.at)
        if number and len(number[0]) <= _DIGITS_MAX and not _TAIL.match(self.text, number.end()):
            value = int(number[0]) if number[1] is None and number[2] is None else float(number[0])
            if not math.isfinite(value):
                self.refuse(f"the number {self.here()} is too large")
            self.at = number.end()
            return value
        word = _WORD.match(self.text, self.at)
        if word and word[0] in _WORDS:
            self.at = word.end()
            return _WORDS[word[0]]
        self.refuse(f"a value is expected, not {self.here()}")
        return None
