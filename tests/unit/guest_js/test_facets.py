"""`ctx.facets` in JavaScript: operations in the report, start callbacks as events."""

from __future__ import annotations

import json

import pytest
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import Driver, error_of, only

from perdure.limits import GUEST_PENDING_OPERATIONS_MAX
from perdure.wire import ERROR_MARK, HostOp

SUPERVISOR = """
import { DurableObject } from "cloudflare:workers";
export class Inner extends DurableObject {}
export class App extends DurableObject {
  facet(name = "app") {
    return this.ctx.facets.get(name, () => ({ class: this.ctx.exports.Inner({ props: { a: [1] } }), id: "own" }));
  }
  async fetch(request) { return this.facet().fetch(request); }
  async ask(...values) { return (await this.facet().add(...values)) + 1; }
  async many(count) { await Promise.all(Array.from({ length: count }, () => this.facet().add())); }
  async shown() { const facet = this.facet(); return [typeof (await facet), String(Object.keys(facet))]; }
  bare() {
    this.ctx.facets.get("bare", () => Inner);
    this.ctx.facets.get("bare", async () => this.ctx.exports.Inner);
  }
  wrong() { this.ctx.facets.get("app", () => 5); }
  end(name) {
    this.ctx.facets.abort(name, new Error("why"));
    this.ctx.facets.delete(name);
    return this.ctx.facets.list();
  }
  purge(count, act) {
    const { facets } = this.ctx;
    for (let n = 0; n < count; n++) facets.delete(`f${n}`);
    if (act === "delete") facets.delete("last");
    if (act === "abort") facets.abort("last");
    if (act === "clone") facets.clone("f0", "last");
    if (act === "setBudget") facets.setBudget("last", null);
    return "done";
  }
  noStart() { this.ctx.facets.get("app"); }
  named(name) { this.facet(name); }
}
"""


@pytest.fixture
def guest(javascript: JavaScript) -> Driver:
    made: Driver = javascript(SUPERVISOR)
    made.start()
    return made


def test_fetch_of_a_facet_is_an_operation(guest: Driver) -> None:
    asked = guest.fetch("http://host/path", method="POST", body="hello")
    answered = guest.resume([1, 1, {"s": 201, "h": [["x-a", "1"]], "b": "made"}])

    request = {"m": "POST", "u": "http://host/path", "h": [], "b": "hello"}
    assert asked == {"o": [[1, "facet.fetch", {"f": "app", "cb": 1, "n": 1, "r": request}]], "p": 1}
    assert only(answered) == {"s": 201, "h": [["x-a", "1"]], "b": "made"}


def test_call_of_a_facet_carries_expressions(guest: Driver) -> None:
    asked = guest.call("ask", 1, [[2]])
    answered = guest.resume([1, 1, 41])

    assert asked["o"] == [[1, "facet.call", {"f": "app", "cb": 1, "n": 1, "m": "add", "a": [1, [[2]]]}]]
    assert only(answered) == 42


def test_failed_call_throws_what_the_facet_threw(guest: Driver) -> None:
    guest.call("ask")

    shape = error_of(guest.resume([1, 0, {"type": "RangeError", "message": "no", "remote": True}]))

    assert (shape["type"], shape["message"], shape["remote"]) == ("RangeError", "no", True)


def test_start_callback_names_class_id_and_props(guest: Driver) -> None:
    guest.fetch()

    assert only(guest.event("facet", cb=1)) == {"export": "Inner", "id": "own", "props": {"a": [[1]]}}


def test_start_callback_may_give_the_class_alone(guest: Driver) -> None:
    guest.call("bare")

    assert only(guest.event("facet", cb=1)) == {"export": "Inner", "id": None, "props": {}}


def test_start_callback_with_something_else_says_what_to_return(guest: Driver) -> None:
    guest.call("wrong")

    assert "must return { class }" in error_of(guest.event("facet", cb=1))["message"]


def test_abort_and_delete_are_operations_and_list_is_a_host_call(guest: Driver) -> None:
    guest.host.answers[HostOp.FACET_LIST] = lambda key, payload: json.dumps(["a", "b"])

    report = guest.call("end", "a")

    assert report["o"] == [[1, "facet.abort", {"f": "a", "reason": "why"}], [2, "facet.delete", {"f": "a"}]]
    assert only(report) == [["a", "b"]]


def test_stub_is_no_promise_and_shows_nothing(guest: Driver) -> None:
    assert only(guest.call("shown")) == [["object", ""]]


@pytest.mark.parametrize(
    ("method", "arguments", "text"),
    [
        ("noStart", [], "no method `startFacet(name)`"),
        ("named", [""], "at least one character"),
        ("named", [5], "a facet's name is a string"),
        ("named", ["x" * 257], "Facet name is too long (max 256 characters)"),
        ("named", ["é" * 129], "Facet name is too long"),
    ],
)
def test_misuse_says_why(guest: Driver, method: str, arguments: list[object], text: str) -> None:
    shape = error_of(guest.call(method, *arguments))

    assert shape["type"] == "TypeError"
    assert text in shape["message"]


def test_too_many_operations_are_refused(guest: Driver) -> None:
    report = guest.call("many", GUEST_PENDING_OPERATIONS_MAX + 1)

    assert error_of({"d": report["d"]})["code"] == "overloaded"
    assert len(report["o"]) == GUEST_PENDING_OPERATIONS_MAX


@pytest.mark.parametrize("act", ["delete", "abort", "clone", "setBudget"])
def test_an_order_that_is_one_too_many_throws_at_the_call(guest: Driver, act: str) -> None:
    assert error_of(guest.call("purge", GUEST_PENDING_OPERATIONS_MAX, act))["code"] == "overloaded"


@pytest.mark.parametrize("act", ["delete", "clone"])
def test_what_the_host_refuses_now_throws_at_the_call(guest: Driver, act: str) -> None:
    refusal = ERROR_MARK + json.dumps({"type": "FacetError", "message": "not now"})
    guest.host.answers[HostOp.FACET_CHANGE] = lambda key, payload: refusal if payload == '"last"' else ""

    report = guest.call("purge", 0, act)

    assert error_of(report)["message"] == "not now"
    assert "o" not in report


def test_answer_to_an_unknown_operation_is_dropped(guest: Driver) -> None:
    assert guest.resume([99, 1, None]) == {}
