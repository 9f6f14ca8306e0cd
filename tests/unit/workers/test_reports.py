"""A guest's reports: what they say, and that a forger gets nothing but an error of his own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import GuestCrashedError, GuestError, LimitExceededError, WorkerLoadError
from perdure.limits import GUEST_PENDING_OPERATIONS_MAX, GUEST_REPORT_BYTES_MAX, SECTIONS_WAITING_MAX
from perdure.workers._reports import Report, guest_error, parse_loaded, parse_report

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([0, 1, "begin", "end", "fail", "ok", "exports", "facet.call", 10**400]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from([*"dotps", "ok", "error", "exports", "message", "type", "traceback"]), inner),
    max_leaves=20,
)  # fmt: skip
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "d": st.lists(st.tuples(JSON, JSON, JSON) | JSON, max_size=3),
        "o": st.lists(st.tuples(JSON, JSON, JSON) | JSON, max_size=3),
        "s": st.lists(st.tuples(JSON, JSON) | st.tuples(JSON, JSON, JSON) | JSON, max_size=3),
        "t": JSON,
        "p": JSON,
    },
)
LOADED = (
    JSON
    | st.fixed_dictionaries({"ok": st.fixed_dictionaries({"exports": JSON})})
    | st.fixed_dictionaries({"error": JSON})
)
DEEP = "[" * 900 + "]" * 900


def test_an_empty_report_says_nothing() -> None:
    assert parse_report("{}") == Report([], [], None, 0, [], [], [])


def test_a_report_is_read() -> None:
    report = parse_report(
        json.dumps(
            {
                "d": [[1, 1, {"a": 1}], [2, 0, {"type": "KeyError", "message": "k", "traceback": "t"}]],
                "o": [[5, "facet.call", {"f": "x"}]],
                "t": 12.5,
                "p": 2,
                "s": [["begin", 1], ["end", 1], ["fail", 2, {"message": "m"}]],
            }
        )
    )

    assert [(done.event_id, done.result) for done in report.done] == [(1, {"a": 1}), (2, None)]
    error = report.done[1].error
    assert error is not None
    assert (str(error), error.type_name, error.guest_traceback) == ("k", "KeyError", "t")
    assert [(o.operation_id, o.kind, o.payload) for o in report.operations] == [(5, "facet.call", {"f": "x"})]
    assert (report.timer_ms, report.pending) == (12.5, 2)
    assert [(change.kind, change.section_id) for change in report.sections] == [("begin", 1), ("end", 1), ("fail", 2)]


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", "[]", "1", "null", '{"d":1}', '{"d":[1]}', '{"d":[[1,1]]}', '{"d":[["1",1,2]]}',
        '{"d":[[true,1,2]]}', '{"d":[[-1,1,2]]}', '{"d":[[1e3,1,2]]}', '{"d":[[9007199254740992,1,2]]}',
        '{"o":[[1,"k"]]}', '{"o":[[1,"k",[]]]}', '{"o":[[1,["k"],{}]]}', '{"t":"1"}', '{"t":-1}',
        '{"t":NaN}', '{"t":true}', '{"p":-1}',
        '{"p":1.5}', '{"s":[["other",1]]}', '{"s":[[["begin"],1]]}', '{"s":[["begin"]]}', '{"s":{}}', DEEP,
    ],
)  # fmt: skip
def test_a_malformed_report_means_that_the_guest_took_its_runtime_over(text: str) -> None:
    with pytest.raises(GuestCrashedError, match="malformed report"):
        parse_report(text)


@pytest.mark.parametrize("delay", ["1" + "0" * 400, "Infinity", "1e308"])
def test_a_timer_far_away_is_a_year_away(delay: str) -> None:
    assert parse_report(f'{{"t":{delay}}}').timer_ms == 366 * 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("key", "item", "most"),
    [("o", [1, "k", {}], GUEST_PENDING_OPERATIONS_MAX), ("s", ["begin", 1], 3 * SECTIONS_WAITING_MAX)],
)
def test_too_many_operations_in_one_turn_exceed_a_limit(key: str, item: object, most: int) -> None:
    parse_report(json.dumps({key: [item] * most}))

    with pytest.raises(LimitExceededError) as caught:
        parse_report(json.dumps({key: [item] * (most + 1)}))
    assert caught.value.limit == "host_calls"


def test_a_report_has_a_greatest_size() -> None:
    with pytest.raises(LimitExceededError) as caught:
        parse_report(" " * (GUEST_REPORT_BYTES_MAX + 1))
    assert caught.value.limit == "output"


@pytest.mark.parametrize(
    "place", ['{"d":[[1,0,%s]]}', '{"d":[[1,0,{"message":%s}]]}', '{"s":[["fail",1,{"type":%s}]]}']
)
def test_deep_nesting_instead_of_words_is_harmless(place: str) -> None:
    for depth in range(400, 1000, 25):
        try:
            parse_report(place % ("[" * depth + "]" * depth))
        except GuestCrashedError:
            continue


@settings(max_examples=40)
@given(SHAPED | JSON)
def test_hostile_reports_give_the_guests_errors_only(tree: object) -> None:
    text = json.dumps(tree)
    try:
        parse_report(text)
    except GuestError:
        return


@settings(max_examples=40)
@given(LOADED)
def test_hostile_answers_to_load_give_the_guests_errors_only(tree: object) -> None:
    try:
        exports = parse_loaded(json.dumps(tree))
    except GuestError:
        return
    assert all(isinstance(name, str) and isinstance(kind, str) for name, kind in exports.items())


@given(st.text())
def test_hostile_text_gives_the_guests_errors_only(text: str) -> None:
    for parse in (parse_report, parse_loaded):
        try:
            parse(text)
        except GuestError:
            continue


@given(JSON)
def test_any_description_of_an_error_is_an_error(shape: object) -> None:
    error = guest_error(shape)

    assert isinstance(error.type_name, str)
    assert len(str(error)) <= 100_000


def test_loaded_exports_are_read() -> None:
    assert parse_loaded('{"ok":{"exports":{"App":"object","default":"entrypoint"}}}') == {
        "App": "object",
        "default": "entrypoint",
    }


def test_82_a_failed_start_shows_the_guests_own_words() -> None:
    shape = {"type": "ValueError", "message": "intentional startup error", "traceback": ""}

    with pytest.raises(WorkerLoadError, match="Failed to start Worker: ValueError: intentional startup error"):
        parse_loaded(json.dumps({"error": shape}))


def test_an_answer_of_too_many_values_is_a_limit_not_a_bomb() -> None:
    with pytest.raises(LimitExceededError, match="more than 250000 values") as caught:
        parse_report('{"d":[[1,1,[[' + "[]," * 10_000_000 + "0]]]]}")

    assert caught.value.limit == "output"


def test_a_module_with_too_many_exports_is_told_the_bound() -> None:
    with pytest.raises(WorkerLoadError, match="has 2000 exports, the limit is 1000"):
        parse_loaded(json.dumps({"ok": {"exports": {f"name{number}": "object" for number in range(2000)}}}))
