"""TypeScript and JSX in JavaScript guests: translated on their way in, with lines where they were."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from tests.unit.isolates.fake_host import CPU_MS, MEMORY_BYTES, Driver, drive, error_of

from perdure.errors import LimitExceededError
from perdure.isolates import Isolate, Isolates
from perdure.isolates import _translator as translator

Modules = dict[str, str | tuple[str, str]]
Load = Callable[..., Driver]

SYNTAX = {
    "const n: number = 3 as any; n satisfies number": 3,
    "interface A { b?: string } type C = A | null; const c: C = { b: 'x' }; c!.b": "x",
    "enum Color { Red, Green = 5, Blue } [Color.Blue, Color[5]].join()": "6,Green",
    "class P { constructor(private readonly x: number, public y = 2) {} sum(): number { return this.x + this.y } }"
    " new P(1).sum()": 3,
    "const f = <T,>(value: T): T => value; f<string>('x')": "x",
    "function over(a: string): void; function over(a: any) { return a } over(4)": 4,
    "abstract class A { declare d: number; abstract f(): void; #p: number = 7; get v(): number { return this.#p } }"
    " class B extends A { override f() {} } new B().v": 7,
    "let s: unknown = 'x'; function isText(v: unknown): v is string { return typeof v === 'string' } isText(s)": True,
    "const o = { a: 1 } as const; const k: keyof typeof o = 'a'; o[k]": 1,
}


@pytest.fixture
def made(isolates: Isolates) -> Iterator[list[Isolate]]:
    isolates_made: list[Isolate] = []
    yield isolates_made
    for isolate in isolates_made:
        isolate.close()


@pytest.fixture
def new(isolates: Isolates, made: list[Isolate]) -> Driver:
    return _new(isolates, made, {})


def _new(isolates: Isolates, made: list[Isolate], modules: Modules) -> Driver:
    made.append(isolates.create("javascript", memory_bytes=MEMORY_BYTES))
    return drive(made[-1], modules, cpu_ms=CPU_MS)


@pytest.fixture
def worker(isolates: Isolates, made: list[Isolate]) -> Load:
    """Loads modules: one string is the main one."""

    def load(modules: str | Modules, main: str = "worker.ts") -> Driver:
        driver = _new(isolates, made, {main: modules} if isinstance(modules, str) else modules)
        loaded = driver.load(main)
        assert "ok" in loaded, loaded["error"].get("traceback")
        return driver

    return load


@pytest.mark.parametrize(("source", "value"), SYNTAX.items())
def test_types_are_dropped(worker: Load, source: str, value: object) -> None:
    head, last = re.split(r"(?<=[;}]) (?=[^;{}]+$|\[)", source, maxsplit=1)
    guest = worker(f"{head}\nexport default {{ value() {{ return {last} }}, fetch() {{}} }}")

    assert guest.call("value", None, x="default")["d"] == [[1, 1, value]]


def test_jsx_is_what_its_comment_says(worker: Load) -> None:
    main = (
        "/** @jsx h */ const h = (...parts: unknown[]) => JSON.stringify(parts);"
        "export default { fetch() { return new Response(<a b={1}>hi</a> as any) } }"
    )
    guest = worker(main, "worker.tsx")

    assert guest.fetch(x="default")["d"][0][2]["b"] == '["a",{"b":1},"hi"]'


def test_jsx_without_a_comment_takes_the_automatic_runtime(worker: Load) -> None:
    modules = {
        "worker.jsx": "/** @jsxImportSource mine */ export default { fetch() { return new Response(<b>x</b>) } }",
        "mine/jsx-runtime": ("js", "export const jsx = (tag, { children }) => `${tag}:${children}`"),
    }

    assert worker(modules, "worker.jsx").fetch(x="default")["d"][0][2]["b"] == "b:x"


def test_imports_find_what_typescript_means(worker: Load) -> None:
    guest = worker(
        {
            "worker.ts": "import { a } from './lib/a'; import { b } from './lib/b.js';"
            " import type { T } from './nowhere'; import c from './c'; import { d } from './lib/d.js';"
            " export default { fetch() { return new Response(a + b + c + d) } }",
            "lib/a.ts": "export const a: string = 'a'",
            "lib/b.tsx": "export const b = 'b' as string",
            "c/index.ts": "export default 'c'",
            "lib/d.js": "export const d = 'd'",
            "lib/d.ts": "export const d = 'not this'",
        }
    )

    assert guest.fetch(x="default")["d"][0][2]["b"] == "abcd"


def test_javascript_does_not_guess_names(new: Driver) -> None:
    new.host.modules.update({"worker.js": ("js", "import './a'"), "a.ts": ("ts", "")})

    assert 'No such module "a"' in new.load("worker.js")["error"]["message"]


def test_an_error_names_the_line_of_the_source(worker: Load) -> None:
    guest = worker(
        "interface Wide {\n  a: string\n}\n\nexport default {\n  fetch(r: Request): Response {\n"
        "    throw new Error('here' as string)\n  },\n}"
    )

    assert "at fetch (worker.ts:7:" in error_of(guest.fetch(x="default"))["traceback"]


def test_an_error_of_syntax_shows_the_line(new: Driver) -> None:
    new.host.modules["worker.ts"] = ("ts", "const a: number = 1;\nlet x: = 3;")

    error = new.load("worker.ts")["error"]

    assert error["type"] == "SyntaxError"
    assert error["message"] == "Unexpected token (worker.ts:2:8)"
    assert error["traceback"].endswith("    at worker.ts:2:8\n\n  let x: = 3;\n         ^")
    assert "props" not in error


@pytest.mark.parametrize(
    "source", ["(" * 20_000, "<" * 20_000, "a?" * 20_000, "`${" * 5_000, "{" * 50_000, "type A<" * 9_000]
)
def test_source_that_nests_without_end_is_an_error_and_no_more(new: Driver, source: str) -> None:
    new.host.modules["worker.tsx"] = ("tsx", source)

    assert "error" in new.load("worker.tsx")


def test_a_translation_that_takes_too_long_ends(new: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translator, "TRANSLATION_CPU_MS_MAX", 20)
    new.host.modules["worker.ts"] = ("ts", "const a: number = 1;\n" * 20_000)

    with pytest.raises(LimitExceededError, match="20 ms of CPU"):
        new.load("worker.ts")


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────


class _Asked:
    """An isolate that says how often it was asked."""

    def __init__(self) -> None:
        self.count = 0

    def make(self) -> Isolate:
        return self  # type: ignore[return-value]  # as much of one as a translator needs

    def call(self, op: int, payload: str, *, cpu_ms: int) -> str:
        self.count += 1
        return json.dumps({"ok": json.loads(payload)["text"].upper()})

    def close(self) -> None:
        pass


def test_what_was_translated_is_kept_by_content_and_kind() -> None:
    asked = _Asked()
    one = translator.Translator(asked.make)

    texts = [one.translate(kind, name, "x") for kind, name in [("ts", "a"), ("ts", "b"), ("tsx", "a")]]

    assert (texts, asked.count) == (["X", "X", "X"], 2)


def test_what_was_used_least_recently_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translator, "TRANSLATED_CHARACTERS_MAX", 2 * len(json.dumps({"ok": "aaaa"})))
    asked = _Asked()
    one = translator.Translator(asked.make)

    for text in ["aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb"]:
        one.translate("ts", "n", text)

    assert asked.count == 4  # a, b, c, and b again
