"""Standard streams as log lines."""

from __future__ import annotations

from perdure.guest._console import LogStream
from perdure.limits import LOG_LINE_BYTES_MAX
from perdure.wire import HostOp


def logged(*texts: str, level: str = "log", flush: bool = True) -> list[str]:
    lines: list[str] = []

    def ask(op: int, key: str, payload: str) -> str:
        assert (op, key) == (HostOp.LOG, level)
        lines.append(payload)
        return ""

    stream = LogStream(level, ask)
    for text in texts:
        stream.write(text)
    if flush:
        stream.flush_line()
    return lines


def test_a_line_is_logged_when_it_is_complete() -> None:
    assert logged("a", "b\nc", flush=False) == ["ab"]


def test_the_rest_is_logged_at_the_end() -> None:
    assert logged("a\n\nb", level="error") == ["a", "", "b"]


def test_long_line_is_cut_and_says_so() -> None:
    [line] = logged("x" * (LOG_LINE_BYTES_MAX + 1) + "\n")

    assert line.endswith(f"… ({LOG_LINE_BYTES_MAX + 1} characters)")


def test_line_without_end_is_not_kept_for_ever() -> None:
    assert len(logged(*["x" * 1000] * 20, flush=False)) == 2


def test_lone_surrogate_is_logged_as_a_question_mark() -> None:
    assert logged("a\ud800b\n") == ["a?b"]
