"""`console` in JavaScript guests: lines of the host's log that people can read."""

from __future__ import annotations

import pytest
from tests.unit.isolates.conftest import JavaScript

SHOWN = {
    "'text', 1, true, null, undefined": "text 1 true null undefined",
    "['text', 1n, -0, Symbol('s')]": "[ 'text', 1n, -0, Symbol(s) ]",
    "{ a: 1, 'b-c': [], d: {} }": "{ a: 1, 'b-c': [], d: {} }",
    "new Map([['a', { b: 1 }]]), new Set([1])": "Map(1) { 'a' => { b: 1 } } Set(1) { 1 }",
    "new (class Point { x = 1 })(), class A {}, class B extends Map {}, () => 1, function named() {}": (
        "Point { x: 1 } [class A] [class B extends Map] [Function (anonymous)] [Function: named]"
    ),
    "new Date(0), /a/g, new Uint8Array(2), new ArrayBuffer(3)": (
        "1970-01-01T00:00:00.000Z /a/g Uint8Array(2) [ 0, 0 ] ArrayBuffer { byteLength: 3 }"
    ),
    "Object.create(null), { get a() { return 1 } }": "[Object: null prototype] {} { a: [Getter] }",
    "{ a: { b: { c: { d: { e: { f: {} } } } } } }": "{ a: { b: { c: { d: { e: [Object] } } } } }",
    "'%s is %d%% %o', 'it', 5, { a: 1 }, 'more'": "it is 5% { a: 1 } more",
    '"it\'s", ["it\'s", "\\n"]': "it's [ \"it's\", '\\n' ]",
    "new URL('http://a'), new Headers({ a: '1' })": "URL { 'http://a/' } Headers { a: '1' }",
    "new Proxy({ a: 1 }, {})": "{ a: 1 }",
}


@pytest.mark.parametrize(("source", "line"), SHOWN.items())
def test_values_are_shown_as_in_node(javascript: JavaScript, source: str, line: str) -> None:
    guest = javascript()

    guest.evaluate(f"console.log({source}); 0")

    assert guest.host.log == [("log", line)]


def test_what_contains_itself_is_shown(javascript: JavaScript) -> None:
    guest = javascript()

    guest.evaluate("const a = { name: 'a' }; a.self = [a]; console.log(a); 0")

    assert guest.host.log == [("log", "{ name: 'a', self: [ [Circular] ] }")]


def test_long_values_take_several_lines(javascript: JavaScript) -> None:
    guest = javascript()

    guest.evaluate("console.log({ first: 'x'.repeat(50), second: 'y'.repeat(50) }); 0")

    assert [line for _, line in guest.host.log] == [
        "{", f"  first: '{'x' * 50}',", f"  second: '{'y' * 50}'", "}",
    ]  # fmt: skip


def test_many_items_are_cut(javascript: JavaScript) -> None:
    guest = javascript()

    guest.evaluate("console.log(Array.from({ length: 1000 }, () => 1)); 0")

    assert guest.host.log[-2:] == [("log", "  ... 900 more items"), ("log", "]")]


def test_levels_and_groups(javascript: JavaScript) -> None:
    guest = javascript()

    guest.evaluate(
        "console.debug('d'); console.info('i'); console.warn('w'); console.error('e'); console.group('g');"
        " console.log('inside\\nlines'); console.groupEnd(); console.assert(false, 'wrong'); console.assert(true);"
        " console.count(); console.count(); 0"
    )

    assert guest.host.log == [
        ("debug", "d"), ("info", "i"), ("warn", "w"), ("error", "e"), ("log", "g"), ("log", "  inside"),
        ("log", "  lines"),
        ("error", "Assertion failed: wrong"), ("log", "default: 1"), ("log", "default: 2"),
    ]  # fmt: skip


def test_errors_are_shown_with_the_workers_lines_and_causes(javascript: JavaScript) -> None:
    guest = javascript()

    guest.evaluate("console.error(new TypeError('outer', { cause: new Error('inner') })); 0")

    lines = [line for _, line in guest.host.log]
    assert lines[::2] == ["TypeError: outer", "Caused by Error: inner"]
    assert all(line.startswith("    at snippet.js:1:") for line in lines[1::2])


@pytest.mark.parametrize(
    "source",
    [
        "{ get [Symbol.toStringTag]() { throw 1 } }",
        "new Proxy({}, { ownKeys() { throw new Error('no') } })",
        "Object.defineProperty(new Error(), 'message', { get() { throw 1 } })",
        "{ constructor: { get name() { throw 1 } } }",
    ],
)
def test_showing_never_throws(javascript: JavaScript, source: str) -> None:
    javascript().evaluate(f"console.log({source}); 0")
