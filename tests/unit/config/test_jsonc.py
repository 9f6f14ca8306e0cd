"""JSON with comments and trailing commas: what is read, and where errors point."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.config import read_jsonc
from perdure.errors import ConfigurationError
from perdure.limits import CONFIG_DEPTH_MAX

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
BLANKS = st.sampled_from(["", " ", "\n", "\t", "\r\n", '// a comment, [ { " \n', "/* another\n * one: } ] */", "/**/"])


def read(text: str) -> object:
    return read_jsonc(text, "wrangler.jsonc").plain()


@settings(deadline=None)
@given(VALUES, st.booleans())
def test_all_that_is_json_is_read_as_json(value: object, ascii_only: bool) -> None:  # noqa: FBT001  # hypothesis gives it
    assert read(json.dumps(value, ensure_ascii=ascii_only)) == value


@settings(deadline=None)
@given(VALUES, st.data())
def test_comments_and_trailing_commas_change_nothing(value: object, data: st.DataObject) -> None:
    pieces: list[str] = []
    for piece in re.split(r'("(?:[^"\\]|\\.)*"|[\[\]{},:])', json.dumps(value)):
        if not piece.strip():
            continue
        if piece in {"]", "}"} and pieces[-1] not in {"[", "{"} and data.draw(st.booleans()):
            pieces.append(",")
        pieces.append(piece.strip())
    text = "".join(data.draw(BLANKS) + piece for piece in pieces) + data.draw(BLANKS)

    assert read(text) == value


@settings(deadline=None)
@given(st.text(alphabet='{}[]",:/*\\ \n01-.eEtrufalsn', max_size=40) | st.text(max_size=40))
def test_anything_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        read_jsonc(text, "wrangler.jsonc")
    except ConfigurationError as error:
        place = re.match(r"wrangler\.jsonc:(\d+):(\d+): ", str(error))
        assert place is not None
        assert 1 <= int(place[1]) <= text.count("\n") + 1


def test_each_value_knows_its_place() -> None:
    tree = read_jsonc('{\n  // where\n  "a": [1,\n    "two"],\n}\n', "f.jsonc")

    assert isinstance(tree.value, dict)
    items = tree.value["a"]
    assert str(items.place) == "f.jsonc:3:8"
    assert isinstance(items.value, list)
    assert [str(item.place) for item in items.value] == ["f.jsonc:3:9", "f.jsonc:4:5"]


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("", "1:1", "a value is expected, not the end of the file"),
        ("{", "1:2", "`{` opened in line 1"),
        ('{\n "a": 1\n "b": 2}', "3:2", "`,` or `}` is expected"),
        ('{"a" 1}', "1:6", "`:` behind the key `a`"),
        ("{'a': 1}", "1:2", "a key in double quotes"),
        ("{a: 1}", "1:2", "not `a`"),
        ('{"a": True}', "1:7", "not `True`"),
        ('{"a": 01}', "1:7", "not `01`"),
        ('{"a": .5}', "1:7", "not `.5`"),
        ('{"a": 1e999}', "1:7", "too large"),
        ('{"a": NaN}', "1:7", "not `NaN`"),
        ('{"a": "x}', "1:7", "no end"),
        ('{"a": "x\ny"}', "1:7", "no end in its line"),
        ('{"a": "\\q"}', "1:7", "malformed"),
        ('{"a": 1, "a": 2}', "1:10", "stands here twice, first in line 1"),
        ("[1,,2]", "1:4", "a value is expected, not `,`"),
        ("[,]", "1:2", "a value is expected"),
        ("{,}", "1:2", "a key in double quotes"),
        ("[1] [2]", "1:5", "stands behind the end"),
        ("/* no end", "1:1", "this comment has no end"),
        ("[" * (CONFIG_DEPTH_MAX + 2), f"1:{CONFIG_DEPTH_MAX + 2}", "nested deeper"),
        ("9" * 5_000, "1:1", "a value is expected"),
    ],
)
def test_what_is_malformed_is_refused_where_it_stands(text: str, place: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_jsonc(text, "f.jsonc")

    assert str(caught.value).startswith(f"f.jsonc:{place}: ")
    assert said in str(caught.value)


def test_a_byte_order_mark_is_no_value() -> None:
    assert read("\ufeff{}") == {}


def test_a_node_says_what_it_is() -> None:
    kinds = [read_jsonc(text, "f").kind for text in ("null", "true", "1", '"a"', "[]", "{}")]

    assert kinds == ["null", "a boolean", "a number", "a text", "a list", "a table"]
