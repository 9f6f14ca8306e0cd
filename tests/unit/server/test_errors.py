"""Errors as answers: repairable while developing, silent in production, always logged under their id."""

from __future__ import annotations

import asyncio

import pytest

from perdure.errors import (
    GuestError,
    LimitExceededError,
    ObjectResetError,
    OverloadedError,
    PerdureError,
    UsageError,
    WorkerLoadError,
)
from perdure.server._errors import ErrorAnswers, report_of, status_of
from perdure.web import Request, Response


class FixedEntropy:
    def random_bytes(self, size: int) -> bytes:
        return b"\xab" * size


REQUEST = Request("http://localhost/x")
BROWSER = Request("http://localhost/x", headers={"accept": "text/html,*/*"})
GUEST_ERROR = GuestError("'<x>'", type_name="KeyError", guest_traceback='  File "app.py", line 3, in fetch\n')


def answer(error: Exception, *, request: Request = REQUEST, show_details: bool = True) -> Response:
    return ErrorAnswers(show_details=show_details, entropy=FixedEntropy())(request, error)


def text_of(response: Response) -> str:
    return asyncio.run(response.text())


def raised(error: Exception) -> Exception:
    """The error with a traceback that begins in this file."""
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("x"), 500),
        (GUEST_ERROR, 500),
        (LimitExceededError("too long", limit="cpu"), 500),
        (UsageError("x"), 500),
        (OverloadedError("x"), 503),
        (ObjectResetError("x"), 503),
    ],
)
def test_what_may_pass_is_503_and_the_rest_500(error: PerdureError, status: int) -> None:
    assert status_of(error) == status
    assert answer(error).headers.has("retry-after") == (status == 503)


def test_a_guests_error_shows_its_own_traceback() -> None:
    text = text_of(answer(GUEST_ERROR))

    assert text == "KeyError: '<x>'\n\n  File \"app.py\", line 3, in fetch\n\nerror abababababab\n"


def test_a_type_that_the_message_begins_with_is_not_repeated() -> None:
    assert report_of(GuestError("SyntaxError: bad", type_name="SyntaxError")).title == "SyntaxError: bad"


def test_a_traceback_that_says_everything_stands_alone() -> None:
    traceback = 'Traceback (most recent call last):\n  File "app.py", line 3, in fetch\nKeyError: 1'

    assert text_of(answer(GuestError("1", type_name="KeyError", guest_traceback=traceback))) == (
        f"{traceback}\n\nerror abababababab\n"
    )


def test_a_traceback_inside_the_message_is_shown_once() -> None:
    traceback = '  File "app.py", line 1\nSyntaxError: invalid syntax'
    error = WorkerLoadError(
        f"Failed to start Worker: {traceback}", type_name="SyntaxError", guest_traceback=f"{traceback}\n"
    )

    report = report_of(error)

    assert (report.title, report.traceback) == ("SyntaxError: Failed to start Worker", traceback)


def test_errors_of_ours_are_named_without_their_module() -> None:
    assert text_of(answer(raised(UsageError("not so")))).startswith("UsageError: not so\n\n")


def test_an_error_in_trusted_code_shows_its_frames() -> None:
    text = text_of(answer(raised(ZeroDivisionError("by zero"))))

    assert text.startswith("ZeroDivisionError: by zero\n")
    assert "test_errors.py" in text


def test_a_browser_gets_a_page_with_everything_escaped() -> None:
    page = answer(GUEST_ERROR, request=BROWSER)

    assert page.headers["content-type"] == "text/html;charset=UTF-8"
    assert "<h1>KeyError: &#x27;&lt;x&gt;&#x27;</h1>" in text_of(page)
    assert "<x>" not in text_of(page)


@pytest.mark.parametrize("request_", [REQUEST, BROWSER])
def test_production_shows_an_id_only(request_: Request, caplog: pytest.LogCaptureFixture) -> None:
    text = text_of(answer(GUEST_ERROR, request=request_, show_details=False))

    assert "Internal error" in text
    assert "error abababababab" in text
    assert "KeyError" not in text
    assert "app.py" not in text
    assert "error abababababab: KeyError" in caplog.text


def test_braces_in_a_message_are_just_text() -> None:
    assert "{title} %s" in text_of(answer(ValueError("{title} %s"), request=BROWSER))
