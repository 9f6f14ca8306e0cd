"""Dynamic workers: `env.LOADER` (spec 5; cases 78 to 85 as far as there are sockets and channels)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.conformance.flavours import code_of, failure
from tests.conformance.loaders import ENTRY, Host

from perdure import Limits, Request, WorkerCode, WorkerEntrypoint
from perdure.errors import ValueNotCloneableError, WorkerCodeError, WorkerLoadError
from perdure.isolates import Isolates
from perdure.testing import World

MODULES = {
    "python": (
        "main.py",
        {
            "main.py": "from perdure import WorkerEntrypoint\nimport lib.a\nfrom lib import b\n"
            "class Default(WorkerEntrypoint):\n"
            "    def words(self):\n"
            "        return [lib.a.WORD, b.WORD, lib.a.greet(), b.greet()]\n",
            "lib/__init__.py": "",
            "lib/a.py": "from lib import b\nWORD = 'a'\ndef greet(): return 'a greets ' + b.WORD\n",
            "lib/b.py": "import lib.a\nWORD = 'b'\ndef greet(): return 'b greets ' + lib.a.WORD\n",
        },
    ),
    "javascript": (
        "main.js",
        {
            "main.js": 'import { WorkerEntrypoint } from "cloudflare:workers";\nimport * as a from "./lib/a.js";\n'
            'import { WORD, greet } from "lib/b.js";\n'
            "export default class extends WorkerEntrypoint { words() { return [a.WORD, WORD, a.greet(), greet()]; } }",
            "lib/a.js": 'import { WORD as other } from "./b.js";\nexport const WORD = "a";\n'
            'export const greet = () => "a greets " + other;',
            "lib/b.js": 'import * as a from "./a.js";\nexport const WORD = "b";\n'
            'export function greet() { return "b greets " + a.WORD; }',
        },
    ),
}


async def test_case_78_entry_points_by_http_and_rpc(host: Any, language: str) -> None:
    Host.code = code_of(language, ENTRY[language], env={"word": "here"})

    text = await host.entry_fetch(None, {"a": 1})

    assert text.startswith("default http://x/y")
    assert text.endswith(" here")
    assert "1" in text
    assert await host.entry(None, "add", [1, 2]) == 3
    assert await host.entry("default", "add", [1, 2]) == 3
    assert await host.entry("Named", "props", [], {"b": [2]}) == {"b": [2]}
    assert await host.entry("Named", "props", []) == {}
    assert await host.entry_fetch("Named", {"c": 3}) in {'{"c":3}', '{"c": 3}'}
    assert Host.asked == 1


async def test_case_79_who_shares_a_sandbox(host: Any, world: World, language: str) -> None:
    Host.code = code_of(language, ENTRY[language])

    shared = [await host.entry("Named", "total", []) for _ in range(2)]
    private = await host.private("total")
    elsewhere = await world.get(Host, "another host").entry("Named", "total", [])

    assert shared == [1, 2]
    assert private == [1, 1, 2, 2]
    assert elsewhere == 1  # An id belongs to the object that uses it.
    assert Host.asked == 4


class Loads(WorkerEntrypoint):
    """Loads a worker under one id for whoever its props say."""

    async def total(self, name: str, language: str) -> list[object]:
        loader = self.env.LOADER if not name else self.env.LOADER.shared(name)
        env = {"word": self.ctx.props["of"]}
        worker = loader.get("one id", lambda: code_of(language, ENTRY[language], env=env))
        return [
            await (await worker.get_entrypoint().fetch("http://x/")).text(),
            await worker.get_entrypoint("Named").total(),
        ]


def test_case_79_no_parent_gets_what_another_has_bound(perdure_isolates: Isolates, language: str) -> None:
    with World(exports=[Loads], isolates=perdure_isolates) as world:
        world.run(world.platform.start())
        exports = world.platform._exports

        def call(of: str, name: str = "") -> Any:
            return world.run(exports.Loads(props={"of": of}).total(name, language))

        assert [call("a")[0][-2:], call("b")[0][-2:]] == [" a", " b"]
        assert [call("a")[1], call("b")[1]] == [2, 2]
        # Unless they ask to share: then the first one has decided.
        assert [call("a", "apps"), call("b", "apps")] == [["default http://x/ {} a", 1], ["default http://x/ {} a", 2]]


async def test_idle_sandboxes_go_and_come_back(host: Any, world: World, language: str) -> None:
    Host.code = code_of(language, ENTRY[language])
    await host.entry("Named", "total", [])

    await world.advance(13)

    assert await host.entry("Named", "total", []) == 1


async def test_two_classes_in_one_worker(host: Any, language: str) -> None:
    Host.code = code_of(language, ENTRY[language])

    assert [await host.facet("a", "App"), await host.facet("b", "Other"), await host.facet("a", "App")] == [
        1,
        "other",
        2,
    ]
    assert await host.facet("c", "App") == 1


async def test_modules_import_each_other(host: Any, language: str) -> None:
    main, modules = MODULES[language]
    Host.code = WorkerCode(main, modules)

    assert await host.entry(None, "words", []) == ["a", "b", "a greets b", "b greets a"]


async def test_text_data_and_json_modules(host: Any, language: str) -> None:
    source = {
        "python": "from perdure import WorkerEntrypoint\nimport a, b, c\n"
        "class Default(WorkerEntrypoint):\n    def read(self):\n        return [a.value, b.value, c.value]\n",
        "javascript": 'import { WorkerEntrypoint } from "cloudflare:workers";\nimport text from "./a.txt";\n'
        'import data from "./b.bin";\nimport json from "./c.json";\nexport default class extends WorkerEntrypoint {'
        " read() { return [text, new Uint8Array(data), json]; } }",
    }[language]
    main = "main.py" if language == "python" else "main.js"
    assets = {"a.txt": {"text": "ünï"}, "b.bin": {"data": b"\x00\xff"}, "c.json": {"json": {"k": [1, None]}}}
    Host.code = WorkerCode(main, {main: source, **assets})

    assert await host.entry(None, "read", []) == ["ünï", b"\x00\xff", {"k": [1, None]}]


async def test_load_and_evaluate(host: Any, language: str) -> None:
    Host.code = code_of(language, ENTRY[language])

    assert await host.once("add", 2, 3) == 5
    assert await host.evaluate("a + 1", {"a": 41}, language) == 42
    lines = {
        "python": "import math\nb = [math.sqrt(x) for x in a]\nsum(b)",
        "javascript": "const b = a.map(Math.sqrt);\nb[0] + b[1]",
    }
    assert await host.evaluate(lines[language], {"a": [4, 9]}, language) == 5


async def test_what_is_evaluated_leaves_nothing_behind(host: Any, language: str) -> None:
    keep = {"python": "import builtins\nbuiltins.kept = 1", "javascript": "globalThis.kept = 1"}[language]
    look = {"python": "import builtins\nhasattr(builtins, 'kept')", "javascript": "'kept' in globalThis"}[language]

    await host.evaluate(keep, {}, language)

    assert await host.evaluate(look, {}, language) is False


async def test_case_80_a_guest_sees_the_env_it_was_given_and_no_other(host: Any, language: str) -> None:
    look = {
        "python": "from perdure import WorkerEntrypoint\nclass Default(WorkerEntrypoint):\n"
        "    def names(self): return sorted(self.env)\n",
        "javascript": 'import { WorkerEntrypoint } from "cloudflare:workers";\n'
        "export default class extends WorkerEntrypoint { names() { return Object.keys(this.env); } }",
    }[language]
    Host.code = code_of(language, look, env={"one": 1})

    assert await host.entry(None, "names", []) == ["one"]


async def test_case_81_no_network(host: Any, language: str) -> None:
    source = {
        "python": "from workers import fetch, WorkerEntrypoint\nclass Default(WorkerEntrypoint):\n"
        "    async def go(self): return await fetch('http://example.com/')\n",
        "javascript": 'import { WorkerEntrypoint } from "cloudflare:workers";\n'
        'export default class extends WorkerEntrypoint { async go() { return await fetch("http://example.com/"); } }',
    }[language]
    Host.code = code_of(language, source)

    error = str(await failure(host.entry(None, "go", [])))

    assert "not permitted to access the internet via global functions" in error
    assert "capabilities (such as bindings in 'env')" in error


async def test_case_82_a_failing_loader_callback_is_passed_on_and_asked_again(host: Any, language: str) -> None:
    def fails() -> None:
        raise LookupError("the code could not be found")

    Host.code = staticmethod(fails)

    errors = await asyncio.gather(failure(host.entry(None, "add", [1, 1])), failure(host.entry(None, "add", [1, 1])))
    assert [str(error) for error in errors] == ["the code could not be found"] * 2
    assert {type(error) for error in errors} == {LookupError}
    Host.code = code_of(language, ENTRY[language])
    assert await host.entry(None, "add", [1, 1]) == 2


async def test_case_82_a_failed_load_is_tried_again(host: Any, language: str) -> None:
    Host.code = code_of(
        language, "raise ValueError('startup')" if language == "python" else "throw new Error('startup');"
    )

    errors = [await failure(host.entry(None, "add", [1, 1])), await failure(host.facet("a", "App"))]

    assert all(isinstance(error, WorkerLoadError) for error in errors)
    assert all("startup" in str(error) and "internal error" not in str(error) for error in errors)
    Host.code = code_of(language, ENTRY[language])
    assert await host.entry(None, "add", [1, 1]) == 2
    assert await host.facet("a", "App") == 1


OTHER = {"python": "javascript", "javascript": "python"}
SUFFIX = {"python": "py", "javascript": "js"}
MALFORMED: dict[str, tuple[Callable[[str, str], tuple[str, dict[str, object]]], str]] = {
    "none": (lambda own, _: (f"a.{own}", {}), "must contain at least one module"),
    "main missing": (lambda own, _: (f"b.{own}", {f"a.{own}": ""}), "Main module name is not present in bundle"),
    "unknown ending": (lambda own, _: (f"a.{own}", {f"a.{own}": "", "b.coffee": ""}), "must end with '.js' or '.py'"),
    "TypeScript and Python": (lambda _own, _other: ("a.tsx", {"a.tsx": "", "b.py": ""}), "a worker has one lang"),
    "no ending": (lambda own, _: (f"a.{own}", {f"a.{own}": "", "b": ""}), "Got: b"),
    "other language": (lambda own, other: (f"a.{own}", {f"a.{own}": "", f"b.{other}": ""}), "a worker has one lang"),
    "two kinds": (lambda own, _: (f"a.{own}", {f"a.{own}": {own: "", "text": ""}}), "contain exactly one of"),
    "unknown kind": (lambda own, _: (f"a.{own}", {f"a.{own}": "", "b": {"ruby": ""}}), "contain exactly one of"),
    "main is text": (lambda _own, _other: ("a.txt", {"a.txt": {"text": ""}}), "must be Python or JavaScript"),
}
"""Names and modules, given the endings of the language and of the other one, and what the refusal says."""


@pytest.mark.parametrize("what", MALFORMED)
async def test_case_83_malformed_code(host: Any, language: str, what: str) -> None:
    make, message = MALFORMED[what]
    Host.code = WorkerCode(*make(SUFFIX[language], SUFFIX[OTHER[language]]))

    used = await failure(host.entry(None, "add", [1, 1]))
    loaded = await failure(host.once("add", 1, 1))

    assert message in str(used)
    assert message in str(loaded)
    assert isinstance(used, WorkerCodeError)
    assert isinstance(loaded, WorkerCodeError)
    Host.code = code_of(language, ENTRY[language])
    assert await host.entry(None, "add", [1, 1]) == 2  # Nothing of the failure was kept.


async def test_typescript_is_loaded_as_it_is(host: Any) -> None:
    main = (
        "import { WorkerEntrypoint, DurableObject } from 'cloudflare:workers'; import { add } from './sums';"
        "interface Env { LIMIT: number }"
        "export default class extends WorkerEntrypoint<Env> { add(a: number, b: number): number { return add(a, b) } }"
        "export class App extends DurableObject<Env> { hello(): number { return add(3, 4) as number } }"
    )
    sums = "export const add = (a: number, b: number): number => a + b;"
    Host.code = WorkerCode("worker.ts", {"worker.ts": main, "sums.ts": sums})

    assert await host.entry(None, "add", [1, 2]) == 3
    assert await host.facet("ts", "App") == 7


async def test_entry_points_and_classes_that_do_not_exist(host: Any, language: str) -> None:
    Host.code = code_of(language, ENTRY[language])

    assert "Worker has no such entrypoint: Missing" in str(await failure(host.entry("Missing", "add", [])))
    assert "refers to a Durable Object class" in str(await failure(host.entry("App", "hello", [])))
    missing = await failure(host.facet("a", "Missing"))
    assert "no such Durable Object class: `Missing`" in str(missing)
    assert "`App`" in str(missing)
    assert "Named" in str(await failure(host.facet("b", "Named")))
    # A failing name does not poison the worker.
    assert await host.entry(None, "add", [1, 1]) == 2


async def test_check_tells_ahead_of_use(host: Any, language: str) -> None:
    Host.code = code_of(language, ENTRY[language])

    await host.check("App", "Other")
    error = await failure(host.check("App", "Nope"))

    assert "no such Durable Object class: `Nope`" in str(error)


async def test_case_85_what_belongs_to_a_worker_cannot_be_handed_on(host: Any, language: str) -> None:
    Host.code = code_of(language, ENTRY[language])

    assert isinstance(await failure(host.smuggle()), ValueNotCloneableError)


def test_the_platforms_own_answers_may_use_the_loader(perdure_isolates: Isolates, language: str) -> None:
    async def fetch(request: Request, env: Any, ctx: Any) -> Any:
        return await env.LOADER.load(code_of(language, ENTRY[language])).get_entrypoint().fetch(request)

    with World(fetch=fetch, isolates=perdure_isolates) as world:
        response = world.run(world.fetch("http://localhost/z"))

        assert world.run(response.text()).startswith("default http://localhost/z")


async def test_limits_are_checked(host: Any, language: str) -> None:
    Host.code = code_of(language, ENTRY[language], limits=Limits(cpu_ms=0))

    assert "limits.cpu_ms is `0`" in str(await failure(host.entry(None, "add", [1, 1])))
