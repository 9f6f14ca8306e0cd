"""The behaviour cases: what each is called, and where we deliberately differ.

The numbers are those of the list that the suite is written against: 1 to 93, and E1 to E28. A test says in its name
which case it runs, `test_case_54_…` or `test_case_e5_…` (`test_cases_50_to_52_…` for several), and in its parameters
for which backend. `tests/conformance/judge.py` holds the suite to this table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

BACKENDS: Final = ("trusted", "python", "javascript")

CASES: Final = {
    "1": "ids from names are the reference system's, to the last digit",
    "2": "an id survives being printed",
    "3": "what is no id of this namespace is refused",
    "4": "an object knows its name, unless that is longer than 1,024 bytes",
    "5": "racing first calls meet one instance",
    "6": "a broken object stays broken for its stub; a new stub reaches a fresh one",
    "7": "abort drops what the turn wrote",
    "8": "nothing runs after an abort",
    "9": "a failing handler resets nothing; its error crosses with name, message and properties",
    "10": "ten idle seconds evict",
    "11": "preventEviction keeps an object in memory",
    "12": "a pending timer keeps an object in memory, and ten seconds more",
    "13": "an endless interval does not, once nobody has called for long",
    "14": "data survives the process, in plain SQLite files",
    "15": "ctx.exports and a namespace reach the same instance",
    "16": "an entry point of ctx.exports is called bare or with props; a class without storage is a class handle",
    "17": "ctx.exports works in an object, in a facet and in a dynamic worker",
    "18": "a class without the base answers HTTP, and no calls",
    "19": "events run one at a time, in the order in which they came",
    "20": "what follows a critical section runs before what waited for its end",
    "21": "critical sections follow each other, and go before ordinary events",
    "22": "a failing nested section breaks its object",
    "23": "sections nest 64 deep; one more is refused and harmless",
    "24": "a section that fails in the constructor fails the first call; the next constructs anew",
    "25": "a failed write fails those who waited for it, not those who waited for earlier ones",
    "26": "no reply leaves before its writes are durable",
    "27": "unconfirmed writes hold nobody up",
    "28": "one confirmed write makes its whole unit confirmed",
    "29": "an unconfirmed write that fails breaks its object all the same",
    "30": "no call to the outside leaves before the writes that precede it are durable",
    "31": "messages of sockets wait for the output gate, in order",
    "32": "a constraint violated at commit resets the object to its last good state",
    "33": "a full disk breaks the object, even when its code catches the error",
    "34": "ranges of kv.list",
    "35": "only the newest kv.list is live",
    "36": "missing keys",
    "37": "a batch is stored whole or not at all",
    "38": "transactions commit, roll back and rethrow",
    "39": "an outer transaction that is rolled back takes its inner ones along",
    "40": "transactionSync nests, and undoes what failed only",
    "41": "tables made in a rolled-back transaction are made again",
    "42": "deleteAll forgets what the same turn wrote, and every table",
    "43": "deleteAll takes the alarm along, or keeps it when asked to",
    "44": "a cursor's rows, and its only row",
    "45": "columns of the same name",
    "46": "a query without a statement, and where a syntax error is",
    "47": "several statements in one exec",
    "48": "internal tables are out of reach",
    "49": "BEGIN and its kin point to transaction()",
    "50": "which PRAGMAs are allowed",
    "51": "which functions are allowed",
    "52": "no temporary tables, no ATTACH, known virtual tables only",
    "53": "rows read and written are counted",
    "54": "an alarm fires when it is due, and is gone in its handler",
    "55": "a deleted alarm never fires",
    "56": "an alarm wakes a cold object, which knows its name",
    "57": "alarms survive the process",
    "58": "a failing alarm is retried six times, ever later, and then abandoned",
    "59": "abort in a handler may drop the retry",
    "60": "an alarm whose commit failed fires again",
    "61": "facets are objects of their own, with files of their own",
    "62": "facets are found again after a restart, whatever the order",
    "63": "a running facet asks no start callback",
    "64": "abort breaks a facet's stubs and keeps its data",
    "65": "delete forgets a facet and all below it",
    "66": "a facet's id and props",
    "67": "a facet's name has 256 bytes at most",
    "68": "trees have four levels",
    "69": "an alarm in a facet",
    "70": "abort while a start callback waits",
    "71": "clone copies a facet with all below it",
    "72": "clone over another facet, of nothing, and onto itself",
    "73": "facets' numbers are stable and never used twice; a damaged index is noticed",
    "74": "a facet's stub cannot be sent or stored",
    "75": "a dynamic worker's class runs as a facet, apart from its parent's data",
    "76": "a start callback that failed is asked again",
    "77": "a facet has its own hibernated sockets, its parent has its own",
    "78": "entry points of a dynamic worker, by HTTP and by call",
    "79": "who shares a sandbox",
    "80": "a dynamic worker sees the env it was given and no other",
    "81": "what a dynamic worker's fetch reaches: nothing, its parent's way out, or a fetcher",
    "82": "a failing loader callback is passed on; a module that throws says what it threw",
    "83": "modules of unknown kinds, of two kinds, of another language, or none",
    "84": "a dynamic worker that aborts its isolate is loaded anew",
    "85": "what belongs to a dynamic worker cannot be handed on",
    "86": "what is no method of the class cannot be called",
    "87": "calls and properties of results that have not come yet",
    "88": "calls on one stub start in order",
    "89": "who disposes of a stub that is a parameter",
    "90": "a disposed stub says so",
    "91": "what cannot be copied names its type",
    "92": "errors that cross say where they come from",
    "93": "streams, Request, Response, Headers and Blob as arguments and results",
    "E1": "unique ids are unique, and have no name",
    "E2": "by name, by id and with a hint, the same instance is reached",
    "E3": "a stub has id and name of its own, and what its holder gives it",
    "E4": "jurisdictions: none is fine, a known one keeps ids apart, an unknown one is refused",
    "E5": "objects without storage, by any string",
    "E6": "a waiter at the output gate waits for the locks before it, and no others",
    "E7": "sync() waits for the writes before it",
    "E8": "an explicit transaction that rolls back keeps what was written before it",
    "E9": "a broken storage says why, whatever is asked",
    "E10": "the wrong number of bindings",
    "E11": "bytes and nulls come back as they were",
    "E12": "how many terms a compound select has",
    "E13": "two cursors of one statement; a statement sees a changed schema",
    "E14": "the database grows and shrinks by pages",
    "E15": "a cursor outlives the handle it came from",
    "E16": "bookmarks grow, also over restarts",
    "E17": "an alarm moved earlier or later, and the commit",
    "E18": "an alarm set in a rolled-back transaction",
    "E19": "a stale firing runs nothing",
    "E20": "how large code and env may be",
    "E21": "a module's bytes are copied when they are given",
    "E22": "a loader callback that another request settles",
    "E23": "a stub of an object as parameter, in props, in env, as a tail",
    "E24": "a stub that is collected while its worker loads",
    "E25": "a path of properties has 64 steps at most",
    "E26": "methods may be called get, put and delete",
    "E27": "a stub outside of the request that it belongs to",
    "E28": "which exports can be stored and sent",
}

_GUESTS: Final = ("python", "javascript")
_FIRST_OF_GUESTS: Final = {"E": 20, "": 78}
"""From here on the cases are about dynamic workers and calls, and are asked of guests alone."""


def backends_of(case: str) -> tuple[str, ...]:
    """The backends that a case is asked of."""
    letter = "E" if case.startswith("E") else ""
    return _GUESTS if int(case.removeprefix("E")) >= _FIRST_OF_GUESTS[letter] else BACKENDS


@dataclass(frozen=True)
class Difference:
    """A pair of case and backends that does not pass here, on purpose or not yet, and why."""

    case: str
    reason: str
    backends: tuple[str, ...] = BACKENDS


DIFFERENCES: Final = (
    Difference("13", "timers of trusted code are the event loop's: none is seen that was not given to `wait_until`, "
               "which keeps an object in memory for 15 minutes", ("trusted",)),
    Difference("31", "there are no WebSockets yet"),
    Difference("77", "there are no WebSockets yet"),
    Difference("E5", "every object has a database, whose file is made with the first write: an object that writes "
               "nothing costs what one without storage would"),
    Difference("93", "not built yet", _GUESTS),
)  # fmt: skip

_NAME: Final = re.compile(r"test_cases?_(?P<first>e?\d+)(?:_(?P<how>to|and)_(?P<last>e?\d+))?(?:_|$)")


def cases_of(test_name: str) -> Iterator[str]:
    """The cases that a test of this name runs; none when its name says nothing of cases."""
    match = _NAME.match(test_name)
    if match is None:
        return
    first = match["first"].upper()
    last = (match["last"] or first).upper()
    letter = "E" if first.startswith("E") else ""
    numbers = [int(text.removeprefix("E")) for text in (first, last)]
    yield from (f"{letter}{n}" for n in (range(numbers[0], numbers[1] + 1) if match["how"] == "to" else {*numbers}))


def faults(passed: Iterable[tuple[str, str]], spoiled: Iterable[tuple[str, str]] = ()) -> list[str]:
    """What is wrong with a whole run of the suite, one line for each pair.

    `passed`: the pairs of case and backend that a test ran and passed. `spoiled`: those that some test skipped, or
    expected to fail.
    """
    there, bad = set(passed), set(spoiled)
    listed = {(difference.case, backend) for difference in DIFFERENCES for backend in difference.backends}
    lines = [f"case {case} is not in the table" for case, _ in sorted(there | bad) if case not in CASES]
    for case, title in CASES.items():
        for backend in backends_of(case):
            pair = (case, backend)
            name = f"case {case} for {backend} ({title})"
            if pair in listed and pair in there:
                lines.append(f"{name} passes, and is listed as a difference: take it off the list")
            elif pair not in listed and pair in bad:
                lines.append(f"{name} is skipped or expected to fail, and not listed as a difference")
            elif pair not in listed and pair not in there:
                lines.append(f"{name} has no test that ran and passed")
    return lines
