"""What the operator's commands do: ask, and show the answer. Effects: process, disk, network, tasks, terminal."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from perdure.cli._commands import errors_for_people
from perdure.cli._differences import difference_lines
from perdure.cli._logging import plain
from perdure.cli._moments import is_moment, milliseconds
from perdure.cli._tables import bytes_text, cell_text, table, time_text
from perdure.clock import SystemClock
from perdure.errors import UsageError
from perdure.server import (
    AdminRequest,
    Answer,
    CancelAlarm,
    DeleteObject,
    ExportObject,
    ForkObject,
    ImportObject,
    ListAlarms,
    ListKv,
    ListObjects,
    RewindObject,
    RunSql,
    SetAlarm,
    ShowDiff,
    ShowHistory,
    ShowStatistics,
    ShowTree,
    ask,
    examine,
)

_DEFAULT_DATA: Final = Path(".perdure")


def ls(pattern: str, *, limit: int, after: str, data: Path, as_json: bool) -> None:
    """List objects."""
    answer = _answer(ListObjects(pattern, after, limit), data, as_json=as_json)
    if answer is None:
        return
    rows = [
        (
            item["object"],
            "live" if item["is_live"] else "",
            str(item["facets"] or ""),
            bytes_text(item["size_bytes"]),
            time_text(item["changed_ms"]),
            time_text(item["alarm_ms"]),
        )
        for item in _items(answer)
    ]
    click.echo(table(("OBJECT", "STATE", "FACETS", "SIZE", "CHANGED", "ALARM"), sorted(rows)))
    if not rows:
        classes = ", ".join(f"`{name}`" for name in answer.summary.get("classes", []))  # type: ignore[attr-defined]
        click.echo(f"no objects{f'; there are some of {classes}' if classes else ''}", err=True)
    _tell_more(answer)


def tree(object_: str, *, data: Path, as_json: bool) -> None:
    """Show an object and its facets."""
    answer = _answer(ShowTree(object_), data, as_json=as_json)
    if answer is None:
        return
    rows = [
        (
            "  " * len(item["path"]) + (item["path"][-1] if item["path"] else item["object"]),
            "live" if item["is_live"] else "",
            bytes_text(item["size_bytes"]),
        )
        for item in _items(answer)
    ]
    click.echo(table(("OBJECT", "STATE", "SIZE"), rows))


def sql(
    object_: str,
    query: str,
    bindings: Sequence[str],
    *,
    may_write: bool,
    at: str,
    limit: int,
    data: Path,
    as_json: bool,
) -> None:
    """Run SQL in one database."""
    with errors_for_people(as_json=as_json):
        request = RunSql(object_, query, tuple(bindings), may_write, limit, _moment(at))
    answer = _answer(request, data, as_json=as_json)
    if answer is None:
        return
    columns = answer.summary["columns"]
    assert isinstance(columns, list), "an answer to SQL names its columns"
    if columns:
        click.echo(table(columns, [[cell_text(cell) for cell in row] for row in _rows(answer)]))
    if not answer.summary["is_complete"]:
        click.echo(f"… and more than these {len(answer.items)} rows: use LIMIT, or --limit", err=True)
    if may_write:
        click.echo(f"{answer.summary['rows_written']} rows written", err=True)
    _tell_undo(answer, data)


def kv(object_: str, prefix: str, *, limit: int, after: str, data: Path, as_json: bool) -> None:
    """List key-value entries."""
    answer = _answer(ListKv(object_, prefix, after, limit), data, as_json=as_json)
    if answer is None:
        return
    rows = [(cell_text(item["key"]), cell_text(item["value"])) for item in _items(answer)]
    click.echo(table(("KEY", "VALUE"), rows))
    _tell_more(answer)


def delete(object_: str, *, is_confirmed: bool, data: Path, as_json: bool) -> None:
    """Delete an object or a facet."""
    answer = _answer(DeleteObject(object_, is_confirmed), data, as_json=as_json)
    if answer is not None:
        click.echo(f"deleted {answer.summary['object']}")
        _tell_undo(answer, data)


def list_alarms(object_: str, *, limit: int, after: str, data: Path, as_json: bool) -> None:
    """List pending alarms."""
    answer = _answer(ListAlarms(object_, after, limit), data, as_json=as_json)
    if answer is None:
        return
    rows = [(time_text(item["at_ms"]), item["object"]) for item in _items(answer)]
    click.echo(table(("TIME", "OBJECT"), rows))
    _tell_more(answer)


def cancel_alarm(object_: str, *, data: Path, as_json: bool) -> None:
    """Cancel an alarm."""
    answer = _answer(CancelAlarm(object_), data, as_json=as_json)
    if answer is not None:
        click.echo(f"cancelled {answer.summary['object']}, which was for {time_text(answer.summary['at_ms'])}")
        _tell_undo(answer, data)


def set_alarm(object_: str, time: str, *, data: Path, as_json: bool) -> None:
    """Set an alarm."""
    with errors_for_people(as_json=as_json):
        at_ms = milliseconds(time, now_ms=SystemClock().now_ms())
    answer = _answer(SetAlarm(object_, at_ms), data, as_json=as_json)
    if answer is not None:
        click.echo(f"{answer.summary['object']} has an alarm at {time_text(answer.summary['at_ms'])}")
        _tell_undo(answer, data)


def history(object_: str, *, before: str, limit: int, data: Path, as_json: bool) -> None:
    """List commits."""
    with errors_for_people(as_json=as_json):
        request = ShowHistory(object_, _moment(before), limit)
    answer = _answer(request, data, as_json=as_json)
    if answer is None:
        return
    rows = [(item["bookmark"], time_text(item["at_ms"]), item["cause"]) for item in _items(answer)]
    click.echo(table(("BOOKMARK", "TIME", "CAUSE"), rows))
    if "before" in answer.summary:
        click.echo(f"… more: --before {answer.summary['before']}", err=True)
    if ":" in str(answer.summary["object"]):
        click.echo("these are the commits of the whole object: it has one history with its facets", err=True)
    if not answer.summary["is_kept"]:
        click.echo("no history is kept: these are only the commits that files do not hold yet", err=True)


def diff(object_: str, before: str, after: str, *, data: Path, as_json: bool) -> None:
    """Show differences."""
    with errors_for_people(as_json=as_json):
        request = ShowDiff(object_, _moment(before), _moment(after))
    answer = _answer(request, data, as_json=as_json)
    if answer is not None:
        lines = [line for item in _items(answer) for line in difference_lines(item)]
        click.echo("\n".join(lines) or "nothing differs")


def rewind(object_: str, to: str, *, data: Path, as_json: bool) -> None:
    """Go back."""
    with errors_for_people(as_json=as_json):
        request = RewindObject(object_, _moment(to))
    answer = _answer(request, data, as_json=as_json)
    if answer is not None:
        click.echo(f"{answer.summary['object']} is what it was; what was written since is taken back, whoever wrote it")
        _tell_undo(answer, data)


def fork(object_: str, name: str, *, at: str, data: Path, as_json: bool) -> None:
    """Copy an object."""
    with errors_for_people(as_json=as_json):
        request = ForkObject(object_, name, _moment(at))
    answer = _answer(request, data, as_json=as_json)
    if answer is not None:
        click.echo(f"made {answer.summary['object']}")
        _tell_undo(answer, data)


def export(object_: str, file: Path, *, at: str, data: Path, as_json: bool) -> None:
    """Write an object to a file."""
    with errors_for_people(as_json=as_json):
        request = ExportObject(object_, str(file.absolute()), _moment(at))
    answer = _answer(request, data, as_json=as_json)
    if answer is not None:
        click.echo(f"wrote {answer.summary['object']} to {file} ({bytes_text(answer.summary['size_bytes'])})")


def import_(file: Path, object_: str, *, data: Path, as_json: bool) -> None:
    """Make an object of a file."""
    answer = _answer(ImportObject(str(file.absolute()), object_), data, as_json=as_json)
    if answer is not None:
        click.echo(f"made {answer.summary['object']}")
        _tell_undo(answer, data)


def _moment(text: str) -> str:
    """A moment as requests have it: times become milliseconds, bookmarks stay."""
    if text == "now":
        return ""
    if not is_moment(text):
        if text and not re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{16}", text):
            raise UsageError(
                f"`{text[:80]}` is no moment: give a bookmark, as `perdure history` lists them, a time such as "
                "`2026-01-31T12:00:00Z`, or `-30s`, `-2h`"
            )
        return text
    return f"@{max(0, milliseconds(text, now_ms=SystemClock().now_ms()))}"


def doctor(*, data: Path, may_repair: bool, as_json: bool) -> None:
    """Check a data directory."""
    with errors_for_people(as_json=as_json):
        checkup = asyncio.run(examine(data.absolute(), may_repair=may_repair))
    if as_json:
        findings = [
            {"level": each.level.value, "text": each.text, "repair": each.repair and each.repair.value}
            for each in checkup.findings
        ]
        click.echo(json.dumps({"is_healthy": checkup.is_healthy, "items": findings, "repairs": checkup.repairs}))
    else:
        for done in checkup.repairs:
            click.echo(plain(f"repaired: {done}"))
        for finding in checkup.findings:
            can = f" (--repair would {finding.repair.value})" if finding.repair else ""
            click.echo(plain(f"{finding.level.value}: {finding.text}{can}"))
        where = f"`{data}`" + (", checked by the server that runs on it" if checkup.is_live else "")
        click.echo(f"{where}: {'all is well' if checkup.is_healthy else 'something is wrong'}")
    if not checkup.is_healthy:
        sys.exit(1)


def stats(*, data: Path, as_json: bool) -> None:
    """Show counts."""
    answer = _answer(ShowStatistics(), data, as_json=as_json)
    if answer is not None:
        click.echo(table(("WHAT", "COUNT"), [(name, str(count)) for name, count in answer.summary.items()]))


# ── asking and showing ───────────────────────────────────────────────────────────────────────────────────────


def _answer(request: AdminRequest, data: Path, *, as_json: bool) -> Answer | None:
    """The answer, unless it was shown as JSON."""
    with errors_for_people(as_json=as_json):
        answer = asyncio.run(ask(data.absolute(), request))
    for warning in _texts(answer.summary.get("warnings", [])):
        click.echo(f"perdure: {warning}", err=True)
    if not as_json:
        return answer
    if answer.summary.get("undo"):
        answer.summary["undo"] = _undo_words(answer, data)
    click.echo(json.dumps({**answer.summary, "items": answer.items}))
    return None


def _undo_words(answer: Answer, data: Path) -> list[str]:
    words = _texts(answer.summary["undo"])
    return words if data == _DEFAULT_DATA else [*words, "--data", str(data)]


def _tell_undo(answer: Answer, data: Path) -> None:
    if answer.summary.get("undo"):
        click.echo(f"undo it with: {shlex.join(_undo_words(answer, data))}")


def _tell_more(answer: Answer) -> None:
    if "after" in answer.summary:
        click.echo(f"… more: --after {shlex.quote(str(answer.summary['after']))}", err=True)


def _items(answer: Answer) -> list[dict[str, Any]]:
    return [item for item in answer.items if isinstance(item, dict)]


def _rows(answer: Answer) -> list[list[object]]:
    return [row for row in answer.items if isinstance(row, list)]


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list | tuple) else []
