"""What a running server can check of its own data directory: names, the journal, each database between its turns.

Effects: disk, tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import apsw

from perdure.errors import SqlInterruptedError, UnavailableError, UsageError
from perdure.objects import Directory
from perdure.server._admin_requests import Answer
from perdure.server._references import facet_paths
from perdure.storage import (
    Database,
    Finding,
    JournalReader,
    Layout,
    ListedObject,
    ObjectKey,
    check_names,
    facet_names,
    problem,
)


async def examine_running(layout: Layout, directory: Directory, objects: Iterator[ListedObject]) -> Answer:
    """What a running server can check of itself: names, the journal, and each database between its turns."""
    findings = await asyncio.to_thread(_examine_journal, layout)
    for listed in objects:
        if not listed.is_deleted:
            findings += await _examine_tree(directory, listed.key)
    return Answer([{"level": finding.level.value, "text": finding.text} for finding in findings])


def _examine_journal(layout: Layout) -> list[Finding]:
    findings = list(check_names(layout, is_running=True))
    try:
        reader = JournalReader(layout.journal)
    except apsw.Error as error:
        return [*findings, problem(f"the journal cannot be read: {error}")]
    try:
        findings += reader.findings(is_running=True)
        for each in reader.objects():
            findings += reader.history_findings(each.key, each.history)
    except apsw.Error as error:
        findings.append(problem(f"the journal is damaged: {error}"))
    finally:
        reader.close()
    return findings


async def _examine_tree(directory: Directory, key: ObjectKey) -> list[Finding]:
    name = f"{key.namespace}/{key.object_id.hex()}"
    try:
        names = await directory.visit(key, (), facet_names, cause="perdure doctor")
    except UsageError:
        return []  # It was deleted meanwhile.
    except UnavailableError as error:
        return [problem(f"`{name}`: {error}")]
    findings: list[Finding] = []
    for path in [(), *(path for _, path in facet_paths(names))]:
        try:
            said = await directory.visit(key, path, _quick_check, cause="perdure doctor")
        except (SqlInterruptedError, UsageError):
            continue  # Too large to be checked while it is in use, or gone.
        except UnavailableError as error:
            said = [str(error)]
        findings += [problem(f"`{name}`{':' if path else ''}{'/'.join(path)}: {line}") for line in said]
    return findings


def _quick_check(database: Database) -> list[str]:
    return [str(row[0]) for row in database.host_exec("PRAGMA quick_check(5)") if row[0] != "ok"]
