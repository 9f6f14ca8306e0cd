"""Imports of a JavaScript worker: what is found where, every kind of module, and what a failed import says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import MEMORY_BYTES, drive

from perdure.isolates import Isolates
from perdure.isolates._javascript_modules import module_source, resolve


def failed_load(isolates: Isolates, modules: Mapping[str, str]) -> dict[str, Any]:
    isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
    loaded = drive(isolate, modules).load("worker.js")
    isolate.close()
    error: dict[str, Any] = loaded["error"]
    return error


@pytest.mark.parametrize(
    ("importer", "specifier", "name"),
    [
        ("worker.js", "./lib.js", "lib.js"),
        ("src/worker.js", "./lib.js", "src/lib.js"),
        ("src/a/worker.js", "../lib.js", "src/lib.js"),
        ("worker.js", "../lib.js", "../lib.js"),
        ("src/worker.js", "lib.js", "lib.js"),
        ("src/worker.js", "/lib.js", "lib.js"),
        ("worker.js", "cloudflare:workers", "cloudflare:workers"),
    ],
)
def test_names_are_resolved(importer: str, specifier: str, name: str) -> None:
    assert resolve(importer, specifier) == name


def test_every_kind_of_module_is_imported(javascript: JavaScript) -> None:
    guest = javascript(
        {
            "worker.js": (
                "import text from './page.html'; import data from './bytes.bin'; import json from './config.json';\n"
                "import common from './lib/common.cjs'; import { deep } from './lib/deep.js';\n"
                "export default { fetch() { return Response.json("
                "[text, new Uint8Array(data)[0], data.byteLength, json, common.answer, deep]) } }"
            ),
            "page.html": ("text", "<b>\u2028'\"</b>\n"),
            "bytes.bin": ("data", "/wAB"),
            "config.json": ("json", '{"a": [1], "__proto__": 2}'),
            "lib/common.cjs": (
                "cjs",
                "const other = require('./other.cjs');\nmodule.exports = { answer: other.half * 2 };",
            ),
            "lib/other.cjs": ("cjs", "exports.half = 21; // the end"),
            "lib/deep.js": "export { deep } from '../deeper.js'",
            "deeper.js": "export const deep = import.meta !== undefined;",
        }
    )

    answer = guest.fetch(x="default")["d"][0][2]["b"]

    assert answer == '["<b>\u2028\'\\"</b>\\n",255,3,{"a":[1],"__proto__":2},42,true]'


def test_modules_run_once_and_may_be_circular(javascript: JavaScript) -> None:
    guest = javascript(
        {
            "worker.js": (
                "import './a.js'; import './b.js'; export default { fetch() { return new Response(globalThis.order) } }"
            ),
            "a.js": "import './b.js'; globalThis.order = (globalThis.order ?? '') + 'a';",
            "b.js": "import './a.js'; globalThis.order = (globalThis.order ?? '') + 'b';",
        }
    )

    assert guest.fetch(x="default")["d"][0][2]["b"] == "ba"


@pytest.mark.parametrize(
    "name", ["./missing.js", "lodash", "node:fs", "fs", "https://example.com/a.js", "", "../../etc/passwd"]
)
def test_missing_module_names_what_there_is(isolates: Isolates, name: str) -> None:
    error = failed_load(isolates, {"worker.js": f"\nimport it from '{name}';", "lib.js": ""})

    assert f'No such module "{resolve("worker.js", name)}", imported by "worker.js"' in error["message"]
    assert 'the worker\'s modules are "worker.js", "lib.js"' in error["message"]
    offered = "DurableObject, RpcPromise, RpcStub, RpcTarget, WorkerEntrypoint, abortIsolate"
    assert f'"cloudflare:workers" offers {offered}' in error["message"]


def test_missing_export_of_our_module_names_what_it_offers(isolates: Isolates) -> None:
    error = failed_load(isolates, {"worker.js": "import { DurableObjects } from 'cloudflare:workers';"})

    assert "DurableObjects" in error["message"]
    assert "it offers DurableObject, RpcPromise, RpcStub, RpcTarget, WorkerEntrypoint" in error["message"]


def test_syntax_error_shows_file_line_column_and_source(isolates: Isolates) -> None:
    error = failed_load(isolates, {"worker.js": "import './lib.js'", "lib.js": "const a = 1;\n\tconst b = = 2;\n"})

    assert error["type"] == "SyntaxError"
    assert error["traceback"].endswith("    at lib.js:2:12\n\n  \tconst b = = 2;\n  \t          ^")


def test_exception_at_the_top_level_has_its_lines(isolates: Isolates) -> None:
    error = failed_load(isolates, {"worker.js": "function start() {\n  throw new Error('at start');\n}\nstart();"})

    assert error["traceback"] == ("Error: at start\n    at start (worker.js:2:13)\n    at <anonymous> (worker.js:4:1)")


def test_import_that_fails_later_is_an_ordinary_error(javascript: JavaScript) -> None:
    source = "try { await import('./missing.js') } catch (error) { error.message }"

    assert 'No such module "missing.js"' in javascript().evaluate(source)


def test_common_js_keeps_its_lines() -> None:
    source = module_source("cjs", "first\nsecond")

    assert source.splitlines()[1] == "second"
