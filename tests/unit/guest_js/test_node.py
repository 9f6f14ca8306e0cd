"""Modules of Node in JavaScript guests: the few that programs for servers lean on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.guest_js.cases import cases_in
from tests.unit.isolates.conftest import JavaScript

from perdure.isolates import _javascript_modules as modules

CASES = cases_in(Path(__file__).with_name("node_cases.js").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("source", "value"), CASES)
def test_they_do_what_those_of_node_do(javascript: JavaScript, source: str, value: object) -> None:
    assert javascript().settled(source) == value


def test_the_host_knows_their_names(javascript: JavaScript) -> None:
    names = javascript().evaluate("JSON.stringify((await import('node:module')).builtinModules)")

    assert set(json.loads(str(names))) == modules.NODE_MODULES


def test_a_module_of_the_worker_comes_before_one_of_node(javascript: JavaScript) -> None:
    guest = javascript(
        {"worker.js": "", "util": ("js", "export const own = 1"), "lib/path": ("js", "export const own = 2")}
    )

    assert guest.evaluate("(await import('util')).own") == 1
    assert guest.evaluate("(await import('./lib/path')).own") == 2
    assert guest.evaluate("'inspect' in await import('node:util')") is True


def test_commonjs_requires_them(javascript: JavaScript) -> None:
    source = "const { join } = require('path'); exports.x = join('a', require('node:util').format('%s', 'b'))"
    guest = javascript({"worker.js": "", "old.cjs": ("cjs", source)})

    assert guest.evaluate("(await import('./old.cjs')).default.x") == "a/b"


@pytest.mark.parametrize("name", ["node:fs", "fs", "node:http", "express"])
def test_one_that_is_not_there_is_told_with_those_that_are(javascript: JavaScript, name: str) -> None:
    with pytest.raises(
        RuntimeError, match=rf'No such module "{name}".*of Node there are assert, .*packages are to be bundled'
    ):
        javascript().evaluate(f"await import('{name}')")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(await import('node:crypto')).createHash('md4')", "Digest method not supported: `md4`; there are md5, sha1"),
        ("(await import('node:crypto')).randomInt(5, 5)", "randomInt\\(\\) gives an integer"),
        ("process.exit(1)", "a worker cannot end its process"),
        (
            "(await import('node:module')).createRequire('x')('fs')",
            "require\\(\\) finds the modules of Node that are here",
        ),
    ],
)
def test_what_cannot_be_says_why(javascript: JavaScript, source: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        javascript().evaluate(source)
