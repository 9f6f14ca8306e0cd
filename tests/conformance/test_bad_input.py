"""What bad input gets: an error that says what is wrong and where, in words that a model could repair from.

Each case runs beside a bystander, whose app answers afterwards as if nothing had been; what the victim's app was told
is stored, is there.
"""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.conformance.flavours import GUESTS, Subject, code_of, failure

from perdure import DurableObject, FacetOptions, GuestError, LimitExceededError, Limits, WorkerLoadError
from perdure.errors import PerdureError, WorkerCodeError
from perdure.testing import World

CPU_MS = 300

HEAD = {
    "python": "from perdure import DurableObject\n",
    "javascript": 'import { DurableObject } from "cloudflare:workers";\n',
}
APP = {
    "python": """class App(DurableObject):
    def put(self, value):
        self.ctx.storage.kv.put("n", value)
    def read(self):
        return self.ctx.storage.kv.get("n")
""",
    "javascript": """export class App extends DurableObject {
  put(value) { this.ctx.storage.kv.put("n", value); }
  read() { return this.ctx.storage.kv.get("n"); }
""",
}
END = {"python": "", "javascript": "}\n"}
GOOD = {language: HEAD[language] + APP[language] + END[language] for language in GUESTS}
BAD_LINE = 7
"""Where the body of `bad` begins in both languages."""


def app_with(language: str, body: str) -> str:
    """The good app with a method `bad`."""
    if language == "python":
        lines = "".join(f"        {line}\n" for line in body.splitlines())
        return f"{HEAD[language]}{APP[language]}    def bad(self):\n{lines}".replace("\n    def bad", "\n    def bad")
    return f"{HEAD[language]}\n{APP[language]}  bad() {{\n{body}\n  }}\n}}\n"


class AppRunner(DurableObject):
    """A supervisor as people write it."""

    def set_code(self, language: str, source: str) -> None:
        kv = self.ctx.storage.kv
        kv.put("version", kv.get("version", 0) + 1)
        kv.put("language", language)
        kv.put("source", source)
        self.ctx.facets.abort("app", "new code was set")

    def start(self) -> FacetOptions:
        kv = self.ctx.storage.kv
        code = code_of(kv.get("language"), kv.get("source"), limits=Limits(cpu_ms=CPU_MS, memory_mb=64))
        worker = self.env.LOADER.get(str(kv.get("version")), lambda: code)
        return FacetOptions(cls=worker.get_durable_object_class("App"))

    async def app(self, method: str, *arguments: object) -> object:
        return await getattr(self.ctx.facets.get("app", self.start), method)(*arguments)


class Stage:
    """A victim with acknowledged data, and a bystander."""

    def __init__(self, world: World, language: str) -> None:
        self.world = world
        self.language = language
        self.victim = world.get(AppRunner, "victim")
        self.bystander = world.get(AppRunner, "bystander")

    async def set_up(self) -> None:
        for runner in (self.victim, self.bystander):
            await runner.set_code(self.language, GOOD[self.language])
            await runner.app("put", "acknowledged")

    async def error_of(self, source: str, method: str = "bad") -> Exception:
        """What a call to code gets; meanwhile and afterwards the rest must stand."""
        await self.set_up()
        await self.victim.set_code(self.language, source)
        error = await failure(self.victim.app(method))
        await self.check()
        return error

    async def check(self) -> None:
        await self.victim.set_code(self.language, GOOD[self.language])
        for runner in (self.victim, self.bystander):
            assert await runner.app("read") == "acknowledged"
        await self.bystander.app("put", "acknowledged")


@pytest.fixture(params=GUESTS)
def stage(request: pytest.FixtureRequest, world: World) -> Stage:
    return Stage(world, request.param)


def place(language: str, line: int) -> str:
    """How a traceback names a line."""
    return f'worker.py", line {line}' if language == "python" else f"worker.js:{line}:"


# ── code that cannot be loaded ───────────────────────────────────────────────────────────────────────────────


async def test_syntax_error(stage: Stage) -> None:
    source = {
        "python": HEAD["python"] + "class App(DurableObject):\n    def bad(self:\n        pass\n",
        "javascript": HEAD["javascript"] + "export class App extends DurableObject {\n  bad( { return 1; }\n}\n",
    }[stage.language]

    error = await stage.error_of(source)

    assert isinstance(error, WorkerLoadError)
    assert str(error).startswith("Failed to start Worker: ")
    assert "SyntaxError" in str(error)
    assert place(stage.language, 3) in str(error)
    assert {"python": "def bad(self:", "javascript": "bad( { return 1; }"}[stage.language] in str(error)


async def test_missing_class(stage: Stage) -> None:
    source = {
        "python": HEAD["python"] + "class Ap(DurableObject):\n    pass\nApp = 5\n",
        "javascript": HEAD["javascript"] + "export class Ap extends DurableObject {}\nexport const App = 5;\n",
    }[stage.language]

    error = await stage.error_of(source)

    assert isinstance(error, WorkerCodeError)
    assert "App" in str(error)
    assert "`Ap` (object)" in str(error) or "declare it as `class App(DurableObject)`" in str(error)


async def test_exception_at_import(stage: Stage) -> None:
    source = {
        "python": HEAD["python"] + APP["python"] + "def broken():\n    return {}['key']\nbroken()\n",
        "javascript": GOOD["javascript"] + "function broken() {\n  return missing();\n}\nbroken();\n",
    }[stage.language]

    error = await stage.error_of(source)

    assert isinstance(error, WorkerLoadError)
    assert {"python": "KeyError: 'key'", "javascript": "missing is not defined"}[stage.language] in str(error)
    lines = {"python": (8, 9), "javascript": (7, 9)}[stage.language]
    assert [line for line in lines if place(stage.language, line) not in str(error)] == [], str(error)


async def test_import_of_a_module_that_does_not_exist(stage: Stage) -> None:
    missing = {"python": "import requests_of_ours\n", "javascript": 'import { x } from "./not_there.js";\n'}
    error = await stage.error_of(missing[stage.language] + GOOD[stage.language])

    assert isinstance(error, WorkerLoadError)
    assert {"python": "requests_of_ours", "javascript": "not_there.js"}[stage.language] in str(error)
    assert {"python": "worker.py", "javascript": "worker.js"}[stage.language] in str(error)


async def test_endless_loop_at_import(stage: Stage) -> None:
    endless = {"python": "while True: pass\n", "javascript": "for (;;) {}\n"}

    error = await stage.error_of(GOOD[stage.language] + endless[stage.language])

    assert isinstance(error, LimitExceededError)
    assert error.limit == "cpu"


async def test_exception_in_the_constructor(stage: Stage) -> None:
    source = {
        "python": HEAD["python"]
        + "class App(DurableObject):\n    def __init__(self, ctx, env):\n        raise ValueError('no')\n",
        "javascript": HEAD["javascript"]
        + "export class App extends DurableObject {\n  constructor(...all) {\n    throw new TypeError('no');\n  }\n}\n",
    }[stage.language]

    error = await stage.error_of(source)

    assert isinstance(error, GuestError)
    assert error.type_name in {"ValueError", "TypeError"}
    assert place(stage.language, 4) in error.guest_traceback


# ── code that fails ──────────────────────────────────────────────────────────────────────────────────────────


async def test_exception_in_a_handler(stage: Stage) -> None:
    body = {"python": "return self.helper()\ndef helper(self): pass", "javascript": "    return this.helper();"}
    source = app_with(stage.language, body[stage.language].splitlines()[0])

    error = await stage.error_of(source)

    assert isinstance(error, GuestError)
    assert error.type_name == {"python": "AttributeError", "javascript": "TypeError"}[stage.language]
    assert "helper" in str(error) or "not a function" in str(error)
    line = next(number for number, text in enumerate(source.splitlines(), 1) if "helper" in text)
    assert place(stage.language, line) in error.guest_traceback
    assert "perdure/" not in error.guest_traceback


async def test_a_mistake_in_sql_says_where(stage: Stage) -> None:
    error = await stage.error_of(
        app_with(
            stage.language,
            "    this.ctx.storage.sql.exec('SELEC 1')".replace(
                "    this", "self" if stage.language == "python" else "    this"
            ),
        )
    )

    assert 'near "SELEC": syntax error at offset 0' in str(error)
    assert isinstance(error, GuestError)
    assert "worker." in error.guest_traceback


async def test_a_method_that_does_not_exist(stage: Stage) -> None:
    error = await stage.error_of(GOOD[stage.language], "missing")

    assert 'does not implement the method "missing"' in str(error)
    assert "`read`" in str(error)


# ── code that takes too much ─────────────────────────────────────────────────────────────────────────────────

ENDLESS_SQL = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT sum(i) FROM n"
ENDLESS = {
    "loop": {"python": "while True: pass", "javascript": "    for (;;) {}"},
    "regular expression": {
        "python": "import re\nre.match('(a+)+b', 'a' * 50)",
        "javascript": "    /(a+)+b/.test('a'.repeat(50));",
    },
    "sql": {
        "python": f"self.ctx.storage.sql.exec('{ENDLESS_SQL}').all()",
        "javascript": f"    this.ctx.storage.sql.exec('{ENDLESS_SQL}').toArray();",
    },
    "host calls": {
        "python": "while True: self.ctx.storage.kv.get('n')",
        "javascript": "    for (;;) this.ctx.storage.kv.get('n');",
    },
    "writes": {
        "python": "while True: self.ctx.storage.kv.put('n', 'lost')",
        "javascript": "    for (;;) this.ctx.storage.kv.put('n', 'lost');",
    },
    "caught": {
        "python": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "javascript": "    for (;;) { try { for (;;) {} } catch {} finally { continue; } }",
    },
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_endless(stage: Stage, kind: str) -> None:
    error = await stage.error_of(app_with(stage.language, ENDLESS[kind][stage.language]))

    assert isinstance(error, LimitExceededError)
    assert error.limit == "cpu"
    assert "CPU" in str(error)


async def test_others_are_served_while_one_burns(stage: Stage) -> None:
    await stage.set_up()
    await stage.victim.set_code(stage.language, app_with(stage.language, ENDLESS["loop"][stage.language]))
    burning = asyncio.ensure_future(stage.victim.app("bad"))

    answers = [await stage.bystander.app("read") for _ in range(5)]

    assert answers == ["acknowledged"] * 5
    assert not burning.done()
    assert isinstance(await failure(burning), LimitExceededError)


async def test_a_hundred_thousand_tiny_host_calls(stage: Stage) -> None:
    """They are no crime: either all are answered, or the CPU limit says so."""
    body = {
        "python": "for i in range(100_000): self.ctx.storage.kv.get('n')\nreturn 'done'",
        "javascript": "    for (let i = 0; i < 100_000; i++) this.ctx.storage.kv.get('n');\n    return 'done';",
    }[stage.language]
    await stage.set_up()
    await stage.victim.set_code(stage.language, app_with(stage.language, body))

    outcome: object = (await asyncio.gather(stage.victim.app("bad"), return_exceptions=True))[0]

    assert outcome == "done" or (isinstance(outcome, LimitExceededError) and outcome.limit in {"cpu", "host_calls"})
    await stage.check()


async def test_memory_bomb(stage: Stage) -> None:
    body = {
        "python": "hoard = []\nwhile True: hoard.append(bytearray(1_000_000))",
        "javascript": "    const hoard = []; for (;;) hoard.push(new Uint8Array(1_000_000).fill(1));",
    }

    error = await stage.error_of(app_with(stage.language, body[stage.language]))

    assert isinstance(error, LimitExceededError | GuestError)
    if isinstance(error, LimitExceededError):
        assert error.limit == "memory"
        assert "64" in str(error)
    else:
        assert error.type_name in {"MemoryError", "RangeError"}


async def test_deep_recursion(stage: Stage) -> None:
    body = {"python": "return self.bad()", "javascript": "    return this.bad();"}

    error = await stage.error_of(app_with(stage.language, body[stage.language]))

    assert isinstance(error, GuestError)
    if isinstance(error, LimitExceededError):
        assert error.limit == "stack"
    else:
        assert error.type_name in {"RecursionError", "RangeError", "InternalError"}
        assert "worker." in error.guest_traceback
        assert len(error.guest_traceback) < 20_000


async def test_huge_output(stage: Stage) -> None:
    body = {"python": "return 'x' * 40_000_000", "javascript": "    return 'x'.repeat(40_000_000);"}

    error = await stage.error_of(app_with(stage.language, body[stage.language]))

    assert isinstance(error, PerdureError)
    assert "limit" in str(error)
    assert not isinstance(error, LimitExceededError) or error.limit in {"output", "memory", "cpu"}


async def test_a_flood_of_log_lines(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    body = {
        "python": "for i in range(3000): print('x' * 20_000 if i == 0 else i)\nreturn 'done'",
        "javascript": "    for (let i = 0; i < 3000; i++) console.log(i ? i : 'x'.repeat(20_000));\n    return 'done';",
    }[stage.language]
    await stage.set_up()
    await stage.victim.set_code(stage.language, app_with(stage.language, body))

    with caplog.at_level(logging.INFO, logger="perdure.guest"):
        result = await stage.victim.app("bad")

    lines = [record.getMessage() for record in caplog.records if record.name == "perdure.guest"]
    assert result == "done"
    assert len(lines) == 1001
    assert "more than 1000 lines in one turn, the rest is dropped" in lines[-1]
    assert len(lines[0]) < 10_000
    await stage.check()


# ── code that is changed, code that reaches out ──────────────────────────────────────────────────────────────


async def test_new_code_while_a_request_runs(stage: Stage) -> None:
    body = {
        "python": "import asyncio\nreturn asyncio.sleep(60)",
        "javascript": "    return new Promise((resolve) => setTimeout(resolve, 60_000));",
    }[stage.language]
    await stage.set_up()
    await stage.victim.set_code(stage.language, app_with(stage.language, body))
    running = asyncio.ensure_future(stage.victim.app("bad"))
    await stage.world.settle()

    await stage.victim.set_code(stage.language, GOOD[stage.language])

    assert str(await failure(running)) == "new code was set"
    await stage.check()


async def test_new_code_while_a_request_computes(stage: Stage) -> None:
    await stage.set_up()
    await stage.victim.set_code(stage.language, app_with(stage.language, ENDLESS["writes"][stage.language]))
    running = asyncio.ensure_future(stage.victim.app("bad"))
    await stage.bystander.app("read")

    await stage.victim.set_code(stage.language, GOOD[stage.language])

    assert await stage.victim.app("read") == "acknowledged"
    assert isinstance(await failure(running), PerdureError)
    await stage.check()


async def test_other_data_is_out_of_reach(stage: Stage) -> None:
    await stage.set_up()
    files = [str(path) for path in stage.world.data.rglob("*") if path.is_file()]
    attempts = {
        "python": "found = []\n"
        f"for path in {files!r} + ['/', '/etc/passwd', '.', '/proc/self/environ']:\n"
        "    try:\n        found.append(open(path).read())\n    except OSError: pass\n"
        "    try:\n        self.ctx.storage.sql.exec(f\"ATTACH '{path}' AS other\")\n        found.append(path)\n"
        "    except Exception: pass\n"
        "found += self.ctx.facets.list()\n"
        "return found",
        "javascript": f"    const found = [];\n    for (const path of {files!r}) {{\n"
        "      try { this.ctx.storage.sql.exec(`ATTACH '${path}' AS other`); found.push(path); } catch {}\n    }\n"
        "    return [...found, ...this.ctx.facets.list()];",
    }[stage.language]
    await stage.victim.set_code(stage.language, app_with(stage.language, attempts))

    assert await stage.victim.app("bad") == []
    await stage.check()


async def test_the_time_of_a_turn_ends_with_it(subject: Subject) -> None:
    await subject.call("put", "n", 1)

    live = list(subject.world.platform._directory._live)  # type: ignore[union-attr]  # it runs

    # What the host asks of a database later must not be interrupted for a turn that is over, perhaps on another thread.
    assert live
    assert [actor.database.deadline for actor in live] == [None] * len(live)
