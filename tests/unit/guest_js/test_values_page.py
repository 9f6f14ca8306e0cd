"""docs/reference/values.md says what happens: its tables are run in both languages."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.source_tree import ROOT
from tests.unit.isolates.conftest import JavaScript

from perdure import BigInt, DateNumber, GuestError, MapDict, MapItems, RegExp, SetItems, TypedBytes
from perdure.errors import ValueNotCloneableError
from perdure.wire import encode, from_expression, to_expression

NAMES = {
    each.__name__: each
    for each in (
        BigInt, DateNumber, Decimal, GuestError, MapDict, MapItems, RegExp, SetItems, TypedBytes, date, datetime,
    )
} | {"UTC": UTC, "math": math, "re": re}  # fmt: skip


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table."""
    page = (ROOT / "docs" / "reference" / "values.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def python(source: str) -> Any:
    return eval(source, dict(NAMES))


def assert_same(left: object, right: object) -> None:
    assert type(left) is type(right)
    if isinstance(left, GuestError) and isinstance(right, GuestError):
        assert (left.type_name, str(left)) == (right.type_name, str(right))
    elif isinstance(left, TypedBytes) and isinstance(right, TypedBytes):
        assert (left, left.kind) == (right, right.kind)
    else:
        assert repr(left) == repr(right)


@pytest.mark.parametrize(("source", "there", "back"), rows("From JavaScript"))
def test_from_javascript(javascript: JavaScript, source: str, there: str, back: str) -> None:
    guest = javascript()

    arrived = from_expression(guest.evaluate(source))

    assert_same(arrived, python(there))
    assert guest.evaluate("value", value=to_expression(arrived)) == guest.evaluate(back)


@pytest.mark.parametrize(("source", "there", "back"), rows("From Python"))
def test_from_python(javascript: JavaScript, source: str, there: str, back: str) -> None:
    guest = javascript()

    returned = guest.evaluate("value", value=to_expression(python(source)))

    assert returned == guest.evaluate(there)
    assert_same(from_expression(returned), python(back))


@pytest.mark.parametrize(("language", "source", "text"), rows("Refused"))
def test_refused(javascript: JavaScript, language: str, source: str, text: str) -> None:
    with pytest.raises((ValueNotCloneableError, RuntimeError), match=re.escape(text)) as refused:
        javascript().evaluate(source) if language == "JavaScript" else encode(python(source))

    assert ("user" in source) == ("(it is the value's `.user.callback`)" in str(refused.value))
