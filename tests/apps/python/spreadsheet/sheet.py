"""Cells and their values."""

import re

import formulas

REFERENCE = re.compile(r"([A-Z])([1-9][0-9]?)")


def parse_reference(text):
    match = REFERENCE.fullmatch(text)
    return (ord(match[1]) - ord("A"), int(match[2])) if match else None


class Sheet:
    def __init__(self, cells):
        self.cells = cells
        self.busy = set()

    def set(self, name, text):
        if text.strip():
            self.cells[name] = text.strip()
        else:
            self.cells.pop(name, None)

    def value(self, name):
        text = self.cells.get(name, "")
        if not text.startswith("="):
            return number_or_text(text)
        if name in self.busy:
            return "#CYCLE"
        self.busy.add(name)
        try:
            return formulas.evaluate(text[1:], self)
        except formulas.FormulaError as error:
            return str(error)
        except ZeroDivisionError:
            return "#DIV/0"
        finally:
            self.busy.discard(name)

    def block(self, first, last):
        """The values of a range such as A1:B3, row by row."""
        (left, top), (right, bottom) = parse_reference(first), parse_reference(last)
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                yield self.value(f"{chr(ord('A') + column)}{row}")

    def size(self):
        places = [parse_reference(name) for name in self.cells]
        return max((c + 1 for c, _ in places), default=1), max((r for _, r in places), default=1)


def number_or_text(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
