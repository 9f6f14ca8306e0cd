"""The value codec: what maps to what, round trips, and what a forger gets."""

from __future__ import annotations

import enum
import json
import math
import pickle
import re
import sys
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import GuestError, ValueNotCloneableError
from perdure.limits import (
    BIGINT_DIGITS_MAX,
    SPARSE_ITEMS_MAX,
    VALUE_COPIES_MAX,
    VALUE_DEPTH_MAX,
    VALUE_SHARED_DEPTH_MAX,
)
from perdure.wire import (
    BigInt,
    DateNumber,
    MapDict,
    MapItems,
    RegExp,
    SetItems,
    TypedBytes,
    decode,
    encode,
    from_expression,
    is_large,
    to_expression,
)

Point = namedtuple("Point", "x y")  # noqa: PYI024  # the untyped kind is what is tested


class Color(str, enum.Enum):  # noqa: UP042  # the old kind is what is tested
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Thing:
    x: int


def copied(value: object) -> Any:
    return decode(encode(value))


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


KEYS = st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.tuples(st.integers(), st.text(max_size=3))
# Microseconds survive as fractions of a millisecond as long as a double has the room.
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # zoned by hypothesis


def values(moments: st.SearchStrategy[datetime]) -> st.SearchStrategy[object]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
        | st.binary(max_size=20) | moments | st.integers(-(10**60), 10**60)
        | st.builds(RegExp, st.text(max_size=5), st.sampled_from(["", "i", "gims"]))
        | st.builds(BigInt, st.integers(-(2**53) + 1, 2**53 - 1))
        | st.binary(max_size=9).map(lambda content: TypedBytes(content, "DataView"))
        | st.floats(8.2e15, 8.64e15).map(DateNumber),
        lambda inner: st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(KEYS, max_size=4),
        max_leaves=20,
    )  # fmt: skip


VALUES = values(MOMENTS)
JSON_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(
        ["undefined", "inf", "nan", "bigint", "date", "bytes", "map", "set", "regexp", "error", "url", "AA==", "12",
         "graph", "ref", "sparse", "boxed", "-0", "Int8Array", 0, 1]
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
        (-0.0, "-0.0"),
        (1e300, "1e+300"),
        (2.0**53, "9007199254740992.0"),
        (BigInt(5), '["bigint","5"]'),
        (TypedBytes(b"\1\0", "Int16Array"), '["bytes","AQA=","Int16Array"]'),
        (DateNumber(8.64e15), '["date",8640000000000000]'),
        (MapDict(a=1), '["map",[["a",1]]]'),
        (MapDict(), '["map",[]]'),
        (MapItems([(1, "a"), (True, "b")]), '["map",[[1,"a"],[true,"b"]]]'),
        (MapItems([({}, 1)]), '["map",[[{},1]]]'),
        (SetItems([1, True, {}]), '["set",[1,true,{}]]'),
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
    [
        ('["undefined"]', None),
        ('["url","http://a/"]', "http://a/"),
        ('["bytes","AA==","Uint8Array"]', b"\0"),
        ('["boxed",["nan"]]', math.nan),
        ('["boxed","a"]', "a"),
        ('["-0"]', -0.0),
        ("9007199254740992", 2.0**53),
        ("1e+21", 1e21),
        ('["graph",["sparse",3,[[1,"a"]]],[]]', [None, "a", None]),
        ('["map",[[1,"a"],[["bigint","1"],"b"]]]', MapItems([(1, "a"), (1, "b")])),
        ('["set",[[[1]],[[1]]]]', SetItems([[1], [1]])),
    ],
)
def test_what_only_javascript_writes(text: str, value: object) -> None:
    arrived = decode(text)

    assert repr(arrived) == repr(value)
    assert type(arrived) is type(value)


def test_an_invalid_date_is_no_datetime_and_stays_invalid() -> None:
    date = decode('["date",null]')

    assert isinstance(date, DateNumber)
    assert math.isnan(date)
    assert encode(date) == '["date",null]'


def test_a_float_stays_a_float_in_python() -> None:
    numbers = decode(encode([1, 1.0, -0.0, 1e300, 2.0**60]))

    assert isinstance(numbers, list)
    assert [type(number) for number in numbers] == [int, float, float, float, float]


def test_elements_of_typed_bytes_are_numbers() -> None:
    assert TypedBytes(b"\xff\xff\1\0", "Int16Array").elements() == [-1, 1]
    assert TypedBytes(b"\0\x3c", "Float16Array").elements() == [1.0]
    with pytest.raises(TypeError, match="has no elements"):
        TypedBytes(b"", "DataView").elements()


@pytest.mark.parametrize(("content", "kind"), [(b"a", "Int16Array"), (b"", "Nothing")])
def test_typed_bytes_that_cannot_be_are_refused(content: bytes, kind: str) -> None:
    with pytest.raises(ValueError, match=kind):
        TypedBytes(content, kind)


def test_typed_bytes_survive_pickle() -> None:
    copy = pickle.loads(pickle.dumps(TypedBytes(b"ab", "Int16Array")))

    assert (copy, copy.kind) == (b"ab", "Int16Array")


def test_nan_arrives() -> None:
    assert math.isnan(decode(encode(math.nan)))  # type: ignore[arg-type]  # it is a float


def test_an_exception_arrives_as_a_guest_error_of_its_type() -> None:
    error = decode(encode(KeyError("k")))

    assert isinstance(error, GuestError)
    assert (error.type_name, str(error)) == ("KeyError", "'k'")
    assert error.properties == {}


class OwnError(Exception):
    """An exception on which something hangs."""

    def __init__(self, message: str, **properties: object) -> None:
        super().__init__(message)
        vars(self).update(properties)


def test_an_error_carries_its_cause_and_what_hangs_on_it() -> None:
    error = OwnError("no", status=404, _secret=1, socket=object())
    error.__cause__ = ValueError("deeper")

    arrived = decode(encode(error))

    assert isinstance(arrived, GuestError)
    assert (arrived.type_name, arrived.properties) == ("OwnError", {"status": 404})
    assert isinstance(arrived.__cause__, GuestError)
    assert (arrived.__cause__.type_name, str(arrived.__cause__)) == ("ValueError", "deeper")
    assert encode(arrived) == encode(error)


def test_a_group_of_exceptions_carries_them_all() -> None:
    arrived = decode(encode(ExceptionGroup("both", [ValueError("a"), KeyError("b")])))

    assert isinstance(arrived, GuestError)
    assert isinstance(arrived.properties["errors"], list)
    assert [str(error) for error in arrived.properties["errors"]] == ["a", "'b'"]


def test_an_error_that_is_its_own_cause_arrives() -> None:
    error = ValueError("round")
    error.__cause__ = error

    [arrived] = copied([error])

    assert arrived.__cause__ is arrived


def test_a_property_that_is_left_out_takes_nothing_with_it() -> None:
    shared = [1]

    arrived, left, right = copied([OwnError("no", bad=[shared, object()]), shared, shared])

    assert left == [1]
    assert left is right
    assert arrived.properties == {}


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
        ({"user": {"callback": print}}, "(it is the value's `.user.callback`)"),
        ([0, {"a b": [{1: {"x": iter([])}}]}], 'send list(value) (it is the value\'s `[1]["a b"][0][1].x`)'),
        ({1, 2j}, "(it is the value's `, a member`)"),
        (date(2026, 1, 1), "isoformat"),
        (Decimal(1), "str(value)"),
    ],
)
def test_what_cannot_be_copied_says_why(value: object, hint: str) -> None:
    with pytest.raises(ValueNotCloneableError, match=re.escape(hint)):
        encode(value)


def test_the_largest_integer_survives() -> None:
    largest = 10**BIGINT_DIGITS_MAX - 1

    assert decode(encode(largest)) == largest
    assert decode(encode(-largest)) == -largest


# ── values that are no trees ─────────────────────────────────────────────────────────────────────────────────


def test_a_value_may_contain_itself() -> None:
    value: list[object] = []
    value += [value, {"again": value}]

    copy = copied(value)

    assert copy[0] is copy
    assert copy[1]["again"] is copy
    assert encode(value) == '["graph",["ref",0],[[[["ref",0],{"again":["ref",0]}]]]]'


def test_one_value_in_two_places_is_one_copy() -> None:
    shared = {"a": 1}

    left, right, other = copied([shared, {"s": shared}, {"a": 1}])

    assert left is right["s"]
    assert left == other
    assert left is not other


@pytest.mark.parametrize(
    "shared", [(1, 2), b"short", frozenset({1}), datetime(2026, 1, 1, tzinfo=UTC), Color.RED, 10**30]
)
def test_what_never_changes_is_copied(shared: object) -> None:
    text = encode([shared, shared])

    assert "graph" not in text
    assert text == encode([copied(shared), copied(shared)])


def test_long_bytes_are_shared() -> None:
    long = b"x" * 1000

    left, right = copied([long, long])

    assert left is right
    assert left == long


def test_values_of_maps_sets_and_errors_may_refer_to_these() -> None:
    table: dict[object, object] = {1: "one"}
    table[2] = table
    members = SetItems([1])
    members.append(members)
    pairs = MapItems()
    pairs.append((pairs, pairs))
    error = OwnError("no")
    vars(error)["itself"] = error

    copies = copied([table, members, pairs, error])

    assert copies[0][2] is copies[0]
    assert copies[1][1] is copies[1]
    assert copies[2][0][1] is copies[2]
    assert copies[3].properties["itself"] is copies[3]


@st.composite
def graphs(draw: st.DrawFn) -> list[object]:
    """A few lists, dicts and maps that contain each other at will."""
    nodes: list[object] = [draw(st.sampled_from([list, dict, MapItems]))() for _ in range(draw(st.integers(1, 6)))]
    for node in nodes:
        inside = [*draw(st.lists(st.sampled_from(nodes), max_size=4)), *draw(st.lists(st.integers(), max_size=2))]
        if isinstance(node, MapItems):
            keys = {id(key) if isinstance(key, list | dict) else key: key for key in inside}
            node.extend(zip(keys.values(), inside, strict=False))
        elif isinstance(node, dict):
            node.update({f"k{place}": item for place, item in enumerate(inside)})
        elif isinstance(node, list):
            node.extend(inside)
    return nodes


@given(graphs())
def test_graphs_of_every_shape_survive(nodes: list[object]) -> None:
    try:
        tree = to_expression(nodes)
    except ValueNotCloneableError:
        return  # more copies than are allowed

    assert to_expression(from_expression(tree)) == tree


def laughs(height: int) -> list[object]:
    value: list[object] = ["ha"]
    for _ in range(height):
        value = [value, value]
    return value


def test_many_laughs_are_refused_by_their_writer() -> None:
    assert copied(laughs(10)) == laughs(10)
    with pytest.raises(ValueNotCloneableError, match="share less"):
        encode(laughs(50))


@pytest.mark.parametrize("last", ["ha", ["ref", 0]], ids=["a tree", "with a cycle"])
def test_many_laughs_are_refused_by_their_reader(last: object) -> None:
    entries = [[[["ref", number + 1], ["ref", number + 1]]] for number in range(40)] + [[[last]]]

    with pytest.raises(ValueNotCloneableError, match="share less"):
        from_expression(["graph", ["ref", 0], entries])


def test_a_long_text_in_many_places_is_refused() -> None:
    with pytest.raises(ValueNotCloneableError, match="share less"):
        from_expression(["graph", [[["ref", 0]] * 1000], [{"a": "x" * 100_000}]])


def test_everything_within_everything_is_refused() -> None:
    entries = [[[["ref", number] for number in range(15)]] for _ in range(15)]

    with pytest.raises(ValueNotCloneableError, match="share less"):
        from_expression(["graph", ["ref", 0], entries])


def test_tuples_of_tuples_are_refused_when_they_make_too_many_copies() -> None:
    value: tuple[object, ...] = ()
    for _ in range(60):
        value = (value, value)

    with pytest.raises(ValueNotCloneableError, match=f"more than {VALUE_COPIES_MAX} copies"):
        encode(value)


def test_keys_with_references_are_never_hashed() -> None:
    entries = [[[["ref", number + 1], ["ref", number + 1]]] for number in range(10)] + [[["ha"]]]

    members = from_expression(["graph", ["set", [["ref", 0]]], entries])
    pairs = from_expression(["graph", ["map", [[[[["ref", 0]]], 1]]], entries])

    assert isinstance(members, SetItems)
    assert isinstance(pairs, MapItems)


def test_the_deepest_shared_value_survives_and_the_next_is_refused() -> None:
    deepest = nested(VALUE_SHARED_DEPTH_MAX - 1)

    assert copied([deepest, deepest]) == [deepest, deepest]
    with pytest.raises(ValueNotCloneableError, match="nested deeper"):
        encode([nested(VALUE_SHARED_DEPTH_MAX), deepest, deepest])


def test_references_that_lead_deeper_and_deeper_are_refused() -> None:
    entries = [[[["ref", number + 1]]] for number in range(100_000)] + [[[1]]]

    with pytest.raises(ValueNotCloneableError, match="nested deeper"):
        from_expression(["graph", [[["ref", number] for number in reversed(range(100_001))]], entries])


def test_a_chain_of_references_is_read_on_a_deep_stack() -> None:
    entries = [[[["ref", number + 1]]] for number in range(VALUE_SHARED_DEPTH_MAX - 1)] + [[[]]]

    def deep(frames: int) -> object:
        return from_expression(["graph", ["ref", 0], entries]) if frames == 0 else deep(frames - 1)

    assert deep(300) == nested(VALUE_SHARED_DEPTH_MAX)


def test_holes_are_counted_together() -> None:
    half = ["sparse", SPARSE_ITEMS_MAX // 2, []]

    assert copied(from_expression(["graph", half, []])) == [None] * (SPARSE_ITEMS_MAX // 2)
    assert from_expression(["graph", [[half, half]], []])
    with pytest.raises(ValueNotCloneableError, match="arrays with holes"):
        from_expression(["graph", [[half, half, half]], []])


def test_graphs_are_large() -> None:
    assert is_large(["graph", 1, []])


# ── depth ────────────────────────────────────────────────────────────────────────────────────────────────────


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
        '["date"]', '["date",true]', '["date",1e300]', '["date",NaN]', '["date",Infinity]',
        '["bytes"]', '["bytes",1]', '["bytes","é"]', '["bytes","A"]', '["map"]', '["map",{}]', '["map",[1]]',
        '["map",[[1]]]', '["set",1]', '["regexp","a"]', '["regexp",1,""]',
        '["error","a"]', '["error",[],""]', '["url"]', '["error","a","b",null,[]]', '["bytes","AA==","Int16Array"]',
        '["bytes","AA==","What"]', '["bytes","AA==",1]', '["boxed"]', '["date",8640000000000001]', "1" + "0" * 400,
        '["ref",0]', '["sparse",1,[]]', '[["graph",1,[]]]', '["graph"]', '["graph",1]', '["graph",1,{}]',
        '["graph",["ref",0],[]]', '["graph",["ref",-1],[1]]', '["graph",["ref",true],[1,2]]', '["graph",["ref"],[1]]',
        '["graph",["ref",0],[["ref",0]]]', '["graph",["ref",0],[["ref",1],["ref",0]]]', '["graph",["map",1],[]]',
        '["graph",["set",1],[]]', '["graph",["error","a","b",null,1],[]]', '["graph",["sparse",-1,[]],[]]',
        '["graph",["sparse",1,[[1,1]]],[]]', '["graph",["sparse",1,[[0]]],[]]', '["graph",["graph",1,[]],[]]',
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
