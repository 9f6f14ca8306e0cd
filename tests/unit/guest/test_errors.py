"""Errors on their way across."""

from __future__ import annotations

import pytest

from perdure.errors import GuestError, KvError, LimitExceededError, SqlError
from perdure.guest._errors import TRACEBACK_CHARACTERS_MAX, error_shape, format_traceback, raise_reply


def run(source: str) -> BaseException:
    """The exception that `source` raises, run as the worker's own file."""
    try:
        exec(compile(source, "worker.py", "exec"), {})
    except BaseException as error:  # noqa: BLE001  # the one that is wanted
        return error
    raise AssertionError("it raised nothing")


def is_own(filename: str) -> bool:
    return filename == "worker.py"


def test_frames_of_the_sandbox_are_left_out() -> None:
    text = format_traceback(run("def f():\n    return 1 / 0\nf()\n"), is_own)

    assert text.splitlines() == [
        "Traceback (most recent call last):",
        '  File "worker.py", line 3, in <module>',
        '  File "worker.py", line 2, in f',
        "ZeroDivisionError: division by zero",
    ]


def test_cause_is_kept() -> None:
    text = format_traceback(
        run("try:\n    1 / 0\nexcept ArithmeticError as e:\n    raise ValueError('b') from e\n"), is_own
    )

    assert text.startswith('Traceback (most recent call last):\n  File "worker.py", line 2')
    assert "direct cause" in text
    assert text.endswith("ValueError: b")


def test_group_shows_its_members() -> None:
    text = format_traceback(run("raise ExceptionGroup('both', [ValueError('a'), KeyError('b')])"), is_own)

    assert "ValueError: a" in text
    assert "KeyError: 'b'" in text
    assert "test_errors" not in text


def test_endless_recursion_is_shown_short() -> None:
    text = format_traceback(run("def f(): f()\nf()"), is_own)

    assert len(text) < 4000
    assert text.endswith("RecursionError: maximum recursion depth exceeded")


def test_long_traceback_is_cut_in_the_middle() -> None:
    text = format_traceback(run("raise ValueError('x' * 100_000 + 'end')"), is_own)

    assert len(text) < TRACEBACK_CHARACTERS_MAX + 10
    assert text.endswith("xend")


def test_message_that_cannot_be_made_is_said_so() -> None:
    shape = error_shape(run("class E(Exception):\n    def __str__(self): raise E()\nraise E('a')"), is_own)

    assert shape["message"] == "(its text could not be made)"


def test_platform_error_keeps_its_code() -> None:
    shape = error_shape(KvError("no"), is_own)

    assert (shape["type"], shape["code"], shape["message"]) == ("KvError", "kv", "no")


def test_guest_error_keeps_the_far_type() -> None:
    error = GuestError("far", type_name="TypeError")

    shape = error_shape(error, is_own)

    assert (shape["type"], shape["remote"]) == ("TypeError", True)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ('{"type": "SqlError", "message": "near x", "code": "sql"}', SqlError),
        ('{"type": "KeyError", "message": "near x"}', KeyError),
        ('{"type": "TypeError", "message": "near x", "remote": true}', TypeError),
        ('{"type": "Unheard", "message": "near x"}', GuestError),
        ('{"type": "UnicodeDecodeError", "message": "near x"}', GuestError),
        ('{"type": "SystemExit", "message": "near x"}', GuestError),
        ('{"type": "print", "message": "near x"}', GuestError),
    ],
)
def test_reply_is_raised_as_its_own_type(reply: str, kind: type[BaseException]) -> None:
    with pytest.raises(kind, match="near x") as caught:
        raise_reply(reply)

    assert type(caught.value) is kind


def test_reply_that_needs_more_than_a_message_keeps_its_name() -> None:
    with pytest.raises(GuestError) as caught:
        raise_reply('{"type": "LimitExceededError", "message": "cpu"}')

    assert caught.value.type_name == LimitExceededError.__name__
