"""The Python guest through the guest protocol, in a real sandbox with a fake host."""

from __future__ import annotations

import pytest
from tests.unit.isolates.conftest import Python
from tests.unit.isolates.fake_host import MEMORY_BYTES, drive, error_of, only

from perdure.isolates import Isolate, Isolates
from perdure.wire import NETWORK_DENIED, HostOp

COUNTER = """
from workers import DurableObject, Response

class App(DurableObject):
    async def fetch(self, request):
        count = (self.ctx.storage.kv.get("count") or 0) + 1
        self.ctx.storage.kv.put("count", count)
        return Response(f"{count}")

    def add(self, first, second=1):
        return first + second
"""


def test_object_keeps_a_count_in_its_storage(python: Python) -> None:
    guest = python(COUNTER)
    guest.start()

    bodies = [only(guest.fetch())["b"] for _ in range(3)]

    assert bodies == ["1", "2", "3"]
    assert guest.host.values == {"count": "3"}


def test_export_kinds(isolate: Isolate) -> None:
    guest = drive(
        isolate,
        {
            "worker.py": (
                "from perdure import DurableObject, WorkerEntrypoint\n"
                "class App(DurableObject): pass\n"
                "class Default(WorkerEntrypoint): pass\n"
                "class Plain: pass\n"
                "class _Hidden: pass\n"
                "def helper(): pass\n"
                "LIMIT = 3\n"
            )
        },
    )

    loaded = guest.load()

    assert loaded["ok"]["exports"] == {"App": "object", "default": "entrypoint", "Plain": "class", "helper": "function"}


def test_module_level_fetch_is_the_default(python: Python) -> None:
    guest = python(
        "from workers import Response\nasync def on_fetch(request, env): return Response(env.GREETING + request.path)"
    )

    answer = only(guest.fetch("http://host/x", x="default", p={}, env={"GREETING": "hello "}))

    assert answer["b"] == "hello /x"


def test_entrypoint_gets_props_and_a_fresh_instance_for_each_event(python: Python) -> None:
    guest = python(
        "from workers import WorkerEntrypoint\n"
        "class Default(WorkerEntrypoint):\n"
        "    calls = 0\n"
        "    def who(self):\n"
        "        self.calls += 1\n"
        "        return [self.ctx.props['user'], self.calls]"
    )

    results = [only(guest.call("who", x="default", p={"user": "ada"}, env={})) for _ in range(2)]

    assert results == [[["ada", 1]], [["ada", 1]]]


def test_method_call_takes_and_returns_expressions(python: Python) -> None:
    guest = python(COUNTER)
    guest.start()

    assert only(guest.call("add", [[1, 2]], [[3]])) == [[1, 2, 3]]


def test_context_knows_id_props_and_env(python: Python) -> None:
    guest = python(
        "from workers import DurableObject\n"
        "class App(DurableObject):\n"
        "    def show(self): return [str(self.ctx.id), self.ctx.id.name, self.ctx.props, self.env.KEY]"
    )
    guest.start(props={"a": 1}, env={"KEY": "value"})

    assert only(guest.call("show")) == [["ab" * 32, "one", {"a": 1}, "value"]]


# ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_start_is_one_critical_section(python: Python) -> None:
    guest = python(
        "import asyncio\nfrom workers import DurableObject\n"
        "class App(DurableObject):\n"
        "    async def on_start(self):\n"
        "        await asyncio.sleep(1)\n"
        "        print('ready')"
    )

    started = guest.start()
    guest.host.now_ms += 1000
    resumed = guest.resume()

    assert started == {"s": [["begin", 1]], "t": 1000.0}
    assert resumed == {"s": [["end", 1]]}
    assert guest.host.log == [("log", "ready")]


def test_constructor_that_raises_fails_the_start(python: Python) -> None:
    guest = python(
        "from workers import DurableObject\nclass App(DurableObject):\n"
        "    def __init__(self, ctx, env):\n        raise ValueError('no')"
    )

    started = guest.start()

    [begin, [what, section, error]] = started["s"]
    assert (begin, what, section) == (["begin", 1], "fail", 1)
    assert error["type"] == "ValueError"


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_timers_fire_by_the_hosts_time(python: Python) -> None:
    guest = python(
        "import asyncio\nfrom workers import DurableObject\n"
        "class App(DurableObject):\n"
        "    async def wait(self):\n"
        "        await asyncio.sleep(60)\n"
        "        return 'done'"
    )
    guest.start()

    waiting = guest.call("wait")
    guest.host.now_ms += 59_999
    early = guest.resume()
    guest.host.now_ms += 1
    due = guest.resume()

    assert waiting == {"t": 60_000.0, "p": 1}
    assert early == {"t": 1.0, "p": 1}
    assert due == {"d": [[1, 1, "done"]]}


def test_clocks_show_the_hosts_time(python: Python) -> None:
    guest = python()

    assert guest.evaluate("import time\ntime.time()") == 1_700_000_000
    shown = guest.evaluate("import datetime, zoneinfo\nstr(datetime.datetime.now(zoneinfo.ZoneInfo('Europe/Berlin')))")
    assert shown == "2023-11-14 23:13:20+01:00"


def test_sleeping_says_what_to_use(python: Python) -> None:
    with pytest.raises(RuntimeError, match=r"await asyncio\.sleep"):
        python().evaluate("import time\ntime.sleep(1)")


def test_gather_timeout_and_task_group_work(python: Python) -> None:
    guest = python()

    started = guest.event(
        "eval",
        s=(
            "import asyncio\n"
            "async def slow(): await asyncio.sleep(10)\n"
            "async def quick(value): await asyncio.sleep(0); return value\n"
            "async with asyncio.TaskGroup() as group:\n"
            "    task = group.create_task(quick(3))\n"
            "values = await asyncio.gather(quick(1), quick(2), asyncio.to_thread(sum, [4, 5]))\n"
            "try:\n"
            "    async with asyncio.timeout(1): await slow()\n"
            "except TimeoutError: values.append('timeout')\n"
            "[*values, task.result()]"
        ),
        a={},
    )
    guest.host.now_ms += 1000

    assert started["t"] == 1000.0
    assert only(guest.resume()) == [[1, 2, 9, "timeout", 3]]


# ── what leaves the object ───────────────────────────────────────────────────────────────────────────────────

PARENT = """
from workers import DurableObject
class Inner(DurableObject): pass
class App(DurableObject):
    async def ask(self, text):
        stub = self.ctx.facets.get("child", lambda: {"class": self.ctx.exports.Inner, "id": "x"})
        return await stub.echo(text)
    async def proxy(self, url):
        response = await self.ctx.facets.get("child", lambda: Inner).fetch(url)
        return [response.status, await response.text()]
    def forget(self):
        self.ctx.facets.delete("child")
    async def background(self):
        async def work():
            await self.ctx.facets.get("child", None or (lambda: Inner)).tick()
            raise ValueError("lost")
        self.ctx.wait_until(work())
        return "answered"
"""


def test_facet_call_is_an_operation_of_the_report(python: Python) -> None:
    guest = python(PARENT)
    guest.start()

    asked = guest.call("ask", "hello")
    answered = guest.resume([1, 1, "hello back"])

    assert asked == {"o": [[1, "facet.call", {"f": "child", "cb": 1, "n": 1, "m": "echo", "a": ["hello"]}]], "p": 1}
    assert only(answered) == "hello back"


def test_facet_callback_names_an_export(python: Python) -> None:
    guest = python(PARENT)
    guest.start()
    guest.call("ask", "hello")
    assert only(guest.event("facet", cb=1)) == {"export": "Inner", "id": "x", "props": {}}

    guest.call("proxy", "http://child/")

    assert only(guest.event("facet", cb=1)) == {"export": "Inner", "id": None, "props": {}}


def test_facet_fetch_brings_a_response(python: Python) -> None:
    guest = python(PARENT)
    guest.start()

    asked = guest.call("proxy", "http://child/a")
    answered = guest.resume([1, 1, {"s": 201, "h": [], "b": "made"}])

    assert asked["o"][0][2]["r"] == {"m": "GET", "u": "http://child/a", "h": []}
    assert only(answered) == [[201, "made"]]


def test_failed_operation_is_raised_as_its_own_type(python: Python) -> None:
    guest = python(PARENT)
    guest.start()
    guest.call("ask", "hello")

    error = error_of(guest.resume([1, 0, {"type": "KeyError", "message": "gone", "remote": True}]))

    assert error["type"] == "KeyError"
    assert error["traceback"].splitlines()[1] == '  File "worker.py", line 7, in ask'


def test_delete_is_an_operation_nobody_waits_for(python: Python) -> None:
    guest = python(PARENT)
    guest.start()

    report = guest.call("forget")

    assert report == {"d": [[1, 1, None]], "o": [[1, "facet.delete", {"f": "child"}]]}


def test_background_work_is_pending_and_its_failure_logged(python: Python) -> None:
    guest = python(PARENT)
    guest.start()

    answered = guest.call("background")
    finished = guest.resume([1, 1, None])

    assert answered["d"] == [[1, 1, "answered"]]
    assert answered["p"] == 1
    assert finished == {"x": [1]}  # The stub it used is gone: so may what the host keeps for it.
    assert guest.host.log[-1] == ("error", "ValueError: lost")


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_traceback_shows_the_workers_own_lines(python: Python) -> None:
    guest = python(
        {
            "worker.py": (
                "from workers import DurableObject\nfrom lib.maths import half\n"
                "class App(DurableObject):\n    def run(self):\n        return sorted([2, 0], key=half)\n"
            ),
            "lib/maths.py": "def half(value):\n    return 1 / value\n",
        }
    )
    guest.start()

    error = error_of(guest.call("run"))

    assert (error["type"], error["message"]) == ("ZeroDivisionError", "division by zero")
    assert error["traceback"] == (
        "Traceback (most recent call last):\n"
        '  File "worker.py", line 5, in run\n'
        "    return sorted([2, 0], key=half)\n"
        '  File "lib/maths.py", line 2, in half\n'
        "    return 1 / value\n"
        "           ~~^~~~~~~\n"
        "ZeroDivisionError: division by zero"
    )


def test_syntax_error_shows_line_and_caret(isolate: Isolate) -> None:
    guest = drive(isolate, {"worker.py": "class App:\n    def fetch(self:\n        pass\n"})

    error = guest.load()["error"]

    assert error["type"] == "SyntaxError"
    assert error["traceback"] == (
        "  File \"worker.py\", line 2\n    def fetch(self:\n             ^\nSyntaxError: '(' was never closed"
    )


def test_missing_import_says_what_exists(isolate: Isolate) -> None:
    guest = drive(isolate, {"worker.py": "import numpy\n", "helpers.py": ""})

    error = guest.load()["error"]

    assert error["type"] == "ModuleNotFoundError"
    assert error["message"].startswith("No module named 'numpy': only the standard library")
    assert "`helpers.py`, `worker.py`" in error["message"]


def test_host_error_is_raised_as_its_own_type(python: Python) -> None:
    guest = python(
        "from workers import DurableObject\n"
        "class App(DurableObject):\n"
        "    def run(self):\n"
        "        try: self.ctx.storage.sql.exec('SELEC')\n"
        "        except Exception as error: return [type(error).__name__, str(error)]"
    )
    guest.host.answers[HostOp.SQL_EXEC] = lambda key, payload: '!{"type": "SqlError", "message": "near SELEC"}'
    guest.start()

    assert only(guest.call("run")) == [["SqlError", "near SELEC"]]


def test_fetch_must_return_a_response(python: Python) -> None:
    guest = python(
        "from workers import DurableObject\nclass App(DurableObject):\n    def fetch(self, request): return {}"
    )
    guest.start()

    assert "Response.json" in error_of(guest.fetch())["message"]


def test_exit_is_an_error_like_any_other(python: Python) -> None:
    guest = python(
        "import asyncio, sys\nfrom workers import DurableObject\nclass App(DurableObject):\n"
        "    def now(self): sys.exit(3)\n"
        "    async def later(self):\n        await asyncio.sleep(0)\n        sys.exit(4)"
    )
    guest.start()

    assert error_of(guest.call("now"))["type"] == "SystemExit"
    assert error_of(guest.call("later"))["type"] == "SystemExit"
    assert error_of(guest.call("now"))["type"] == "SystemExit"


# ── modules ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_modules_packages_and_data(python: Python) -> None:
    guest = python(
        {
            "src/worker.py": (
                "import config, logo, prompt\nimport package.inner as inner\nfrom package import name\n"
                "import queue, top\nimport space.deep as deep\n"
            ),
            "src/package/__init__.py": "name = 'package'\n",
            "src/package/inner.py": "from . import name\nfrom .sibling import value\nboth = name + value\n",
            "src/package/sibling.py": "value = '!'\n",
            "src/space/deep.py": "depth = 2\n",
            "src/queue.py": "mine = True\n",
            "src/config.json": '{"a": [1]}',
            "src/logo.png": ("data", "AAEC"),
            "src/prompt.md": ("text", "Be kind"),
            "top.py": "from queue import mine\n",
        },
        main="src/worker.py",
    )

    seen = guest.evaluate(
        "import sys\nw = sys.modules['worker']\n"
        "contents = [w.config.value, list(w.logo.value), w.prompt.value]\n"
        "[w.inner.both, w.name, *contents, w.queue.mine, w.top.mine, w.deep.depth]"
    )

    assert seen == [["package!", "package", {"a": [[1]]}, [[0, 1, 2]], "Be kind", True, True, 2]]


def test_module_may_be_asked_without_a_list(isolate: Isolate) -> None:
    guest = drive(isolate, {"worker.py": "from helpers import x\n", "helpers.py": "x = 1\n"})
    guest.host.answers[HostOp.MODULE] = lambda key, payload: guest.host._module(key) if key else ""

    assert "ok" in guest.load()


def test_standard_library_is_there(python: Python) -> None:
    names = "sqlite3, decimal, dataclasses, statistics, csv, tomllib, html, uuid, unicodedata, encodings.idna, graphlib"

    assert python().evaluate(f"import {names}\n'all'") == "all"


def test_workers_and_perdure_are_one(python: Python) -> None:
    same = python().evaluate(
        "import perdure, workers\n"
        "names = ('DurableObject', 'Response', 'Request', 'WorkerEntrypoint')\n"
        "[getattr(perdure, name) is getattr(workers, name) for name in names]"
    )

    assert same == [[True] * 4]


def test_host_half_of_the_door_does_not_exist_inside(python: Python) -> None:
    with pytest.raises(RuntimeError, match="`Platform` belongs to the host"):
        python().evaluate("from perdure import Platform")


# ── logs, chance, network ────────────────────────────────────────────────────────────────────────────────────


def test_lines_are_logged_at_once_and_the_rest_at_the_end(python: Python) -> None:
    guest = python()

    guest.evaluate("import sys\nprint('one')\nprint('two', end='')\nsys.stderr.write('three\\nfour')\nNone")

    assert guest.host.log == [("log", "one"), ("error", "three"), ("log", "two"), ("error", "four")]


def test_chance_differs_between_isolates(python: Python) -> None:
    source = "import random, uuid, os\n[random.random(), str(uuid.uuid4()), os.urandom(4).hex()]"

    drawn = [python().evaluate(source)[0] for _ in range(2)]

    assert all(first != second for first, second in zip(*drawn, strict=True))


@pytest.mark.parametrize(
    "source",
    [
        "import socket\nsocket.create_connection(('example.com', 80))",
        "import urllib.request\nurllib.request.urlopen('http://example.com')",
    ],
)
def test_network_is_denied_in_words(python: Python, source: str) -> None:
    with pytest.raises(RuntimeError, match=NETWORK_DENIED[:40]):
        python().evaluate(source)


def test_isolates_know_nothing_of_each_other(isolates: Isolates, python: Python) -> None:
    first, second = python(), python()

    first.evaluate("import json\njson.secret = 1")

    assert second.evaluate("import json\nhasattr(json, 'secret')") is False
    assert isolates.create("python", memory_bytes=MEMORY_BYTES).is_alive
