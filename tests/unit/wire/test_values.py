"""The value codec: what maps to what, round trips, and what a forger gets."""

from __future__ import annotations

import enum
import json
import math
import re
import sys
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import GuestError, ValueNotCloneableError
from perdure.limits import BIGINT_DIGITS_MAX, VALUE_DEPTH_MAX
from perdure.wire import RegExp, decode, encode, from_expression, is_large, to_expression

Point = namedtuple("Point", "x y")  # noqa: PYI024  # the untyped kind is what is tested


class Color(str, enum.Enum):  # noqa: UP042  # the old kind is what is tested
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Thing:
    x: int


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


KEYS = st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.tuples(st.integers(), st.text(max_size=3))
# Microseconds survive as fractions of a millisecond as long as a double has the room.
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # zoned by hypothesis
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.binary(max_size=20) | MOMENTS | st.integers(-(10**60), 10**60)
    | st.builds(RegExp, st.text(max_size=5), st.sampled_from(["", "i", "gims"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    | st.dictionaries(KEYS, inner, max_size=4)
    | st.sets(KEYS, max_size=4),
    max_leaves=20,
)  # fmt: skip
JSON_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(
        ["undefined", "inf", "nan", "bigint", "date", "bytes", "map", "set", "regexp", "error", "url", "AA==", "12"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=30,
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (1.5, "1.5"),
        (1.0, "1.0"),
        ("ä\ud800", '"\\u00e4\\ud800"'),
        (2**53 - 1, "9007199254740991"),
        (2**53, '["bigint","9007199254740992"]'),
        (-(2**53), '["bigint","-9007199254740992"]'),
        (math.inf, '["inf"]'),
        (-math.inf, '["-inf"]'),
        ([], "[[]]"),
        ([1, [2]], "[[1,[[2]]]]"),
        ({"a": [None]}, '{"a":[[null]]}'),
        ({1: "x"}, '["map",[[1,"x"]]]'),
        ({7}, '["set",[7]]'),
        (b"\xff", '["bytes","/w=="]'),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), '["date",1000]'),
        (datetime(1970, 1, 1, 0, 0, 0, 500, tzinfo=UTC), '["date",0.5]'),
        (RegExp("a+", "gi"), '["regexp","a+","gi"]'),
    ],
)
def test_what_maps_to_what_both_ways(value: object, text: str) -> None:
    assert encode(value) == text
    assert decode(text) == value
    assert type(decode(text)) is type(value)


@pytest.mark.parametrize(
    ("value", "copy"),
    [
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (bytearray(b"a"), b"a"),
        (memoryview(b"abcd")[::2], b"ac"),
        (frozenset({1}), {1}),
        ({(1, (2, 3)): 4}, {(1, (2, 3)): 4}),
        ({frozenset({1})}, {frozenset({1})}),
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 1, 1, tzinfo=UTC)),
        (re.compile("a", re.IGNORECASE), RegExp("a", "i")),
    ],
)
def test_what_arrives_as_something_plainer(value: object, copy: object) -> None:
    arrived = decode(encode(value))

    assert arrived == copy
    assert type(arrived) is type(copy)


@pytest.mark.parametrize(
    ("text", "value"),
    [('["undefined"]', None), ('["url","http://a/"]', "http://a/"), ('["bytes","AA==","Uint8Array"]', b"\0")],
)
def test_what_only_javascript_writes(text: str, value: object) -> None:
    assert decode(text) == value


def test_nan_arrives() -> None:
    assert math.isnan(decode(encode(math.nan)))  # type: ignore[arg-type]  # it is a float


def test_an_exception_arrives_as_a_guest_error_of_its_type() -> None:
    error = decode(encode(KeyError("k")))

    assert isinstance(error, GuestError)
    assert (error.type_name, str(error)) == ("KeyError", "'k'")


def test_a_guest_error_keeps_the_type_it_had_in_its_guest() -> None:
    assert encode(GuestError("no", type_name="ZeroDivisionError")) == '["error","ZeroDivisionError","no"]'


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (lambda: 1, "functions cannot be stored or sent"),
        (Thing(1), "dataclasses.asdict"),
        (object(), "does not support serialization"),
        (1j, "builtins.complex"),
        (datetime(2026, 1, 1), "has no time zone"),  # noqa: DTZ001  # that is the point
        (re.compile(b"a"), "cannot be stored or sent"),
        (re.compile("a # b", re.VERBOSE), "cannot be stored or sent"),
        ([10**BIGINT_DIGITS_MAX], "too large"),
        ([{"a": object()}], "does not support serialization"),
    ],
)
def test_what_cannot_be_copied_says_why(value: object, hint: str) -> None:
    with pytest.raises(ValueNotCloneableError, match=re.escape(hint)):
        encode(value)


def test_the_largest_integer_survives() -> None:
    largest = 10**BIGINT_DIGITS_MAX - 1

    assert decode(encode(largest)) == largest
    assert decode(encode(-largest)) == -largest


def test_a_value_that_contains_itself_is_refused_at_once() -> None:
    value: list[object] = []
    value += [value, value, value]  # Walked to its depth this would be 3**128 values.

    with pytest.raises(ValueNotCloneableError, match="contains itself"):
        encode(value)


def test_one_value_in_two_places_is_two_copies() -> None:
    shared = [1]

    assert decode(encode([shared, shared])) == [[1], [1]]


def test_the_deepest_value_survives_and_the_next_is_refused() -> None:
    assert decode(encode(nested(VALUE_DEPTH_MAX))) == nested(VALUE_DEPTH_MAX)
    with pytest.raises(ValueNotCloneableError, match="nested deeper"):
        encode(nested(VALUE_DEPTH_MAX + 1))


@pytest.mark.parametrize("wrap", ['[["set",[', '[["map",[[1,', '{"a":', "[[", "["])
@pytest.mark.parametrize("depth", [300, 5_000, 200_000])
def test_hostile_nesting_is_refused(wrap: str, depth: int) -> None:
    closing = {"[": "]", "{": "}"}
    opened = wrap * depth
    text = opened + "1" + "".join(closing[c] for c in reversed(opened) if c in closing)

    with pytest.raises(ValueNotCloneableError):
        decode(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "[1]", '["nope"]', "[null]", '[["a"],1]', '["bigint"]', '["bigint",12]', '["bigint","1_0"]',
        '["bigint","٣"]', '["bigint"," 1"]', f'["bigint","{"9" * (BIGINT_DIGITS_MAX + 1)}"]', "9" * 5_000,
        '["date"]', '["date",null]', '["date",true]', '["date",1e300]', '["date",NaN]', '["date",Infinity]',
        '["bytes"]', '["bytes",1]', '["bytes","é"]', '["bytes","A"]', '["map"]', '["map",{}]', '["map",[1]]',
        '["map",[[1]]]', '["map",[[{},1]]]', '["set",[{}]]', '["set",1]', '["regexp","a"]', '["regexp",1,""]',
        '["error","a"]', '["error",[],""]', '["url"]',
    ],
)  # fmt: skip
def test_what_no_encoder_writes_is_refused(text: str) -> None:
    with pytest.raises(ValueNotCloneableError):
        decode(text)


def test_a_regexp_is_only_text_until_it_is_compiled() -> None:
    hostile = decode('["regexp","' + "(" * 100_000 + '",""]')

    assert isinstance(hostile, RegExp)
    with pytest.raises((re.error, RecursionError)):
        hostile.compile()


def test_a_regexp_compiles_to_pythons() -> None:
    assert RegExp("^b", "gim").compile().search("a\nB")


@settings(max_examples=60)
@given(VALUES)
def test_values_survive(value: object) -> None:
    assert decode(encode(value)) == value


@settings(max_examples=30)
@given(VALUES)
def test_text_is_json_in_ascii(value: object) -> None:
    text = encode(value)

    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)


@given(JSON_TREES)
def test_hostile_trees_are_values_or_refused(tree: object) -> None:
    try:
        value = decode(json.dumps(tree))
    except ValueNotCloneableError:
        return
    encode(value)


@given(st.text())
def test_hostile_text_is_a_value_or_refused(text: str) -> None:
    try:
        decode(text)
    except ValueNotCloneableError:
        return


@settings(max_examples=30)
@given(VALUES)
def test_trees_need_no_text_between(value: object) -> None:
    assert from_expression(to_expression(value)) == value


# ── hostile texts ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("multiple", [1, -1])
def test_keys_made_to_collide_are_refused(multiple: int) -> None:
    keys = [["bigint", str(number * multiple * sys.hash_info.modulus)] for number in range(1, 20_000)]

    for expression in (["set", keys], ["map", [[key, 0] for key in keys]]):
        with pytest.raises(ValueNotCloneableError, match="same hash"):
            from_expression(expression)


def test_many_ordinary_numbers_are_no_collision() -> None:
    numbers = {*range(-1000, 1000), *(number / 7 for number in range(1000)), *(2**number for number in range(1000))}

    assert decode(encode(numbers)) == numbers


@pytest.mark.parametrize("value", [[0] * 10_000, {"a": [[1] * 50] * 50}, "x" * 1_000_000, [b"x" * 500_000]])
def test_what_takes_long_to_convert_is_known_to_be_large(value: object) -> None:
    assert is_large(value)
    assert is_large(to_expression(value))


@pytest.mark.parametrize("value", [None, 1, "text", {"s": 200, "h": [["a", "b"]] * 20, "b": "x" * 10_000}])
def test_what_is_usual_is_not_large(value: object) -> None:
    assert not is_large(value)


def test_largeness_of_what_contains_itself_is_found_out() -> None:
    value: list[object] = []
    value.append(value)

    assert is_large(value)
