"""JSON of strangers: read as json.loads reads it, unless it holds more values than can be read quickly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.wire import TooManyValuesError, read_json

JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='",[{\\ax', max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=5),
)


def values_of(tree: object) -> int:
    """Values inside lists and dicts, counted with the lists and dicts."""
    inside = list(tree.values()) if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    return isinstance(tree, dict | list) + max(0, len(inside) - 1) + sum(map(values_of, inside))


@given(JSON, st.integers(1, 30))
def test_a_text_is_read_unless_it_holds_too_many_values(tree: object, values_max: int) -> None:
    text = json.dumps(tree)

    if values_of(tree) > values_max:
        with pytest.raises(TooManyValuesError):
            read_json(text, values_max=values_max)
    else:
        assert read_json(text, values_max=values_max) == tree


def test_a_long_text_is_one_value() -> None:
    text = '[{"a,":[\\' * 100_000

    assert read_json(json.dumps({"b": text}), values_max=5) == {"b": text}


@pytest.mark.parametrize("bomb", ["[]", "{}", "[[]]", "0", '""', '{"a":1}', "null"])
def test_a_bomb_is_not_parsed(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", lambda text: pytest.fail("it was parsed"))

    with pytest.raises(TooManyValuesError):
        read_json("[" + f"{bomb}," * 3_000_000 + "0]")


@pytest.mark.parametrize("text", ['["' + "a," * 10, "[" * 50, "", '["\\x",' + "1," * 20])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text, values_max=9)
