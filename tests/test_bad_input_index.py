"""What bad input gets, and which tests say so: a clear error, nothing acknowledged lost, nothing half there."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent
PROVEN_BY: Final = {
    "full disk": [
        "e2e/test_full_disk.py::test_a_full_disk_fails_writes_and_loses_nothing",
        "e2e/test_full_disk.py::test_kill_9_on_a_full_disk_loses_nothing",
        "e2e/test_failing_disk.py::test_each_command_says_that_the_disk_is_full",
        "conformance/test_full_disk.py::test_case_33_a_full_disk",
        "power/test_full_disk.py::test_full_disk_of_the_journal",
        "unit/history/test_past.py::test_a_full_disk_for_the_past_stops_nobody",
    ],
    "read-only disk": ["e2e/test_failing_disk.py::test_each_command_says_that_the_disk_is_read_only"],
    "EIO": [
        "e2e/test_failing_disk.py::test_each_command_says_that_the_journal_cannot_be_read",
        "e2e/test_failing_disk.py::test_an_object_that_cannot_be_read_is_named",
        "faults/test_disk_faults.py::test_a_disk_that_fails_once_or_for_good",
    ],
    "a WAL cut": [
        "e2e/test_broken_files.py::test_a_torn_end_of_the_journal_is_what_was_never_acknowledged",
        "unit/storage/test_record.py::test_every_truncation_is_noticed",
    ],
    "a history file cut": [
        "unit/history/test_damage.py::test_cut_at_every_byte",
        "unit/history/test_checkup.py::test_a_file_that_was_cut_at_any_byte_is_named",
        "unit/history/test_bundle.py::test_cut_anywhere_it_is_refused",
    ],
    "a database replaced by garbage": [
        "e2e/test_broken_files.py::test_a_broken_database_is_named_and_others_go_on",
        "e2e/test_operator.py::test_what_became_garbage_is_named_by_every_command",
        "unit/server/test_doctor.py::test_a_damaged_database_is_named",
        "unit/storage/test_database.py::test_a_damaged_file_is_refused_or_read_never_worse",
    ],
    "two processes on one directory": [
        "e2e/test_crash.py::test_a_second_process_on_the_same_data_is_refused_and_told_why",
        "e2e/test_operator.py::test_a_directory_in_use_without_a_socket_is_named_with_its_process",
    ],
    "a clock jumping backwards": [
        "conformance/test_clock_set_back.py::test_bookmarks_grow_and_name_what_they_named",
        "conformance/test_clock_set_back.py::test_a_time_of_the_history_is_found_or_refused",
        "conformance/test_clock_set_back.py::test_an_alarm_fires_once_at_its_wall_time",
        "conformance/test_clock_set_back.py::test_a_retry_is_neither_lost_nor_early",
        "conformance/test_clock_set_back.py::test_new_ids_stay_distinct",
    ],
    "an alarm handler that always fails": [
        "conformance/test_alarms.py::test_case_58_a_failing_alarm_is_tried_seven_times"
    ],
    "an alarm handler that never ends": [
        "conformance/test_alarms.py::test_case_58_a_handler_that_takes_too_long_is_ended_and_that_counts"
    ],
    "a transaction left open": [
        "conformance/test_transactions.py::test_a_transaction_that_takes_too_long_resets_the_object",
        "conformance/test_transactions.py::test_nothing_of_an_open_transaction_is_there_after_a_crash",
        "unit/storage/test_transactions.py::test_a_transaction_of_one_turn_that_is_left_open_breaks_the_database",
    ],
    "100,000 facets": ["conformance/test_many_facets.py::test_a_hundred_thousand_facets_are_used_as_a_few_are"],
    "a configuration that does not fit": [
        "e2e/test_projects.py::test_what_is_wrong_at_the_start_ends_it_with_words",
        "unit/config/test_worker.py::test_what_is_wrong_is_refused_where_it_stands",
        "unit/config/test_classes.py::test_a_migration_that_does_not_fit_is_refused",
        "unit/server/test_projects.py::test_a_class_that_is_not_in_the_code_is_refused_and_its_migration_is_not_applied",
        "unit/server/test_projects.py::test_code_that_does_not_load_is_told_at_the_start",
        "unit/server/test_projects.py::test_modules_in_a_cycle_load",
    ],
    "a peer that sends malformed Cap'n Web": [
        "unit/capnweb/test_protocol.py::test_a_message_that_breaks_the_protocol_is_refused_with_the_reason",
        "unit/capnweb/test_protocol.py::test_whatever_a_peer_sends_is_an_act_or_a_refusal",
        "unit/capnweb/test_session.py::test_a_peer_that_breaks_the_protocol_is_told_why",
        "unit/capnweb/test_hostile_peers.py::test_whatever_a_peer_says_the_session_ends_cleanly",
        "interop/test_npm_client.py::test_npm_client",
        "interop/test_npm_server.py::test_broken_connections",
    ],
    "a peer that leaks stubs, or takes nothing": [
        "unit/capnweb/test_protocol.py::test_a_peer_that_releases_nothing_is_cut_off",
        "unit/capnweb/test_protocol.py::test_values_that_a_peer_pushes_and_does_not_release_are_bounded_in_bytes",
        "unit/capnweb/test_session.py::test_too_many_calls_at_once_end_the_session",
        "unit/capnweb/test_hostile_peers.py::test_a_peer_that_takes_nothing_is_cut_off",
    ],
    "a message over the limit": [
        "unit/capnweb/test_protocol.py::test_a_message_over_the_limit_is_not_sent",
        "unit/capnweb/test_protocol.py::test_a_message_is_measured_before_it_is_read",
        "unit/server/test_websocket.py::test_a_message_over_the_limit_ends_the_connection",
    ],
    "names": [
        "conformance/test_names.py::test_a_facet_may_be_called_so",
        "conformance/test_names.py::test_a_facets_name_has_256_bytes_and_not_one_more",
        "conformance/test_names.py::test_a_key_may_be_called_so",
        "conformance/test_names.py::test_an_object_may_be_called_so_and_commands_reach_it",
    ],
    "forbidden SQL": [
        "escapes/test_sql_escapes.py::test_the_attempt_fails_here",
        "unit/storage/test_authorizer.py::test_what_reaches_beyond_the_database_is_refused",
        "unit/storage/test_authorizer.py::test_transactions_are_refused_with_what_to_use",
    ],
}


@pytest.mark.parametrize("kind", PROVEN_BY)
def test_each_kind_of_bad_input_has_its_tests(kind: str) -> None:
    for place in PROVEN_BY[kind]:
        file, _, name = place.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
