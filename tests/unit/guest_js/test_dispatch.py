"""The JavaScript guest through the guest protocol: LOAD, START, EVENT and RESUME."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import MEMORY_BYTES, drive, error_of, only

from perdure.errors import ObjectResetError
from perdure.isolates import Isolates
from perdure.wire import NETWORK_DENIED, HostOp

# The founding example, word for word.
AGENT_CODE = """
  import { DurableObject } from "cloudflare:workers";

  // Simple app that remembers how many times it has been invoked
  // and returns it.
  export class App extends DurableObject {
    fetch(request) {
      // We use storage.kv here for simplicity, but storage.sql is
      // also available. Both are backed by SQLite.
      let counter = this.ctx.storage.kv.get("counter") || 0;
      ++counter;
      this.ctx.storage.kv.put("counter", counter);

      return new Response("You've made " + counter + " requests.\\n");
    }
  }
"""
OBJECT = """
import { DurableObject } from "cloudflare:workers";
export class App extends DurableObject {
  #secret = 1;
  field = () => "not over RPC";
  add(first, second = 1) { return first + second; }
  async later(value) { await new Promise((resolve) => setTimeout(resolve, 50)); return value; }
  setCode(text) { return `set ${text}`; }
  get bound() { return () => "from a getter"; }
  notAMethod() { throw new RangeError("too far"); }
  describe() { return { id: String(this.ctx.id), name: this.ctx.id.name, props: this.ctx.props, env: this.env }; }
  alarm() {}
}
"""


def started(javascript: JavaScript, source: str = OBJECT, **message: Any) -> Any:
    guest = javascript(source)
    assert guest.start(**message) in ({}, {"h": ["alarm"]})
    return guest


def test_the_founding_example_runs_word_for_word(javascript: JavaScript) -> None:
    guest = started(javascript, AGENT_CODE)

    answers = [only(guest.fetch()) for _ in range(2)]

    assert [answer["b"] for answer in answers] == ["You've made 1 requests.\n", "You've made 2 requests.\n"]
    assert answers[0] == {
        "s": 200,
        "h": [["content-type", "text/plain;charset=UTF-8"]],
        "b": "You've made 1 requests.\n",
    }
    assert guest.host.values == {"counter": "2"}


def test_export_kinds(isolates: Isolates) -> None:
    isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)
    source = (
        'import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";'
        "export class App extends DurableObject {} export class Api extends WorkerEntrypoint {}"
        "export class Plain {} export function helper() {} export const LIMIT = 3; export default { fetch() {} };"
    )

    loaded = drive(isolate, {"worker.js": source}).load("worker.js")
    isolate.close()

    kinds = {"App": "object", "Api": "entrypoint", "Plain": "class", "helper": "function", "default": "handler"}
    assert loaded == {"ok": {"exports": kinds}}


def test_top_level_await_of_what_never_comes_fails_the_load(isolates: Isolates) -> None:
    isolate = isolates.create("javascript", memory_bytes=MEMORY_BYTES)

    loaded = drive(isolate, {"worker.js": "await new Promise(() => {})"}).load("worker.js")
    isolate.close()

    assert "await it in a handler" in loaded["error"]["message"]


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_object_knows_its_id_props_and_env(javascript: JavaScript) -> None:
    guest = started(javascript, props={"a": [[1]]}, env={"KEY": ["bigint", "7"]})

    described = only(guest.call("describe"))

    assert described == {"id": "ab" * 32, "name": "one", "props": {"a": [[1]]}, "env": {"KEY": ["bigint", "7"]}}


def test_failing_constructor_fails_its_section(javascript: JavaScript) -> None:
    guest = javascript("export class App { constructor() { throw new TypeError('no') } }")

    report = guest.start()

    [begin, [kind, section, shape]] = report["s"]
    assert begin == ["begin", section]
    assert (kind, shape["type"], shape["message"]) == ("fail", "TypeError", "no")
    assert "worker.js:1" in shape["traceback"]


def test_block_concurrency_while_is_a_section(javascript: JavaScript) -> None:
    guest = javascript(
        'import { DurableObject } from "cloudflare:workers";\n'
        "export class App extends DurableObject { constructor(ctx, env) { super(ctx, env);\n"
        "  ctx.blockConcurrencyWhile(async () => {\n"
        "    await new Promise((done) => setTimeout(done, 5)); this.isReady = true; }); }\n"
        "  ready() { return this.isReady; } }"
    )

    first, second = guest.start(), guest.resume()
    guest.host.now_ms += 5
    third = guest.resume()

    assert first == {"s": [["want", 1]], "n": 1}
    assert second == {"s": [["begin", 1]], "t": 5}
    assert third == {"s": [["end", 1]]}
    assert only(guest.call("ready")) is True


def test_failing_section_says_why(javascript: JavaScript) -> None:
    guest = javascript(
        'import { DurableObject } from "cloudflare:workers";\n'
        "export class App extends DurableObject { constructor(ctx, env) { super(ctx, env);\n"
        "  ctx.blockConcurrencyWhile(async () => { throw new Error('no') }); } }"
    )

    guest.start()
    report = guest.resume()

    assert [change[0] for change in report["s"]] == ["begin", "fail"]
    assert report["s"][1][2]["message"] == "no"


def test_class_without_base_answers_fetch_only(javascript: JavaScript) -> None:
    guest = started(javascript, "export class App { fetch() { return new Response('x') } add() {} }")

    assert only(guest.fetch())["b"] == "x"
    assert "extends DurableObject" in error_of(guest.call("add"))["message"]


# ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "arguments", "result"),
    [("add", [1, 2], 3), ("add", [["bigint", "1"], ["bigint", "2"]], ["bigint", "3"]), ("set_code", ["x"], "set x"),
     ("setCode", ["x"], "set x"), ("bound", [], "from a getter")],
)  # fmt: skip
def test_methods_are_called(javascript: JavaScript, method: str, arguments: list[object], result: object) -> None:
    assert only(started(javascript).call(method, *arguments)) == result


@pytest.mark.parametrize(
    "name", ["field", "missing", "hasOwnProperty", "toString", "ctx", "env", "__proto__", "#secret"]
)
def test_only_methods_of_the_class_are_callable(javascript: JavaScript, name: str) -> None:
    shape = error_of(started(javascript).call(name))

    assert shape["type"] == "TypeError"
    assert f'The RPC receiver does not implement the method "{name}"' in shape["message"]
    assert "`add`, `describe`" in shape["message"]


@pytest.mark.parametrize("name", ["fetch", "alarm", "constructor", "webSocketMessage", "web_socket_message", "dup"])
def test_reserved_names_are_not_callable(javascript: JavaScript, name: str) -> None:
    assert "is a reserved method" in error_of(started(javascript).call(name))["message"]


def test_undefined_result(javascript: JavaScript) -> None:
    source = (
        'import { DurableObject } from "cloudflare:workers"; export class App extends DurableObject { nothing() {} }'
    )

    assert only(started(javascript, source).call("nothing")) == ["undefined"]


def test_slow_call_is_done_when_its_timer_is_due(javascript: JavaScript) -> None:
    guest = started(javascript)

    waiting = guest.call("later", "kept")
    too_early = guest.resume()
    guest.host.now_ms += 50
    done = guest.resume()

    assert waiting == {"t": 50, "p": 1}
    assert too_early == {"t": 50, "p": 1}
    assert done == {"d": [[1, 1, "kept"]]}


def test_error_of_a_call_has_the_workers_lines(javascript: JavaScript) -> None:
    shape = error_of(started(javascript).call("notAMethod"))

    assert (shape["type"], shape["message"]) == ("RangeError", "too far")
    assert shape["traceback"] == "RangeError: too far\n    at notAMethod (worker.js:10:28)"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("throw null", "Error: null"),
        ("throw 'text'", "Error: text"),
        ("throw { a: 1 }", "Error: { a: 1 }"),
        ("throw new Proxy(new Error('p'), { getPrototypeOf() { throw 1 } })", "Error: "),
        ("const own = new Error('x'); own.cause = own; throw own", "Caused by Error: x"),
        ("throw Object.defineProperty(new Error(), 'message', { get() { throw 1 } })", "its text could not be made"),
    ],
)
def test_whatever_is_thrown_is_told(javascript: JavaScript, source: str, text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        javascript().evaluate(source)


# ── stateless entry points ───────────────────────────────────────────────────────────────────────────────────


def test_handler_gets_request_env_and_ctx(javascript: JavaScript) -> None:
    guest = javascript(
        "export default { async fetch(request, env, ctx) {"
        " return Response.json([request.method, env.KEY, ctx.props, await request.text()]) } }"
    )

    answer = only(guest.fetch(method="POST", body="hello", x="default", p={"a": 1}, env={"KEY": "k"}))

    assert answer["b"] == '["POST","k",{"a":1},"hello"]'


def test_entrypoint_is_fresh_for_each_event(javascript: JavaScript) -> None:
    guest = javascript(
        'import { WorkerEntrypoint } from "cloudflare:workers"; let made = 0;'
        "export class Api extends WorkerEntrypoint { seen = 0; constructor(ctx, env) { super(ctx, env); made++ }"
        " count() { return [made, ++this.seen, this.ctx.props.a, this.env.KEY] } }"
    )

    answers = [only(guest.call("count", x="Api", p={"a": n}, env={"KEY": "k"})) for n in (1, 2)]

    assert answers == [[[1, 1, 1, "k"]], [[2, 1, 2, "k"]]]


def test_handler_methods_take_one_argument(javascript: JavaScript) -> None:
    guest = javascript("export default { fetch() {}, double(value, env) { return [value * 2, env.KEY] } }")

    assert only(guest.call("double", 4, x="default", env={"KEY": "k"})) == [[8, "k"]]
    assert "exactly one argument" in error_of(guest.call("double", 4, 5, x="default"))["message"]
    assert "does not implement" in error_of(guest.call("toString", 4, x="default"))["message"]


def test_missing_export_names_what_there_is(javascript: JavaScript) -> None:
    guest = javascript("export default { fetch() {} }; export class Api {}")

    assert "it exports `Api`, `default`" in error_of(guest.fetch(x="Other"))["message"]


def test_env_can_be_imported(javascript: JavaScript) -> None:
    guest = javascript(
        'import { env } from "cloudflare:workers"; export default { fetch() { return new Response(env.KEY) } }'
    )

    assert only(guest.fetch(x="default", env={"KEY": "k"}))["b"] == "k"


@pytest.mark.parametrize(
    ("result", "advice"),
    [
        ("'text'", "return new Response(text)"),
        ("({})", "Response.json(value)"),
        ("undefined", "must return a Response"),
    ],
)
def test_fetch_must_return_a_response(javascript: JavaScript, result: str, advice: str) -> None:
    guest = javascript(f"export default {{ fetch() {{ return {result} }} }}")

    assert advice in error_of(guest.fetch(x="default"))["message"]


def test_handler_without_fetch_says_so(javascript: JavaScript) -> None:
    guest = started(javascript)

    assert "does not export a fetch() function" in error_of(guest.fetch())["message"]


# ── background work, and the end ─────────────────────────────────────────────────────────────────────────────


def test_background_work_is_pending_and_its_failure_is_logged(javascript: JavaScript) -> None:
    guest = javascript(
        "export default { fetch(request, env, ctx) {"
        " ctx.waitUntil(new Promise((_, fail) => setTimeout(() => fail(new Error('late')), 10)));"
        " return new Response('now') } }"
    )

    first = guest.fetch(x="default")
    guest.host.now_ms += 10
    second = guest.resume()

    assert only(first)["b"] == "now"
    assert (first["p"], first["t"]) == (1, 10)
    assert second == {}
    assert ("error", "background work failed: Error: late") in guest.host.log


def test_rejection_that_nobody_handles_is_logged(javascript: JavaScript) -> None:
    guest = javascript()

    guest.evaluate("Promise.reject(new Error('lost')); 1")
    guest.evaluate("const late = Promise.reject(new Error('caught')); late.catch(() => {}); 1")

    assert [line for _, line in guest.host.log] == ["Uncaught (in promise): Error: lost", "    at snippet.js:1:20"]


def test_abort_ends_the_isolate(javascript: JavaScript) -> None:
    guest = started(
        javascript,
        'import { DurableObject } from "cloudflare:workers";\n'
        "export class App extends DurableObject {"
        " end() { try { this.ctx.abort('enough') } finally { return 'caught' } } }",
    )
    guest.host.answers[HostOp.ABORT] = lambda key, payload: ""

    with pytest.raises(ObjectResetError, match="enough"):
        guest.call("end")


def test_network_is_asked_for_and_a_denial_is_a_type_error(javascript: JavaScript) -> None:
    guest = javascript()
    source = "let name; try { await fetch('https://example.com/') } catch (error) { name = `${error}` } name"
    report = guest.event("eval", s=source, a={})
    ((operation, kind, payload),) = report["o"]
    assert (kind, payload["r"]["u"]) == ("fetch", "https://example.com/")

    denied = {"type": "NetworkDeniedError", "message": NETWORK_DENIED}
    report = guest.resume([operation, 0, denied])

    assert only(report) == f"TypeError: {NETWORK_DENIED}"


# ── snippets ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1 + 1", 2),
        ("const a = 2; a * 3", 6),
        ("let a = 1; if (a) { 'yes' } else { 'no' }", "yes"),
        ("await Promise.resolve(5)", 5),
        ("Promise.resolve(6)", 6),
        ("numbers.map((n) => n * 2) // doubled", [[2, 4]]),
        ("const { a } = await import('./lib.js'); a", "from the library"),
    ],
)
def test_snippet_gives_the_value_of_its_last_expression(javascript: JavaScript, source: str, value: object) -> None:
    guest = javascript({"worker.js": "", "lib.js": "export const a = 'from the library'"})

    assert guest.evaluate(source, numbers=[[1, 2]]) == value
    assert guest.evaluate(source, numbers=[[1, 2]]) == value


def test_names_given_to_a_snippet_are_gone_afterwards(javascript: JavaScript) -> None:
    guest = javascript()

    guest.evaluate("given", given=1)

    assert guest.evaluate("typeof given") == "undefined"


def test_syntax_error_of_a_snippet_has_its_place(javascript: JavaScript) -> None:
    with pytest.raises(RuntimeError, match=r"SyntaxError: .*\n    at snippet.js:2:5"):
        javascript().evaluate("1\nlet let")


# ── messages that lack what there is ─────────────────────────────────────────────────────────────────────────

CALLS = """
import { DurableObject } from "cloudflare:workers";
export class App extends DurableObject {
  run(name) { return this[name](); }
  typo() { this.ctx.storage.kv.putt("a", 1); }
  chained() {
    return this.ctx.storage
      .sql.execute("SELECT 1");
  }
  bare() { let f; f(1); }
  made() { const a = {}; new a.Thing(); }
  tagged() { const a = { f: 1 }; a.f`x`; }
  handed() { [1].map(3); }
}
"""


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("typo", "not a function: `this.ctx.storage.kv.putt`; `kv` has: delete, get, list, put"),
        ("chained", "not a function: `sql.execute`; `sql` has: "),
        ("bare", "not a function: `f`"),
        ("made", "not a function: `a.Thing`"),
        ("tagged", "not a function: `a.f`"),
    ],
)
def test_a_call_of_what_is_no_function_names_it(javascript: JavaScript, method: str, message: str) -> None:
    guest = javascript(CALLS)
    guest.start()

    error = error_of(guest.call("run", method))

    assert error["message"].startswith(message)
    assert error["traceback"].startswith(f"TypeError: {message}")


def test_what_the_engine_itself_calls_is_not_named(javascript: JavaScript) -> None:
    guest = javascript(CALLS)
    guest.start()

    assert error_of(guest.call("run", "handed"))["message"] == "not a function"


def test_a_call_in_a_snippet_names_it_too(javascript: JavaScript) -> None:
    guest = javascript("")

    assert error_of(guest.event("eval", s="const a = {};\n a.b.c = 1; "))["message"] != "not a function"
    assert error_of(guest.event("eval", s="const a = {};\n\n  a.gone(1)"))["message"] == "not a function: `a.gone`"
    assert error_of(guest.event("eval", s="none = 1; none()"))["message"] == "not a function: `none`"
