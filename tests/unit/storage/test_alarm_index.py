"""The index of alarms with a hundred thousand entries: a page costs what a page holds, whatever else pends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from perdure.clock import SystemEntropy
from perdure.limits import ALARM_MS_MAX
from perdure.storage import DueAlarm
from perdure.storage._journal_alarms import DUE
from perdure.storage._sqlite_journal import SqliteJournal

PENDING = 100_000
FIRST_MS = 1_000_000


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    SqliteJournal(tmp_path / "0.db", entropy=SystemEntropy(), deliver=lambda tell: tell()).close()
    with apsw.Connection(str(tmp_path / "0.db")) as connection:
        connection.execute(
            "WITH RECURSIVE each(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM each WHERE k < ?1) "
            "INSERT INTO object(namespace, object_id, epoch, claim, head, head_digest, forgotten, forgotten_digest) "
            "SELECT 'Sleeper', randomblob(32), 1, '', 1, x'', 1, x'' FROM each",
            (PENDING,),
        )
        connection.execute(
            "INSERT INTO alarm(object, number, at_ms, look_ms) SELECT n, 0, ?1 + n, ?1 + n FROM object", (FIRST_MS,)
        )
    connection.close()
    journal = SqliteJournal(tmp_path / "0.db", entropy=SystemEntropy(), deliver=lambda tell: tell())
    yield journal
    journal.close()


def test_all_are_found_in_order_page_by_page(journal: SqliteJournal) -> None:
    seen = 0
    last: DueAlarm | None = None
    while page := journal.due_alarms(until_ms=ALARM_MS_MAX, limit=5_000, after=last):
        assert [alarm.at_ms for alarm in page] == list(range(FIRST_MS + seen + 1, FIRST_MS + seen + 1 + len(page)))
        seen, last = seen + len(page), page[-1]

    assert seen == PENDING


def test_a_page_is_found_by_the_index_alone(journal: SqliteJournal, tmp_path: Path) -> None:
    plan = " ".join(
        str(row[3]) for row in journal._writer.execute(f"EXPLAIN QUERY PLAN {DUE}", (ALARM_MS_MAX, -1, "", b"", 0, 33))
    )

    assert "SEARCH alarm USING INDEX alarm_due" in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan


def test_postponed_ones_are_hurried_without_touching_the_rest(journal: SqliteJournal) -> None:
    first = journal.due_alarms(until_ms=ALARM_MS_MAX, limit=3)
    journal.postpone_alarms([(alarm, FIRST_MS * 10) for alarm in first])
    assert journal.due_alarms(until_ms=ALARM_MS_MAX, limit=1)[0].at_ms == FIRST_MS + 4

    journal.hurry_alarms(namespace="Sleeper")

    assert journal.due_alarms(until_ms=ALARM_MS_MAX, limit=3) == first
