"""The table of cases and the judge that holds the suite to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance.cases import BACKENDS, CASES, DIFFERENCES, backends_of, cases_of, faults

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "howto" / "differences-from-cloudflare.md"
LISTED = {(difference.case, backend) for difference in DIFFERENCES for backend in difference.backends}
WHOLE = {(case, backend) for case in CASES for backend in backends_of(case)} - LISTED


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("test_case_54_an_alarm_fires", ["54"]),
        ("test_case_05_racing", ["5"]),
        ("test_case_e5_objects", ["E5"]),
        ("test_cases_50_to_52_what", ["50", "51", "52"]),
        ("test_cases_61_and_64_both", ["61", "64"]),
        ("test_cases_e13_to_e15_cursors", ["E13", "E14", "E15"]),
        ("test_a_case_of_its_own", []),
    ],
)
def test_a_name_says_which_cases(name: str, cases: list[str]) -> None:
    assert sorted(cases_of(name)) == sorted(case.lstrip("0") for case in cases)


def test_the_table_is_complete() -> None:
    assert list(CASES) == [*(str(number) for number in range(1, 94)), *(f"E{number}" for number in range(1, 29))]
    assert {difference.case for difference in DIFFERENCES} <= set(CASES)
    assert all(difference.reason and set(difference.backends) <= set(BACKENDS) for difference in DIFFERENCES)


def test_a_whole_run_has_no_faults() -> None:
    assert faults(WHOLE) == []
    assert faults(WHOLE, spoiled=LISTED) == []


def test_a_missing_pair_is_a_fault() -> None:
    (line,) = faults(WHOLE - {("54", "python")})

    assert line.startswith("case 54 for python")
    assert line.endswith("has no test that ran and passed")


def test_a_skipped_pair_is_a_fault_even_when_another_test_of_it_passed() -> None:
    (line,) = faults(WHOLE, spoiled=[("54", "javascript")])

    assert line.startswith("case 54 for javascript")
    assert "skipped or expected to fail" in line


def test_a_listed_pair_that_passes_is_a_fault() -> None:
    (line,) = faults(WHOLE | {("31", "trusted")})

    assert line.endswith("listed as a difference: take it off the list")


def test_a_case_that_is_not_in_the_table_is_a_fault() -> None:
    assert faults(WHOLE | {("99", "trusted")}) == ["case 99 is not in the table"]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: str(difference.case))
def test_the_page_of_differences_lists_each(difference: object) -> None:
    assert difference in DIFFERENCES
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    known = next(known for known in DIFFERENCES if known == difference)
    backends = "all" if known.backends == backends_of(known.case) else ", ".join(known.backends)

    assert f"| {known.case} | {CASES[known.case]} | {backends} | {known.reason} |" in lines


def test_the_page_lists_no_other() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    listed = [row.split("|")[1].strip() for row in rows]

    assert [case for case in listed if case in CASES] == [difference.case for difference in DIFFERENCES]


CONFTEST = """
from pathlib import Path
from tests.conformance.judge import Judge

def pytest_configure(config):
    config.pluginmanager.register(Judge(Path(__file__).resolve().parent))
"""
TEST = """
import pytest
from tests.conformance.cases import BACKENDS

@pytest.mark.parametrize("subject", BACKENDS)
def test_case_01_ids(subject):
    pass

@pytest.mark.parametrize("subject", BACKENDS)
def test_case_02_printed(subject):
    if subject == "python":
        pytest.skip("not today")
"""


@pytest.mark.parametrize(
    ("arguments", "is_judged"), [([], True), (["-k", "ids"], False), (["test_some.py"], False), (["-m", "not x"], True)]
)
def test_only_a_whole_run_is_judged(tmp_path: Path, arguments: list[str], *, is_judged: bool) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_some.py").write_text(TEST)
    files = [str(tmp_path / text) for text in arguments if text.endswith(".py")] or [str(tmp_path)]
    options = [text for text in arguments if not text.endswith(".py")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )

    assert ("the conformance suite is not whole" in run.stdout) == is_judged, run.stdout
    assert run.returncode == (1 if is_judged else 0)
    if is_judged:
        assert "case 2 for python" in run.stdout
        assert "case 3 for trusted" in run.stdout
        assert "case 1 for" not in run.stdout
