"""Capabilities in JavaScript: stubs, promises and callbacks, through the guest protocol (spec 6)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import Driver, error_of, only

from perdure.wire import GuestOp, HostOp

SOURCE = """
import { DurableObject, RpcPromise, RpcStub, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

export class Counter extends RpcTarget {
  constructor(value = 0, log = []) { super(); this.value = value; this.log = log; this.own = () => 1; }
  increment(by = 1) { return this.value += by; }
  get total() { return this.value; }
  get self() { return { counter: this }; }
  setTotal(value) { this.value = value; }
  boom() { throw Object.assign(new RangeError("too far"), { code: "FAR" }); }
  [Symbol.dispose]() { this.log.push("disposed"); }
}
class Other { method() {} }

const AsyncFunction = (async () => {}).constructor;

export class App extends DurableObject {
  run(source, S) {
    const w = { Api, App, Counter, RpcPromise, RpcStub };
    return new AsyncFunction("w", "S", source).call(this, w, S);
  }
  constructor(ctx, env) { super(ctx, env); this.log = []; this.kept = {}; this.data = { secret: 1 }; }
  get peer() { return this.ctx.exports.App.getByName("peer"); }
  get settings() { return { deep: { list: [1, 2], add: (a, b) => a + b }, other: new Other() }; }
  add(first, second) { return first + second; }
  counter(value) { return this.last = new Counter(value, this.log); }
  logged() { return this.log; }
  async useCallback(callback, value) { return (await callback(value)) + 1; }
  keep(name, stub) { this.kept[name] = stub.dup(); }
  keepAsIt(name, stub) { this.kept[name] = stub; }
  async use(name, method, ...given) { return await this.kept[name][method](...given); }
  drop(name) { this.kept[name][Symbol.dispose](); }
  giveKept(name) { return this.kept[name]; }
  echo(value) { return value; }
}
export class Api extends WorkerEntrypoint {
  open(value) { return new Counter(value); }
  async hold(stub) { globalThis.held = stub.dup(); return await stub(1); }
  async useHeld() { return await globalThis.held(1); }
  async giveCallback() { return await this.env.OUT.take(() => 1); }
}
export default {
  async three(value, env, ctx) { return [value, typeof env, typeof ctx.waitUntil]; },
  short(value) { return value; },
  many(a, b, c, d) {},
  data: 5,
  fetch() { return new Response("ok"); },
};
"""


def load(javascript: JavaScript) -> Driver:
    guest: Driver = javascript(SOURCE)
    guest.turn(GuestOp.LOAD, main="worker.js", namespaces=["App"])
    return guest


@pytest.fixture
def guest(javascript: JavaScript) -> Driver:
    made: Driver = load(javascript)
    made.host.answers[HostOp.OBJECT_ID] = lambda key, payload: json.dumps({"i": "ab" * 32})
    assert made.start(env={"OUT": ["export", 900, "service"]}) == {}
    return made


def run(guest: Driver, source: str, stub: object = None) -> dict[str, Any]:
    """The report of source that runs in the object, with a stub called S."""
    return guest.call("run", source, stub)


def asked(report: dict[str, Any]) -> list[list[Any]]:
    """The operations of a report, without their numbers."""
    return [[kind, payload] for _, kind, payload in report.get("o", [])]


# ── arguments and results ────────────────────────────────────────────────────────────────────────────────────


def test_a_function_in_the_arguments_is_called_and_given_back(guest: Driver) -> None:
    called = guest.call("useCallback", ["export", 7, "function"], 20)
    ended = guest.resume([1, 1, 41])

    assert asked(called) == [["rpc.call", {"n": 7, "path": [], "a": [20]}]]
    assert only(ended) == 42
    assert ended["c"] == [[7, 1]]


def test_what_is_kept_of_the_arguments_must_be_duplicated(guest: Driver) -> None:
    kept = guest.call("keep", "a", ["export", 7, "target"])
    lost = guest.call("keepAsIt", "b", ["export", 8, "target"])

    assert "c" not in kept
    assert lost["c"] == [[8, 1]]
    assert asked(guest.call("use", "a", "run", 1)) == [["rpc.call", {"n": 7, "path": ["run"], "a": [1]}]]
    used = error_of(guest.call("use", "b", "run", 1))
    assert (used["type"], used["message"]) == ("Error", "RPC stub used after being disposed.")
    assert guest.call("drop", "a")["c"] == [[7, 1]]
    assert "c" not in guest.call("drop", "a")


def test_one_reference_for_each_time_it_came(guest: Driver) -> None:
    assert guest.call("echo", [[["export", 7, "target"], ["export", 7, "target"]]])["c"] == [[7, 2]]


def test_a_result_takes_its_stubs_along(guest: Driver) -> None:
    guest.call("keep", "a", ["export", 7, "target"])

    given = guest.call("giveKept", "a")

    assert only(given) == ["import", 7]
    assert given["c"] == [[7, 1]]
    assert "disposed" in error_of(guest.call("giveKept", "a"))["message"]


def test_a_service_outlives_the_call_it_came_with(guest: Driver) -> None:
    assert "c" not in guest.call("keepAsIt", "a", ["export", 7, "service"])
    assert asked(guest.call("use", "a", "run")) == [["rpc.call", {"n": 7, "path": ["run"], "a": []}]]
    assert only(guest.call("giveKept", "a")) == ["import", 7]
    assert only(guest.call("giveKept", "a")) == ["import", 7]


def test_a_service_answers_http(guest: Driver) -> None:
    report = run(guest, "return await (await S.fetch('http://x/y')).text()", ["export", 7, "service"])

    assert asked(report) == [["rpc.fetch", {"n": 7, "r": {"m": "GET", "u": "http://x/y", "h": []}}]]
    assert only(guest.resume([1, 1, {"s": 200, "h": [], "b": "there"}])) == "there"


def test_an_rpc_target_is_a_stub_and_disposed_of_once(guest: Driver) -> None:
    made = only(guest.call("counter", 5))
    assert made == ["export", 1, "target"]

    assert only(guest.event("rpc", n=1, path=["increment"], a=[2])) == 7
    assert only(guest.event("rpc", n=1, path=["total"])) == 7
    assert only(guest.event("rpc", n=1, path=["set_total"], a=[1])) == ["undefined"]
    assert only(guest.event("rpc", n=1, path=["self", "counter", "increment"], a=[])) == 2

    assert guest.turn(GuestOp.RESUME, c=[], rel=[[1, 1]]) == {}
    assert only(guest.call("logged")) == [["disposed"]]
    assert guest.turn(GuestOp.RESUME, c=[], rel=[[1, 1]]) == {}
    assert only(guest.call("logged")) == [["disposed"]]
    assert "used after being disposed" in error_of(guest.event("rpc", n=1, path=["increment"], a=[]))["message"]


def test_the_same_live_capability_keeps_its_number(guest: Driver) -> None:
    source = "const f = () => 1; f.x = 3; return [f, { f }, new w.Counter()]"
    [values] = only(run(guest, source))

    assert values == [["export", 1, "function"], {"f": ["export", 1, "function"]}, ["export", 2, "target"]]
    assert only(guest.event("rpc", n=1, path=["x"])) == 3
    guest.turn(GuestOp.RESUME, c=[], rel=[[1, 1]])
    assert only(guest.event("rpc", n=1, path=[], a=[])) == 1
    guest.turn(GuestOp.RESUME, c=[], rel=[[1, 1]])
    assert "d" in guest.event("rpc", n=1, path=[], a=[])
    assert error_of(guest.event("rpc", n=1, path=[], a=[]))


def test_awaiting_a_method_gives_a_bound_function(guest: Driver) -> None:
    guest.call("counter", 5)

    assert only(guest.event("rpc", n=1, path=["increment"])) == ["export", 2, "function"]
    assert only(guest.event("rpc", n=2, path=[], a=[3])) == 8


def test_errors_of_what_was_sent_keep_type_and_properties(guest: Driver) -> None:
    guest.call("counter", 5)

    error = error_of(guest.event("rpc", n=1, path=["boom"], a=[]))

    assert (error["type"], error["message"], error["code"]) == ("RangeError", "too far", "FAR")


# ── what may be reached ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (["own"], 'does not implement the method "own"'),
        (["value"], 'does not implement the method "value"'),
        (["log"], 'does not implement the method "log"'),
        (["missing"], 'does not implement the method "missing"; `Counter` has: `boom`, `increment`, `setTotal`'),
        (["toString"], 'does not implement the method "toString"'),
        (["__proto__"], 'does not implement the method "__proto__"'),
        (["hasOwnProperty"], 'does not implement the method "hasOwnProperty"'),
        (["constructor"], "'constructor' is a reserved method and cannot be called over RPC"),
        (["dup"], "'dup' is a reserved method"),
        (["total"], '"total" is not a function'),
        (["total", "x"], 'does not implement the method "x"'),
        (["self", "counter"], '"self.counter" is not a function'),
        (["increment", "name"], 'does not implement the method "name"'),
        (["increment", "call"], 'does not implement the method "call"'),
        (["increment", "prototype"], 'does not implement the method "prototype"'),
        (["self", "__proto__"], 'does not implement the method "__proto__"'),
        (["self", "toString"], 'does not implement the method "toString"'),
    ],
)
def test_only_what_the_class_says_can_be_called(guest: Driver, path: list[str], message: str) -> None:
    guest.call("counter", 5)

    error = error_of(guest.event("rpc", n=1, path=path, a=[]))

    assert error["type"] == "TypeError"
    assert message in error["message"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (["settings", "other", "method"], 'does not implement the method "method"'),
        (["settings", "deep", "none"], 'does not implement the method "none"'),
        (["settings", "deep", "list"], '"settings.deep.list" is not a function'),
        (["env", "x"], 'does not implement the method "env"'),
        (["ctx", "storage"], 'does not implement the method "ctx"'),
        (["data", "secret"], 'does not implement the method "data"'),
        (["fetch"], "'fetch' is a reserved method"),
        (["webSocketMessage"], "'webSocketMessage' is a reserved method"),
    ],
)
def test_paths_into_an_object(guest: Driver, path: list[str], message: str) -> None:
    assert message in error_of(guest.event("call", path=path, a=[]))["message"]


def test_paths_into_plain_values(guest: Driver) -> None:
    assert only(guest.event("call", path=["settings", "deep", "add"], a=[1, 2])) == 3
    assert only(guest.event("call", path=["settings", "deep", "list", "1"])) == 2
    assert only(guest.event("call", path=["settings", "deep", "list", "length"])) == 2


def test_handlers_take_one_argument(guest: Driver) -> None:
    def call(name: str, *arguments: object) -> dict[str, Any]:
        return guest.call(name, *arguments, x="default", p={}, env={})

    assert only(call("three", 1)) == [[1, "object", "function"]]
    assert only(call("short", 1)) == 1
    assert "must always send exactly one argument" in error_of(call("short"))["message"]
    assert "exactly the arguments (arg, env, ctx)" in error_of(call("many", 1))["message"]
    assert 'does not implement the method "data"' in error_of(call("data", 1))["message"]
    assert 'does not implement the method "toString"' in error_of(call("toString", 1))["message"]
    assert only(guest.event("call", path=["short"], x="default", p={}, env={})) == ["export", 1, "function"]
    assert only(guest.event("rpc", n=1, path=[], a=[4])) == 4


# ── pipelining ───────────────────────────────────────────────────────────────────────────────────────────────


def test_calls_on_results_that_have_not_come_go_at_once(guest: Driver) -> None:
    source = (
        "const open = S.open(1); const sum = open.counter.increment(2); const name = open.name; const id = S.id;"
        "return [await sum, await name, await id.text, await open.list[1]]"
    )
    began = run(guest, source, ["export", 7, "target"])

    assert asked(began) == [
        ["rpc.call", {"n": 7, "path": ["open"], "a": [1]}],
        ["rpc.call", {"on": 1, "path": ["counter", "increment"], "a": [2]}],
    ]
    asks_name = guest.resume([2, 1, 3])
    assert asked(asks_name) == [["rpc.get", {"on": 1, "path": ["name"]}]]
    opened = {"counter": ["export", 8, "target"], "list": [["x", "y"]]}
    asks_id = guest.resume([3, 1, "n"], [1, 1, opened])
    assert asked(asks_id) == [["rpc.get", {"n": 7, "path": ["id", "text"]}]]
    assert only(guest.resume([4, 1, "t"])) == [[3, "n", "t", "y"]]


def test_a_result_that_came_is_followed_here(guest: Driver) -> None:
    source = (
        "const open = S.open(); await open; const on = []; "
        "const sum = open.counter.increment(2); const counter = await open.counter;"
        "const wrong = await open.name.x().catch((e) => e.message);"
        "const none = await open.zzz.x.catch((e) => e.message);"
        "const called = await open.name().catch((e) => e.message);"
        "return [await sum, counter instanceof w.RpcStub, wrong, none, called]"
    )
    run(guest, source, ["export", 7, "target"])
    sums = guest.resume([1, 1, {"counter": ["export", 8, "target"], "name": "n"}])

    assert asked(sums) == [["rpc.call", {"n": 8, "path": ["increment"], "a": [2]}]]
    [[total, is_stub, *messages]] = only(guest.resume([2, 1, 3]))
    assert (total, is_stub) == (3, True)
    assert messages == [
        'The RPC receiver does not implement the method "x"',
        'The RPC receiver does not implement the method "zzz"',
        '"name" is not a function',
    ]


def test_the_base_fails_and_with_it_what_was_built_on_it(guest: Driver) -> None:
    source = (
        "const open = S.open(); const seen = []; for (const p of [open.a(), open.b, open])"
        " seen.push(await p.catch((e) => `${e.name} ${e.message} ${e.remote}`)); "
        "seen.push(await open.c().catch((e) => e.message)); return seen"
    )
    run(guest, source, ["export", 7, "target"])
    shape = {"type": "RangeError", "message": "no", "remote": True}
    report = guest.resume([1, 0, shape], [2, 0, shape])
    if "o" in report:
        report = guest.resume([3, 0, shape])

    assert only(report) == [["RangeError no true"] * 3 + ["no"]]
    assert guest.host.log == []


def test_arguments_are_read_when_the_call_is_made(guest: Driver) -> None:
    report = run(guest, "const o = { n: 1 }; const p = S.take(o); o.n = 2; return await p", ["export", 7, "target"])

    assert asked(report) == [["rpc.call", {"n": 7, "path": ["take"], "a": [{"n": 1}]}]]


def test_a_failure_that_nobody_asks_for_is_told(guest: Driver) -> None:
    run(guest, "S.go(); S.went().x()", ["export", 7, "target"])
    guest.resume([1, 0, {"type": "Error", "message": "lost"}], [2, 0, {"type": "Error", "message": "base"}])
    guest.resume([3, 0, {"type": "Error", "message": "built"}])

    told = " ".join(line for _, line in guest.host.log)
    assert "lost" in told
    assert "built" in told
    assert "base" not in told


def test_a_path_has_sixty_four_names_at_most(guest: Driver) -> None:
    source = (
        "let p = S; for (let n = 0; n < 64; n++) p = p.x; let error; try { p.x } catch (e) { error = e }"
        "return [typeof p, error.name, error.message]"
    )

    [[kind, name, message]] = only(run(guest, source, ["export", 7, "target"]))

    assert (kind, name) == ("function", "TypeError")
    assert "property path is too deep" in message
    assert "max 64" in message


# ── stubs as values ──────────────────────────────────────────────────────────────────────────────────────────


def test_looking_at_stubs_makes_no_calls(guest: Driver) -> None:
    source = (
        "const p = S.x; console.log(S, p, [S], { p });"
        "const seen = [`${S}`, String(p), JSON.stringify({ S }), typeof S,"
        " Object.keys(S).length, S.constructor.name, p.constructor.name, S.then, (await S) === S, p === 1, S == 'a',"
        " S.hasOwnProperty('x'), 'x' in S, Object.prototype.toString.call(S)]; return seen"
    )

    report = run(guest, source, ["export", 7, "target"])

    assert only(report) == [
        [
            "[object RpcStub]", "[object RpcPromise]", "{}", "function", 0, "RpcStub", "RpcPromise", ["undefined"],
            True, False, False, False, False, "[object RpcStub]",
        ]
    ]  # fmt: skip
    assert guest.host.log == [("log", "[RpcStub] [RpcProperty] [ [RpcStub] ] { p: [RpcProperty] }")]
    assert "o" not in report


def test_stubs_cannot_be_changed(guest: Driver) -> None:
    source = (
        "const told = []; for (const act of [() => { S.x = 1 }, () => Object.defineProperty(S, 'y', { value: 1 }),"
        " () => Object.setPrototypeOf(S, null), () => Object.freeze(S), () => new S(), () => new w.RpcPromise()])"
        " try { act(); told.push('no error') } catch (e) { told.push(e.name) } return told"
    )

    assert only(run(guest, source, ["export", 7, "target"])) == [["TypeError"] * 6]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("new (class Money {})()", "Money"),
        ("Object.create(null)", "Object"),
        ("Object.create({})", "Object"),
        ("S.x", "RpcProperty"),
        ("S.x()", "RpcPromise"),
        ("Promise.resolve(1)", "Promise"),
        ("new WeakMap()", "WeakMap"),
        ("w.Counter", "Counter"),
        ("o.ctx.exports.Api", "LoopbackServiceStub"),
    ],
)
def test_what_cannot_be_sent_names_its_type(guest: Driver, value: str, kind: str) -> None:
    source = (
        f"const o = this; const held = {{ deep: [{value}] }};"
        " const error = await S.take(held).catch((e) => e); return [error.name, error.message]"
    )
    report = run(guest, source, ["export", 7, "target"])

    [[name, message]] = only(report)
    assert name == "DataCloneError"
    assert f'Could not serialize object of type "{kind}"' in message
    assert "does not support serialization" in message


def test_what_was_not_sent_is_not_given_out(guest: Driver) -> None:
    error = error_of(run(guest, "return [() => 1, Symbol('a')]"))

    assert "symbols cannot be stored or sent" in error["message"]
    assert error_of(guest.event("rpc", n=1, path=[], a=[]))["message"] == "RPC stub used after being disposed."


def test_a_proxy_of_a_target_makes_its_methods_as_they_are_asked_for(guest: Driver) -> None:
    made = only(run(guest, "return new Proxy(new w.Counter(3), { get: (t, n) => n === 'magic' ? () => 42 : t[n] })"))

    assert made == ["export", 1, "target"]
    assert only(guest.event("rpc", n=1, path=["magic"], a=[])) == 42


def test_a_target_with_a_dup_method_is_sent_as_its_duplicate(guest: Driver) -> None:
    source = (
        "class D extends (Object.getPrototypeOf(w.Counter)) { dup() { return new w.Counter(99) } };"
        "const d = new D(); return await S.take(d, [d, d])"
    )

    report = run(guest, source, ["export", 7, "target"])

    [[_, payload]] = asked(report)
    number = payload["a"][0][1]
    assert only(guest.event("rpc", n=number, path=["total"])) == 99
    assert payload["a"][1] == ["graph", [[["ref", 0], ["ref", 0]]], [["export", number, "target"]]]


# ── disposal ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_result_is_disposed_of_with_all_that_is_in_it(guest: Driver) -> None:
    source = (
        "const r = await S.get(); const seen = [Object.keys(r)]; const kept = r.a.dup(); r[Symbol.dispose]();"
        "seen.push(await r.a.x().catch((e) => e.message)); kept.y(); return seen"
    )
    run(guest, source, ["export", 7, "target"])
    ended = guest.resume([1, 1, {"a": ["export", 8, "target"], "b": ["export", 9, "target"]}])

    assert only(ended) == [[[["a", "b"]], "RPC stub used after being disposed."]]
    assert ended["o"] == [[2, "rpc.call", {"n": 8, "path": ["y"], "a": []}]]
    assert ended["c"] == [[9, 1], [7, 1]]


def test_a_promise_that_is_disposed_of_disposes_of_what_comes(guest: Driver) -> None:
    source = (
        "const p = S.get(); p[Symbol.dispose](); p[Symbol.dispose]();"
        "return [await p.catch((e) => e.message), await p.x().catch((e) => e.message)]"
    )
    report = run(guest, source, ["export", 7, "target"])

    assert only(report) == [["RPC promise used after being disposed."] * 2]
    assert guest.resume([1, 1, ["export", 8, "target"]])["c"] == [[8, 1]]


def test_local_stubs_are_called_with_copies(guest: Driver) -> None:
    source = (
        "const log = []; const counter = new w.Counter(1, log); const stub = new w.RpcStub(counter);"
        "const value = { n: 1 };"
        "const echo = new w.RpcStub(async (v, f) => { v.n = 9; return { v, sum: await f(2), f: f.dup() } });"
        "const r = await echo(value, (n) => n + 1); const back = await r.f(5);"
        "const seen = [value.n, r.v.n, r.sum, back, await stub.increment(4), await stub.total];"
        "seen.push(await stub.self.counter.total);"
        "seen.push(await stub.boom().catch((e) => `${e.name} ${e.remote}`));"
        "const second = stub.dup(); stub[Symbol.dispose](); await 0; await 0; seen.push(log.length);"
        "second[Symbol.dispose](); second[Symbol.dispose](); await 0; await 0; seen.push(log.length);"
        "seen.push(await second.total.catch((e) => e.message)); return seen"
    )

    assert only(run(guest, source)) == [
        [1, 9, 3, 6, 5, 5, 5, "RangeError true", 0, 1, "RPC stub used after being disposed."]
    ]


def test_what_comes_home_is_a_stub(guest: Driver) -> None:
    guest.call("counter", 5)
    run(guest, "return [await S.increment(1), S.constructor.name]", ["import", 1])

    assert only(guest.event("rpc", n=1, path=["total"])) == 6
    assert error_of(run(guest, "return 1", ["import", 99]))["message"] == "RPC stub used after being disposed."


# ── stateless workers ────────────────────────────────────────────────────────────────────────────────────────


def stateless(guest: Driver, method: str, *arguments: object, **message: object) -> dict[str, Any]:
    return guest.call(method, *arguments, x="Api", p={}, env={"OUT": ["export", 900, "service"]}, **message)


def test_what_a_stateless_event_holds_ends_with_it(javascript: JavaScript) -> None:
    guest = load(javascript)
    held = stateless(guest, "hold", ["export", 7, "function"])
    ended = guest.resume([1, 1, 1])

    assert asked(held) == [["rpc.call", {"n": 7, "path": [], "a": [1]}]]
    assert ended["c"] == [[7, 1]]
    assert "Cannot perform I/O on behalf of a different request" in error_of(stateless(guest, "useHeld"))["message"]


def test_what_a_stateless_event_holds_waits_for_the_events_beside_it(javascript: JavaScript) -> None:
    guest = load(javascript)
    stateless(guest, "hold", ["export", 7, "function"])
    stateless(guest, "hold", ["export", 8, "function"])

    assert guest.resume([2, 1, 1]).get("c", []) == []
    assert sorted(guest.resume([1, 1, 1])["c"]) == [[7, 1], [8, 1]]


def test_a_callback_of_a_request_that_is_over(javascript: JavaScript) -> None:
    guest = load(javascript)
    given = stateless(guest, "giveCallback")
    assert asked(given) == [["rpc.call", {"n": 900, "path": ["take"], "a": [["export", 1, "function"]]}]]
    assert only(guest.event("rpc", n=1, path=[], a=[])) == 1
    guest.resume([1, 1, None])

    error = error_of(guest.event("rpc", n=1, path=[], a=[]))

    assert error["message"] == "The execution context which hosts this callback is no longer running."


def test_what_a_result_needs_lives_as_long_as_the_result(javascript: JavaScript) -> None:
    guest = load(javascript)
    [_, number, _] = only(stateless(guest, "open", 3))
    stateless(guest, "hold", ["export", 7, "function"])
    kept = guest.resume([1, 1, 1])
    assert only(guest.event("rpc", n=number, path=["increment"], a=[])) == 4

    assert "c" not in kept
    assert guest.turn(GuestOp.RESUME, c=[], rel=[[number, 1]])["c"] == [[7, 1]]


# ── stubs of the worker's own ────────────────────────────────────────────────────────────────────────────────


def test_stubs_of_the_workers_own_cross_as_channels(guest: Driver) -> None:
    [[peer, api]] = only(run(guest, "return [this.peer, this.ctx.exports.Api({ props: { a: [1] } })]"))

    assert peer == ["channel", "stub", {"x": "App", "i": "ab" * 32, "name": "peer"}]
    assert api == ["channel", "export", {"x": "Api", "p": {"a": [[1]]}}]


def test_stubs_of_the_workers_own_can_be_stored_and_no_others(guest: Driver) -> None:
    run(guest, "this.ctx.storage.kv.put('s', { peer: this.peer, api: this.ctx.exports.Api({ props: { n: 1 } }) })")
    read = run(guest, "const s = this.ctx.storage.kv.get('s'); s.peer.add(1, 2); s.api.open(); return s")

    assert [kind for kind, _ in asked(read)] == ["stub.call", "export.call"]
    assert asked(read)[1][1] == {"x": "Api", "p": {"n": 1}, "m": "open", "a": []}
    assert only(read)["peer"] == ["channel", "stub", {"x": "App", "i": "ab" * 32, "name": "peer"}]
    for value, text in {
        "() => 1": "functions cannot be stored",
        "this.ctx.exports.Api": '"LoopbackServiceStub", it does not support serialization',
        "this.ctx.exports.App": "namespace does not support serialization",
        "new w.Counter()": '"Counter", it does not support serialization',
        "S": '"RpcStub", it cannot be serialized in this context',
        "this.env.OUT": "cannot be serialized in this context",
        "this.ctx.exports.Api({ props: { out: this.env.OUT } })": "cannot be serialized in this context",
    }.items():
        error = error_of(run(guest, f"this.ctx.storage.kv.put('s', {{ a: [{value}] }})", ["export", 7, "target"]))
        assert error["type"] == "DataCloneError"
        assert text in error["message"]


def test_props_take_services_along(guest: Driver) -> None:
    report = run(guest, "return await this.ctx.exports.Api({ props: { out: this.env.OUT } }).open()")

    assert asked(report) == [["export.call", {"x": "Api", "p": {"out": ["import", 900]}, "m": "open", "a": []}]]


def test_paths_and_properties_of_objects(guest: Driver) -> None:
    report = run(guest, "const { peer } = this; peer.a.b(1); peer.c(2); return [await peer.d.e, peer.name]")

    identity = {"x": "App", "i": "ab" * 32, "name": "peer", "n": 1}
    assert asked(report) == [
        ["stub.call", {**identity, "path": ["a", "b"], "a": [1]}],
        ["stub.call", {**identity, "m": "c", "a": [2]}],
        ["stub.get", {**identity, "path": ["d", "e"]}],
    ]
