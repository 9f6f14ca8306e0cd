"""Error → HTTP answer and log entry.

While developing, the answer shows what a person or a model needs for a repair: type, message, the traceback in the
guest's own files. In production it shows an id, under which the log has the same. Effects: log, randomness.
"""

from __future__ import annotations

import html
import logging
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perdure.clock import Entropy
from perdure.errors import BodyTooLargeError, GuestError, PerdureError, QuotaExceededError, UnavailableError
from perdure.web import Request, Response

_LOG: Final = logging.getLogger("perdure.server")
_OUR_CODE: Final = str(Path(__file__).resolve().parents[1])
_PAGE: Final = """<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 10vh auto; padding: 0 1.5rem }}
h1 {{ font-size: 1.25rem; overflow-wrap: anywhere }}
pre {{ padding: 1rem; border-radius: .5rem; background: #8881; overflow: auto;
      font: .875rem/1.5 ui-monospace, monospace }}
p {{ opacity: .7 }}
</style>
<h1>{title}</h1>
{details}
<p>{note}</p>
"""


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """What is known of an error: one line, and the traceback without our own frames ("" when there is none)."""

    title: str
    traceback: str


class ErrorAnswers:
    """Turns what user code raised into an answer, and logs it once, under the id that the answer shows."""

    def __init__(self, *, show_details: bool, entropy: Entropy) -> None:
        self._show_details = show_details
        self._entropy = entropy

    def __call__(self, request: Request, error: Exception) -> Response:
        """The answer to `request`, whose handler raised `error`."""
        report, status = report_of(error), status_of(error)
        error_id = self._entropy.random_bytes(6).hex()
        _LOG.error("%s %s failed, error %s: %s", request.method, request.url, error_id, _as_text(report))
        if not self._show_details:
            report = ErrorReport(title=_TITLES[status], traceback="")
        return answer(request, report, status=status, error_id=error_id)


_TITLES: Final = {
    413: "The body is too large",
    429: "Too many new objects: try again in a minute",
    500: "Internal error",
    503: "Temporarily unavailable",
    507: "A quota is used up",
}
_RETRY_AFTER_S: Final = {429: "60", 503: "1"}


def status_of(error: Exception) -> int:
    """413 for a large body, 429 for too many at once, 507 for too much, 503 for what may pass by itself, else 500."""
    if _is_too_large(error):
        return 413
    if isinstance(error, QuotaExceededError):
        return 429 if error.quota == "new_objects_per_minute" else 507
    return 503 if isinstance(error, UnavailableError) else 500


def _is_too_large(error: Exception) -> bool:
    """Here, or in a sandbox, which may say so as it may answer what it likes."""
    kind = error.type_name if isinstance(error, GuestError) else type(error).__name__
    return kind == BodyTooLargeError.__name__


def report_of(error: Exception) -> ErrorReport:
    """What to show of `error`: for guests their own traceback, for trusted code its frames and none of ours."""
    if isinstance(error, GuestError):
        return _report_of_guest(error)
    summary = traceback.TracebackException.from_exception(error)
    is_ours = isinstance(error, PerdureError)
    title = f"{type(error).__name__}: {error}" if is_ours else "".join(summary.format_exception_only()).strip()
    frames = traceback.StackSummary.from_list(
        [frame for frame in summary.stack if not frame.filename.startswith(_OUR_CODE)]
    )
    # Without user code in it the fault is ours, and our own frames are what a report of it needs.
    shown = frames if frames or is_ours else summary.stack
    return ErrorReport(title=title, traceback="".join(shown.format()).strip("\n"))


def _report_of_guest(error: GuestError) -> ErrorReport:
    """A line that does not repeat the traceback, and the traceback."""
    told = error.guest_traceback.strip("\n")
    message = str(error)
    if told and told in message:
        message = message.replace(told, "").rstrip(" :\n")
    title = message if message.startswith(error.type_name) else f"{error.type_name}: {message}"
    return ErrorReport(title=title, traceback=told)


def answer(request: Request, report: ErrorReport, *, status: int, error_id: str) -> Response:
    """The answer: a page for a browser that asks for one, plain text for everything else."""
    headers = {"retry-after": _RETRY_AFTER_S[status]} if status in _RETRY_AFTER_S else {}
    note = f"error {error_id}"
    if "text/html" not in request.headers.get("accept", ""):
        return Response(f"{_as_text(report)}\n\n{note}\n", status, headers)
    details = f"<pre>{html.escape(report.traceback)}</pre>" if report.traceback else ""
    return Response.html(_PAGE.format(title=html.escape(report.title), details=details, note=note), status, headers)


def _as_text(report: ErrorReport) -> str:
    if report.title in report.traceback:
        return report.traceback
    return f"{report.title}\n\n{report.traceback}" if report.traceback else report.title
