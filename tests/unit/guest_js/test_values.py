"""The value codec of the JavaScript runtime, by the same vectors as Python's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.isolates.conftest import JavaScript

from perdure.limits import BIGINT_DIGITS_MAX, VALUE_DEPTH_MAX
from perdure.wire import from_expression, to_expression

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
    written = to_expression(from_expression(vector["tree"]))

    # An empty map is written as an empty dict: Python has one type for both.
    assert written == ({} if vector["tree"] == ["map", []] else vector["tree"])


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("undefined", ["undefined"]),
        ("({ a: undefined })", {"a": ["undefined"]}),
        ("[1, , 2]", [[1, ["undefined"], 2]]),
        ("new Uint8Array([1]).buffer", ["bytes", "AQ==", "ArrayBuffer"]),
        ("new Uint16Array([1])", ["bytes", "AQA=", "Uint16Array"]),
        ("Object.create(null)", {}),
        ("new URL('http://a')", ["url", "http://a/"]),
        ("new DOMException('x', 'AbortError')", ["error", "AbortError", "x"]),
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
        ("const a = []; a.push(a, a); a", "contains itself"),
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


@pytest.mark.parametrize("tree", [["what"], [], [1, 2], ["bigint", "1x"], ["bytes", "?"], ["constructor"], [None]])
def test_malformed_expressions_are_refused(javascript: JavaScript, tree: object) -> None:
    with pytest.raises(RuntimeError):
        javascript().evaluate("value", value=tree)
