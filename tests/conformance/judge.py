"""The judge of the conformance suite: after a whole run, no pair of case and backend may be missing without a reason.

It is a pytest plugin. It says nothing when only a part was collected: with a file, a test, `-k` or `-m` given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.conformance.cases import BACKENDS, cases_of, faults

Pair = tuple[str, str]


def pairs_of(item: pytest.Item) -> list[Pair]:
    """The pairs of case and backend that a test runs."""
    callspec = getattr(item, "callspec", None)
    values = [] if callspec is None else [value for value in callspec.params.values() if isinstance(value, str)]
    name = getattr(item, "originalname", None) or item.name
    return [(case, backend) for case in cases_of(name) for backend in BACKENDS if backend in values]


class Judge:
    """Writes down what became of each test below `folder`, and judges at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_whole = False
        self.passed: set[Pair] = set()
        self.spoiled: set[Pair] = set()
        self.failed: set[Pair] = set()
        self.faults: list[str] = []

    def pytest_collection_modifyitems(self, config: pytest.Config) -> None:
        """Remember whether all of the folder was asked for."""
        given = [Path(str(argument).partition("::")[0]).resolve() for argument in config.args]
        is_named = any("::" in str(argument) for argument in config.args)
        self.is_whole = not is_named and any(path == self.folder or path in self.folder.parents for path in given)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Some of it was left out."""
        if any(self.folder in item.path.parents for item in items):
            self.is_whole = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Note how a test ended."""
        report: pytest.TestReport = yield  # type: ignore[assignment]  # a wrapper is sent what the inner hooks gave
        if self.folder in item.path.parents:
            pairs = pairs_of(item)
            if report.skipped:  # An expected failure is reported so, too.
                self.spoiled.update(pairs)
            elif report.failed:
                self.failed.update(pairs)
            elif report.when == "call":
                self.passed.update(pairs)
        return report  # type: ignore[return-value]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run when the suite is not whole."""
        was_cut_short = session.exitstatus not in {0, 1, 5} or session.shouldstop or session.shouldfail
        if not self.is_whole or session.config.option.collectonly or was_cut_short:
            return
        self.faults = faults(self.passed - self.failed, self.spoiled)
        if self.faults and session.exitstatus in {0, 5}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is missing."""
        if self.faults:
            terminalreporter.section("the conformance suite is not whole (tests/conformance/cases.py)", red=True)
            for line in self.faults:
                terminalreporter.line(line)
