"""The value codec of the JavaScript runtime, by the same vectors as Python's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.isolates.conftest import JavaScript
from tests.unit.wire.test_values import MOMENTS, graphs, values

from perdure.errors import ValueNotCloneableError
from perdure.limits import BIGINT_DIGITS_MAX, VALUE_DEPTH_MAX
from perdure.wire import RegExp, from_expression, to_expression

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("value_vectors.json").read_text(encoding="utf-8"))
IDS = [json.dumps(vector["tree"])[:40] for vector in VECTORS]


def nested(depth: int) -> Any:
    tree: Any = 1
    for _ in range(depth):
        tree = [[tree]]
    return tree


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_javascript_reads_and_writes_the_vectors(javascript: JavaScript, vector: dict[str, Any]) -> None:
    guest = javascript()

    assert guest.evaluate(vector["javascript"], value=vector["tree"]) is True
    assert guest.evaluate("value", value=vector["tree"]) == vector["tree"]


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_python_reads_and_writes_the_vectors(vector: dict[str, Any]) -> None:
    assert to_expression(from_expression(vector["tree"])) == vector["tree"]


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("undefined", ["undefined"]),
        ("({ a: undefined })", {"a": ["undefined"]}),
        ("[1, undefined]", [[1, ["undefined"]]]),
        ("[1, , 2]", ["graph", ["sparse", 3, [[0, 1], [2, 2]]], []]),
        (
            "const a = []; a[4294967294] = 1; a.x = 1; [a].pop().length = 100000; a",
            ["graph", ["sparse", 100000, []], []],
        ),
        ("[-0, 0]", [[["-0"], 0]]),
        ("[Object(1), Object(''), Object(false)]", [[["boxed", 1], ["boxed", ""], ["boxed", False]]]),
        ("Object(2n)", ["boxed", ["bigint", "2"]]),
        ("new Uint8Array([1]).buffer", ["bytes", "AQ==", "ArrayBuffer"]),
        ("new Uint16Array([1])", ["bytes", "AQA=", "Uint16Array"]),
        ("Object.create(null)", {}),
        ("new URL('http://a')", ["url", "http://a/"]),
        ("new DOMException('x', 'AbortError')", ["error", "AbortError", "x", None, {}, "DOMException"]),
        ("Object.assign(new Error('x'), { bad() {}, good: 1 })", ["error", "Error", "x", None, {"good": 1}]),
        ("class Own extends Error { name = 'Own' }; new Own('x')", ["error", "Own", "x"]),
    ],
)
def test_what_only_javascript_writes(javascript: JavaScript, source: str, tree: object) -> None:
    guest = javascript()

    written = guest.evaluate(source)

    assert written == tree
    from_expression(written)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("() => 1", "functions cannot be stored or sent"),
        ("Symbol()", "symbols cannot be stored or sent"),
        ("new (class Thing {})()", 'object of type "Thing"'),
        ("[Promise.resolve()]", "await it first"),
        ("new WeakMap()", 'object of type "WeakMap"'),
        ("[{ 'a b': new Map([[1, { x: Symbol() }]]) }]", r"""the value's `\[0\]\["a b"\]\[1\]\.x`"""),
        ("let laugh = ['ha']; for (let i = 0; i < 50; i++) laugh = [laugh, laugh]; laugh", "share less"),
        ("new Proxy({}, { getPrototypeOf() { return Array.prototype } })", "does not support serialization"),
        (f"10n ** {BIGINT_DIGITS_MAX}n", "too large"),
    ],
)
def test_what_cannot_be_copied_says_why(javascript: JavaScript, source: str, text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        javascript().evaluate(source)


def test_the_deepest_value_survives_and_the_next_is_refused(javascript: JavaScript) -> None:
    guest = javascript()
    deeper = "let deep = 1; for (let depth = 0; depth < {}; depth++) deep = [deep]; deep"

    assert guest.evaluate(deeper.format(VALUE_DEPTH_MAX)) == nested(VALUE_DEPTH_MAX)
    with pytest.raises(RuntimeError, match="nested deeper"):
        guest.evaluate(deeper.format(VALUE_DEPTH_MAX + 1))


@pytest.mark.parametrize(
    "source",
    [
        "const a = [1, , 3]; [a].concat([a])",
        "const a = new Array(100000); a[7] = { a }; a",
        "[Object(1), Object(''), Object(false), Object(2n)]",
        "new DOMException('x', 'AbortError')",
        "[-0, undefined, { a: undefined }]",
        "const shared = [1]; [Object.assign(new Error('x'), { bad: [shared, Symbol()] }), shared, shared]",
    ],
)
def test_what_only_javascript_has_survives_where_only_javascript_reads_it(javascript: JavaScript, source: str) -> None:
    guest = javascript()

    tree = guest.evaluate(source)

    assert guest.evaluate("value", value=tree) == tree


DEEP = [[[["ref", number + 1]]] for number in range(99)] + [1]
LAUGHS = [[["ref", number + 1], ["ref", number + 1]] for number in range(40)]


@pytest.mark.parametrize(
    "tree",
    [
        ["what"], [], [1, 2], ["bigint", "1x"], ["bytes", "?"], ["constructor"], [None], ["ref", 0], ["graph"],
        ["graph", 1], ["graph", ["ref", 0], []], ["graph", ["ref", "0"], [1]], ["graph", ["ref", 0], [["ref", 0]]],
        ["graph", ["ref", 0], [["ref", 1], ["ref", 0]]], ["graph", ["ref", 0], [["boxed", ["ref", 0]]]],
        ["graph", ["map", 1], []], ["graph", ["sparse", -1, []], []], ["graph", ["graph", 1, []], []],
        ["graph", ["ref", 0], [[laugh] for laugh in LAUGHS] + ["ha"]],
        ["graph", [[["ref", number] for number in range(99, -1, -1)]], DEEP],
    ],
)  # fmt: skip
def test_malformed_expressions_are_refused(javascript: JavaScript, tree: object) -> None:
    with pytest.raises(RuntimeError):
        javascript().evaluate("value", value=tree)


# A Date has no microseconds, and a pattern is compiled when it is read.
MILLISECONDS = MOMENTS.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
VALUES = values(MILLISECONDS).filter(lambda value: "RegExp(" not in repr(value))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, max_size=20))
def test_values_of_python_survive_javascript(javascript: JavaScript, drawn: list[object]) -> None:
    copies = [from_expression(to_expression(value)) for value in drawn]

    returned = from_expression(javascript().evaluate("value", value=to_expression(copies)))

    assert returned == copies


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graphs())
def test_graphs_of_every_shape_survive_javascript(javascript: JavaScript, nodes: list[object]) -> None:
    try:
        tree = to_expression(nodes)
    except ValueNotCloneableError:
        return

    assert javascript().evaluate("value", value=tree) == tree


def test_a_pattern_is_compiled_by_its_reader(javascript: JavaScript) -> None:
    guest = javascript()

    assert from_expression(guest.evaluate("value", value=["regexp", "a", "i"])) == RegExp("a", "i")
    with pytest.raises(RuntimeError, match="SyntaxError"):
        guest.evaluate("value", value=["regexp", "(", ""])
