"""Worker code, checked: the rules and texts of spec 5.2 (cases 82, 83, E20, E21)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from perdure.api import Limits, WorkerCode
from perdure.errors import ValueNotCloneableError, WorkerCodeError
from perdure.limits import CPU_MS_DEFAULT, CPU_MS_MAX, ENV_BYTES_MAX, MEMORY_BYTES_DEFAULT, MIB
from perdure.workers import CheckedCode, _code, check_code


def checked(modules: Any, main: Any = "app.py", **more: Any) -> CheckedCode:
    return check_code({"main_module": main, "modules": modules, **more})


def test_python_is_told_by_the_name_of_its_main_module() -> None:
    code = check_code(WorkerCode("app.py", {"app.py": "x", "lib/a.py": "y", "note": {"text": "z"}}))

    assert code.language == "python"
    assert {name: (module.kind, module.text) for name, module in code.modules.items()} == {
        "app.py": ("py", "x"),
        "lib/a.py": ("py", "y"),
        "note": ("text", "z"),
    }
    assert (code.env, code.cpu_ms, code.memory_bytes) == ("{}", CPU_MS_DEFAULT, MEMORY_BYTES_DEFAULT)


@pytest.mark.parametrize("name", ["app.js", "app.mjs", "lib/app.js"])
def test_javascript_is_told_by_the_name_of_its_main_module(name: str) -> None:
    assert checked({name: "x"}, name).language == "javascript"


@pytest.mark.parametrize(("kind", "language"), [("py", "python"), ("js", "javascript"), ("cjs", "javascript")])
def test_a_kind_may_be_given_instead_of_a_suffix(kind: str, language: str) -> None:
    assert checked({"main": {kind: "x"}}, "main").language == language


def test_javascripts_names_of_the_fields_work() -> None:
    code = check_code(
        {
            "mainModule": "a.js",
            "modules": {"a.js": ""},
            "globalOutbound": None,
            "compatibilityDate": "2026-01-01",
            "compatibilityFlags": ["nodejs_compat"],
            "limits": {"cpuMs": 5, "memoryMb": 32},
        }
    )

    assert (code.main, code.cpu_ms, code.memory_bytes) == ("a.js", 5, 32 * MIB)


def test_data_is_copied_at_once() -> None:
    data = bytearray(b"before")
    code = checked({"app.py": "", "d": {"data": data}})

    data[:] = b"after!"

    assert base64.b64decode(code.modules["d"].text) == b"before"


def test_json_is_written_at_once() -> None:
    value = {"a": 1}
    code = checked({"app.py": "", "j": {"json": value}})

    value["a"] = 2

    assert code.modules["j"].text == '{"a": 1}'


@pytest.mark.parametrize("modules", [{}, [], None, "x"])
def test_83_there_is_at_least_one_module(modules: object) -> None:
    with pytest.raises(WorkerCodeError, match="must contain at least one module"):
        checked(modules)


@pytest.mark.parametrize("main", ["other.py", "", None, 5, ["app.py"]])
def test_the_main_module_is_one_of_them(main: object) -> None:
    with pytest.raises(WorkerCodeError, match=r"Main module name is not present in bundle.*'app\.py'"):
        checked({"app.py": ""}, main)


@pytest.mark.parametrize("name", ["app.txt", "app", "py", "app.wasm"])
def test_83_another_suffix_is_refused(name: str) -> None:
    with pytest.raises(WorkerCodeError, match=rf"must end with '\.js' or '\.py'.*Got: {name}"):
        checked({"app.py": "", name: ""})


@pytest.mark.parametrize(
    "source", [{"js": "", "text": ""}, {}, {"wasm": b""}, {1: ""}, 5, None, ["x"], {"text": "", "data": b""}]
)
def test_83_a_module_has_exactly_one_kind(source: object) -> None:
    with pytest.raises(WorkerCodeError, match="module `x` must be a string, or contain exactly one of: js, cjs, py"):
        checked({"app.py": "", "x": source})


@pytest.mark.parametrize(
    ("modules", "main", "text"),
    [
        ({"a.js": "", "b.py": ""}, "a.js", "`b.py` is a Python module, but the main module isn't a Python module"),
        ({"a.py": "", "b.js": ""}, "a.py", "`b.js` is a JavaScript module, but the main module `a.py` is a Python"),
        ({"a.py": "", "b": {"cjs": ""}}, "a.py", "`b` is a JavaScript module"),
        ({"a": {"text": ""}}, "a", "main module `a` must be Python or JavaScript, it is `text`"),
    ],
)
def test_83_a_worker_has_one_language(modules: object, main: str, text: str) -> None:
    with pytest.raises(WorkerCodeError, match=text):
        checked(modules, main)


@pytest.mark.parametrize(
    "name", ["", "/a.py", "../a.py", "a/../b.py", "./a.py", "a//b.py", "a\n.py", "a\0.py", 5, None]
)
def test_a_modules_name_is_a_plain_relative_path(name: object) -> None:
    with pytest.raises(WorkerCodeError, match="module name"):
        checked({"app.py": "", name: ""})


@pytest.mark.parametrize(
    "source", ["\ud800", {"text": "\ud800"}, {"text": b"x"}, {"data": "x"}, {"json": object()}, {"json": float("nan")}]
)
def test_a_modules_content_fits_its_kind(source: object) -> None:
    with pytest.raises(WorkerCodeError, match=r"module `x\.py`"):
        checked({"app.py": "", "x.py": source})


def test_json_that_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)

    with pytest.raises(WorkerCodeError, match="cannot be written as JSON"):
        checked({"app.py": "", "j": {"json": value}})


def test_e20_code_has_a_greatest_size_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_code, "CODE_BYTES_MAX", 1000)
    most = bytes(999)

    checked({"app.py": "#", "d": {"data": most}})

    with pytest.raises(WorkerCodeError, match=r"Dynamic Worker code size .* exceeds the maximum allowed size"):
        checked({"app.py": "é", "d": {"data": most}})


def test_e20_env_may_have_1_mib_and_no_byte_more() -> None:
    room = ENV_BYTES_MAX - len('{"A":""}')

    checked({"app.py": ""}, env={"A": "x" * room})

    with pytest.raises(WorkerCodeError, match=r"Dynamic Worker env size .* exceeds the maximum"):
        checked({"app.py": ""}, env={"A": "x" * (room + 1)})


def test_env_is_plain_values() -> None:
    assert checked({"app.py": ""}, env={"A": [1, {2}]}).env == '{"A":[[1,["set",[2]]]]}'
    with pytest.raises(ValueNotCloneableError, match="env of a dynamic worker: "):
        checked({"app.py": ""}, env={"A": object()})
    bad: list[object] = [None, [], {1: 2}]
    for env in bad:
        with pytest.raises(WorkerCodeError, match="env is a mapping from names to values"):
            checked({"app.py": ""}, env=env)


def test_what_is_no_way_out_is_refused() -> None:
    with pytest.raises(WorkerCodeError, match="global_outbound is a stub"):
        checked({"app.py": ""}, global_outbound=object())


@pytest.mark.parametrize(
    "limits",
    [
        {"cpu_ms": 0}, {"cpu_ms": CPU_MS_MAX + 1}, {"cpu_ms": "5"}, {"cpu_ms": 1.5}, {"memory_mb": 15},
        {"memory_mb": 4097}, {"memory_mb": "64"}, {"memory_mb": {}}, {"wall_ms": 0}, {"wall": 5}, 5,
    ],
)  # fmt: skip
def test_limits_have_bounds(limits: object) -> None:
    with pytest.raises(WorkerCodeError, match="limits"):
        checked({"app.py": ""}, limits=limits)


def test_limits_at_their_bounds_are_fine() -> None:
    low = checked({"app.py": ""}, limits=Limits(cpu_ms=1, memory_mb=16))
    high = checked({"app.py": ""}, limits=Limits(cpu_ms=CPU_MS_MAX, memory_mb=4096))

    assert (low.cpu_ms, low.memory_bytes, high.cpu_ms, high.memory_bytes) == (1, 16 * MIB, CPU_MS_MAX, 4096 * MIB)


@pytest.mark.parametrize("given", [None, "code", 5, []])
def test_code_is_a_worker_code_or_a_mapping(given: object) -> None:
    with pytest.raises(WorkerCodeError, match="the code of a worker is a WorkerCode or a mapping"):
        check_code(given)


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(WorkerCodeError, match="has no field `streaming_tails`; its fields are: "):
        checked({"app.py": ""}, streaming_tails=[])
    with pytest.raises(WorkerCodeError, match="needs `main_module`"):
        check_code({"modules": {}})


def test_the_digest_tells_codes_apart() -> None:
    codes = [
        checked({"app.py": "x"}),
        checked({"app.py": "y"}),
        checked({"app.py": "x", "b.py": ""}),
        checked({"app.py": "x", "b.py": ""}, "b.py"),
        checked({"app.py": "x", "b.py": {"text": ""}}),
    ]

    assert len({code.digest for code in codes}) == len(codes)
    assert checked({"app.py": "x"}, env={"A": 1}).digest == codes[0].digest
