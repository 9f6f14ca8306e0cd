"""Dynamic workers that fail, end themselves, or are large (spec 5.2 to 5.5; cases 84 and 85, E20 to E24)."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from tests.conformance.flavours import code_of, failure
from tests.conformance.loaders import ENTRY, Host

from perdure import WorkerCode
from perdure.api import WorkerStub
from perdure.errors import GuestError, IsolateAbortedError, ValueNotCloneableError, WorkerCodeError, WorkerLoadError
from perdure.limits import CODE_BYTES_MAX, ENV_BYTES_MAX
from perdure.testing import World

ABORTING = {
    "python": """
import asyncio
from workers import DurableObject, WorkerEntrypoint, abort_isolate
total = 0
class Default(WorkerEntrypoint):
    def total(self):
        global total
        total += 1
        return total
    async def wait(self):
        await asyncio.sleep(60)
    def end(self):
        abort_isolate("enough")
class App(DurableObject):
    def hello(self):
        n = self.ctx.storage.kv.get("n", 0) + 1
        self.ctx.storage.kv.put("n", n)
        return n
    def end(self):
        self.ctx.storage.kv.put("n", 100)
        abort_isolate()
""",
    "javascript": """
import { abortIsolate, DurableObject, WorkerEntrypoint } from "cloudflare:workers";
let total = 0;
export default class extends WorkerEntrypoint {
  total() { return ++total; }
  wait() { return new Promise((resolve) => setTimeout(resolve, 60_000)); }
  end() { abortIsolate("enough"); }
}
export class App extends DurableObject {
  hello() {
    const n = (this.ctx.storage.kv.get("n") ?? 0) + 1;
    this.ctx.storage.kv.put("n", n);
    return n;
  }
  end() {
    this.ctx.storage.kv.put("n", 100);
    abortIsolate();
  }
}
""",
}


async def test_case_84_a_named_worker_that_aborts_its_isolate(host: Any, language: str) -> None:
    Host.code = code_of(language, ABORTING[language])
    assert [await host.entry(None, "total", []) for _ in range(2)] == [1, 2]
    waiting = asyncio.ensure_future(failure(host.entry(None, "wait", [])))
    await asyncio.sleep(0.1)

    error = await failure(host.entry(None, "end", []))

    assert isinstance(error, IsolateAbortedError)
    assert "enough" in str(error)
    assert isinstance(await waiting, IsolateAbortedError)  # What was under way in it failed with it.
    assert Host.asked == 1
    assert await host.entry(None, "total", []) == 1
    assert Host.asked == 2


@pytest.mark.parametrize("how", ["get", "load"])
async def test_case_84_an_anonymous_worker_is_loaded_anew(host: Any, language: str, how: str) -> None:
    code = code_of(language, ABORTING[language])

    async def script(self: Host) -> object:
        worker = self.env.LOADER.get(None, lambda: code) if how == "get" else self.env.LOADER.load(code)
        entry = worker.get_entrypoint()
        before = [await entry.total(), await entry.total()]
        error = await failure(entry.end())
        return [*before, type(error).__name__, await entry.total()]

    Host.script = script

    assert await host.perform() == [1, 2, "IsolateAbortedError", 1]


async def test_case_84_a_facet_that_aborts_its_isolate_keeps_its_data(host: Any, language: str) -> None:
    Host.code = code_of(language, ABORTING[language])
    assert await host.facet("a", "App") == 1

    error = await failure(host.facet("a", "App", "end"))

    assert isinstance(error, IsolateAbortedError)
    assert await host.facet("a", "App") == 2  # What that turn wrote is gone.
    assert Host.asked == 2


# ── sizes and copies ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("excess", [0, 1])
async def test_case_e20_how_large_code_may_be(host: Any, language: str, excess: int) -> None:
    main = code_of(language, ENTRY[language])
    size = sum(len(str(source)) for source in main.modules.values())
    modules = {**main.modules, "large.txt": {"text": "x" * (CODE_BYTES_MAX - size + excess)}}
    Host.code = WorkerCode(main.main_module, modules)

    if excess == 0:
        assert await host.entry(None, "add", [1, 1]) == 2
        return
    for error in (await failure(host.entry(None, "add", [1, 1])), await failure(host.once("add", 1, 1))):
        assert isinstance(error, WorkerCodeError)
        assert "Dynamic Worker code size" in str(error)
        assert "exceeds the maximum allowed size" in str(error)


@pytest.mark.parametrize("excess", [0, 1])
async def test_case_e20_how_large_env_may_be(host: Any, language: str, excess: int) -> None:
    env = {"word": "x" * (ENV_BYTES_MAX - len('{"word":""}') + excess)}
    Host.code = code_of(language, ENTRY[language], env=env)

    if excess == 0:
        assert (await host.entry_fetch(None)).endswith(env["word"])
        return
    for error in (await failure(host.entry(None, "add", [1, 1])), await failure(host.once("add", 1, 1))):
        assert isinstance(error, WorkerCodeError)
        assert "Dynamic Worker env size" in str(error)
        assert "exceeds the maximum" in str(error)


READ = {
    "python": "from workers import WorkerEntrypoint\nimport data\nclass Default(WorkerEntrypoint):\n"
    "    def read(self): return data.value\n",
    "javascript": 'import { WorkerEntrypoint } from "cloudflare:workers";\nimport value from "./data.bin";\n'
    "export default class extends WorkerEntrypoint { read() { return new Uint8Array(value); } }",
}


async def test_case_e21_bytes_are_copied_when_they_are_given(host: Any, language: str) -> None:
    source = code_of(language, READ[language])

    async def script(self: Host) -> object:
        data = bytearray(b"as they were")
        worker = self.env.LOADER.load(WorkerCode(source.main_module, {**source.modules, "data.bin": {"data": data}}))
        data[:] = b"changed, and longer than before"
        return await worker.get_entrypoint().read()

    Host.script = script

    assert await host.perform() == b"as they were"


# ── callbacks and stubs ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ends", ["well", "badly"])
async def test_case_e22_a_callback_that_another_request_settles(
    host: Any, world: World, language: str, ends: str
) -> None:
    code = code_of(language, ENTRY[language])
    settled: list[asyncio.Future[WorkerCode]] = []

    def load() -> asyncio.Future[WorkerCode]:
        settled.append(asyncio.get_running_loop().create_future())
        return settled[-1]

    async def settle(self: Host) -> None:
        if ends == "well":
            settled[0].set_result(code)
        else:
            settled[0].set_exception(LookupError("it was deleted"))

    Host.code = staticmethod(load)
    first = asyncio.ensure_future(host.entry(None, "add", [1, 1]))
    await asyncio.sleep(0.1)
    Host.script = settle
    await world.get(Host, "another").perform()

    if ends == "well":
        assert await first == 2
    else:
        assert isinstance(await failure(first), LookupError)
    Host.code = code
    assert await host.entry(None, "add", [2, 2]) == 4  # The host is alive.


async def test_case_e22_a_callback_that_never_returns_is_given_up(host: Any, language: str) -> None:
    Host.code = staticmethod(lambda: asyncio.get_running_loop().create_future())

    error = await failure(host.entry(None, "add", [1, 1]))

    assert isinstance(error, WorkerCodeError)
    assert "has not returned the code of the worker in 30 s" in str(error)
    Host.code = code_of(language, ENTRY[language])
    assert await host.entry(None, "add", [1, 1]) == 2


@pytest.mark.parametrize("how", ["get", "load"])
async def test_case_e24_a_stub_that_is_collected_while_its_worker_loads(host: Any, language: str, how: str) -> None:
    code = code_of(language, ENTRY[language])

    async def load() -> WorkerCode:
        gc.collect()
        await asyncio.sleep(1)
        gc.collect()
        return code

    def begin(self: Host) -> asyncio.Future[object]:
        loader = self.env.LOADER
        worker: WorkerStub = loader.get(None, load) if how == "get" else loader.load(code)
        return asyncio.ensure_future(worker.get_entrypoint().add(1, 2))

    async def script(self: Host) -> object:
        under_way = begin(self)
        gc.collect()
        return await under_way

    Host.script = script

    assert await host.perform() == 3


# ── when errors surface ──────────────────────────────────────────────────────────────────────────────────────

WRONG = {
    "syntax": ("def :", "function {", "Failed to start Worker"),
    "import": ("import nothing_of_this_name", 'import "./nothing.js";', "Failed to start Worker"),
    "throws": ("raise ValueError('intentional startup error')", "throw new Error('intentional startup error');",
               "intentional startup error"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
async def test_code_that_does_not_start_fails_its_requests(host: Any, language: str, what: str) -> None:
    python, javascript, message = WRONG[what]
    Host.code = code_of(language, python if language == "python" else javascript)

    errors = [
        await failure(host.entry(None, "add", [1, 1])),
        await failure(host.entry_fetch(None)),
        await failure(host.once("add", 1, 1)),
        await failure(host.facet("a", "App")),
    ]

    assert {type(error) for error in errors} == {WorkerLoadError}
    assert all(message in str(error) and "internal error" not in str(error) for error in errors)


async def test_wrong_arguments_fail_at_once(host: Any) -> None:
    async def script(self: Host) -> object:
        loader = self.env.LOADER
        wrong = [
            lambda: loader.get("w", None),
            lambda: loader.get(7, self.load),
            lambda: loader.load("text"),
            lambda: loader.load({"main_module": "a.py"}),
            lambda: loader.load({"main_module": "a.py", "modules": {}}),
            lambda: loader.load({"main_module": "a.py", "modules": {"a.py": ""}, "mane_module": 1}),
            lambda: loader.load(WorkerCode.python("", env={"x": object()})),
        ]
        return [type(await failure(_called(act))).__name__ for act in wrong]

    Host.script = script

    assert await host.perform() == [*["WorkerCodeError"] * 6, "ValueNotCloneableError"]


async def _called(act: Any) -> Any:
    return act()


BARE = {
    "python": "from workers import WorkerEntrypoint\nclass Default(WorkerEntrypoint):\n    def other(self): return 1\n",
    "javascript": "export default { other(argument) { return argument; } };",
}
NO_DEFAULT = {
    "python": "from workers import WorkerEntrypoint\nclass Other(WorkerEntrypoint):\n    def one(self): return 1\n",
    "javascript": 'import { WorkerEntrypoint } from "cloudflare:workers";\n'
    "export class Other extends WorkerEntrypoint { one() { return 1; } }",
}


async def test_a_handler_that_lacks_the_event(host: Any, language: str) -> None:
    Host.code = code_of(language, BARE[language])

    error = await failure(host.entry_fetch(None))

    assert isinstance(error, GuestError)
    assert "Handler does not export a fetch() function" in str(error)


async def test_a_missing_default_does_not_poison_the_worker(host: Any, language: str) -> None:
    Host.code = code_of(language, NO_DEFAULT[language])

    error = await failure(host.entry(None, "one", []))

    assert isinstance(error, WorkerCodeError)
    assert "Worker has no default entrypoint" in str(error)
    assert await host.entry("Other", "one", []) == 1


# ── what cannot be handed on ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("where", ["argument", "env", "props", "stored", "result"])
@pytest.mark.parametrize("what", ["entry point", "class", "worker", "loader"])
async def test_case_85_where_nothing_of_a_dynamic_worker_may_go(
    host: Any, language: str, what: str, where: str
) -> None:
    code = code_of(language, ENTRY[language])

    async def script(self: Host) -> object:
        worker = self.env.LOADER.get("w", lambda: code)
        value = {
            "entry point": worker.get_entrypoint(),
            "class": worker.get_durable_object_class("App"),
            "worker": worker,
            "loader": self.env.LOADER,
        }[what]
        match where:
            case "argument":
                await worker.get_entrypoint().add(value, 1)
            case "env":
                await self.env.LOADER.load(WorkerCode.python("", env={"x": [value]})).check()
            case "props":
                await worker.get_entrypoint(props={"x": value}).add(1, 1)
            case "stored":
                self.ctx.storage.kv.put("x", value)
            case _:
                return value
        raise AssertionError("it went through")

    Host.script = script
    error = await failure(host.perform())

    assert isinstance(error, ValueNotCloneableError)
    if what in {"entry point", "class"}:
        assert "Entrypoints to dynamically-loaded workers cannot be transferred" in str(error)
    else:
        assert "does not support serialization" in str(error)
