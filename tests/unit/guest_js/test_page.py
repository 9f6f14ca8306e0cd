"""The page about JavaScript guests names every global and every module that there is, and none that there is not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from tests.unit.isolates.conftest import JavaScript

from perdure.isolates import _javascript_modules as modules

PAGE: Final = (Path(__file__).parents[3] / "docs" / "reference" / "javascript.md").read_text(encoding="utf-8")
LANGUAGE: Final = frozenset(
    "AggregateError Array ArrayBuffer AsyncDisposableStack BigInt BigInt64Array BigUint64Array Boolean DataView Date "
    "DisposableStack Error EvalError FinalizationRegistry Float16Array Float32Array Float64Array Function Infinity "
    "Int16Array Int32Array Int8Array InternalError Iterator JSON Map Math NaN Number Object Promise Proxy RangeError "
    "ReferenceError Reflect RegExp Set SharedArrayBuffer String SuppressedError Symbol SyntaxError TypeError URIError "
    "Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet decodeURI decodeURIComponent "
    "encodeURI encodeURIComponent escape eval globalThis isFinite isNaN parseFloat parseInt undefined unescape".split()
)


def test_every_global_is_named(javascript: JavaScript) -> None:
    there = set(json.loads(javascript().evaluate("JSON.stringify(Object.getOwnPropertyNames(globalThis))")))
    section = PAGE.partition("## Globals")[2].partition("\n- ")[0]

    assert set(re.findall(r"`([^`]+)`", section)) == there - LANGUAGE


def test_every_module_of_node_is_named() -> None:
    section = PAGE.partition("## Modules of Node")[2].partition("\n- ")[0].partition(": ")[2]

    assert set(re.findall(r"`node:([^`]+)`", section)) == modules.NODE_MODULES
