"""Timers in JavaScript guests: the host's time, one report at a time."""

from __future__ import annotations

from tests.unit.isolates.conftest import JavaScript

TIMERS = """
globalThis.order = [];
globalThis.at = (delay, name) => setTimeout(() => order.push(name), delay);
export default { fetch() {} };
"""


def test_due_timers_run_in_their_order(javascript: JavaScript) -> None:
    guest = javascript(TIMERS)

    guest.evaluate("at(30, 'c'); at(10, 'a'); at(20, 'b'); at(10, 'a2'); 0")
    guest.host.now_ms += 25
    report = guest.resume()

    assert report == {"t": 5}
    assert guest.evaluate("order.join()") == "a,a2,b"


def test_microtasks_run_between_timers(javascript: JavaScript) -> None:
    guest = javascript(TIMERS)

    guest.evaluate(
        "for (const n of [1, 2]) setTimeout(() => { order.push(n); Promise.resolve().then(() => order.push(-n)) }); 0"
    )
    guest.host.now_ms += 1
    guest.resume()

    assert guest.evaluate("order.join()") == "1,-1,2,-2"


def test_cleared_timer_does_not_run_and_is_not_reported(javascript: JavaScript) -> None:
    guest = javascript(TIMERS)

    report = guest.event("eval", s="clearTimeout(at(5, 'never')); 0")

    assert "t" not in report


def test_interval_repeats_until_it_is_cleared(javascript: JavaScript) -> None:
    guest = javascript(TIMERS)

    guest.evaluate("const id = setInterval(() => { if (order.push('tick') === 2) clearInterval(id) }, 10); 0")
    reports = []
    for _ in range(3):
        guest.host.now_ms += 10
        reports.append(guest.resume())

    assert reports == [{"t": 10}, {}, {}]
    assert guest.evaluate("order.length") == 2


def test_timer_set_without_delay_waits_for_the_host(javascript: JavaScript) -> None:
    guest = javascript(TIMERS)

    report = guest.event("eval", s="(function again() { order.push(1); setTimeout(again, 0) })(); 0")

    assert report["t"] == 1
    assert guest.evaluate("order.length") == 1


def test_failing_timer_is_logged(javascript: JavaScript) -> None:
    guest = javascript(TIMERS)

    guest.evaluate("setTimeout(() => { throw new Error('in a timer') }, 1); 0")
    guest.host.now_ms += 1
    guest.resume()

    assert guest.host.log[0] == ("error", "a timer failed: Error: in a timer")


def test_too_many_timers_are_refused(javascript: JavaScript) -> None:
    source = "try { for (;;) setTimeout(() => {}, 1e6) } catch (error) { error.message }"

    assert "10000 timers are set" in javascript().evaluate(source)
