"""The exception tree, sorted by whose act it was.

`UsageError`: the caller's own code is wrong. `GuestError`: code in a sandbox, or in another object, failed.
`UnavailableError`: a disk, a limit of load, or a reset object; `retryable` says whether trying again can help.
`InternalError`: our bug. Every message names the value, the rule and what to do.
Effects: none.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

_E = TypeVar("_E", bound=BaseException)


class PerdureError(Exception):
    """Base of every error that perdure raises on purpose.

    `code` is stable and made for programs; the text is made for people and models.
    `retryable`, `overloaded`, `remote` and `durable_object_reset` carry the reference system's flags.
    """

    code: ClassVar[str] = "error"
    retryable: bool = False
    overloaded: bool = False
    remote: bool = False
    durable_object_reset: bool = False


# ── the caller's code ────────────────────────────────────────────────────────────────────────────────────────


class UsageError(PerdureError):
    """Something was called in a way that can never work."""

    code = "usage"


class ConfigurationError(UsageError):
    """The app, its settings or the command line do not fit together."""

    code = "configuration"


class SourceError(ConfigurationError):
    """The app's code fails at import; the text is its traceback."""

    code = "source"


class ObjectIdError(UsageError, TypeError):
    """A string is no object id, or the id belongs to another namespace."""

    code = "object_id"


class FacetError(UsageError, TypeError):
    """A facet name, depth or start option breaks a rule of facets."""

    code = "facet"


class WorkerCodeError(UsageError, TypeError):
    """The code given to the loader is malformed: modules, names, sizes, entry points."""

    code = "worker_code"


class ValueNotCloneableError(UsageError, TypeError):
    """A value cannot cross a boundary or be stored."""

    code = "data_clone"


class RpcDisposedError(UsageError):
    """A stub or a promise was used after it had been closed."""

    code = "rpc_disposed"


class KvError(UsageError, TypeError):
    """A key, a value or a range option of `storage.kv` breaks a rule."""

    code = "kv"


class AlarmError(UsageError, TypeError):
    """A time at which no alarm can be, or an alarm of an object that has no handler for it."""

    code = "alarm"


class SqlError(UsageError):
    """SQLite refused a statement. The text carries SQLite's message, offset and code.

    `sqlite_code` is the primary result code's name, such as `SQLITE_CONSTRAINT`.
    """

    code = "sql"

    def __init__(self, message: str, *, sqlite_code: str = "SQLITE_ERROR") -> None:
        super().__init__(message)
        self.sqlite_code = sqlite_code


class NetworkDeniedError(UsageError, PermissionError):
    """A worker without a way out called `fetch()`."""

    code = "network_denied"


class HttpMessageError(UsageError, TypeError):
    """A URL, method, header, status or body breaks a rule of HTTP or of the Fetch standard."""

    code = "http_message"


class BodyTooLargeError(HttpMessageError):
    """A body that was to be read at once is larger than what may be in memory."""

    code = "body_too_large"


class UnknownObjectError(UsageError):
    """An object, facet or alarm that somebody asked for by name does not exist."""

    code = "unknown_object"


class DataDirectoryError(UsageError):
    """The data directory is in use by another process, or a file in it is not what we left there."""

    code = "data_directory"


class DirectoryInUseError(DataDirectoryError):
    """Another process has the data directory."""

    code = "directory_in_use"


class BookmarkError(UsageError):
    """A bookmark or a time that names no state of this object: malformed, too old, or still to come."""

    code = "bookmark"


# ── code that runs in a sandbox, or in another object ────────────────────────────────────────────────────────


class GuestError(PerdureError):
    """Code in a sandbox threw.

    `type_name` is the guest's own exception class, `guest_traceback` its traceback with the guest's files and
    lines (empty when there is none), `properties` what its code hung on it.
    """

    code = "guest"
    remote = True

    def __init__(self, message: str, *, type_name: str = "Error", guest_traceback: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.guest_traceback = guest_traceback
        self.properties: dict[str, object] = {}


class WorkerLoadError(GuestError):
    """A dynamic worker failed to start: syntax, a missing module, or an exception at import."""

    code = "worker_load"


class LimitExceededError(GuestError):
    """A guest ran into one of its limits; `limit` names it.

    `cpu`, `memory`, `stack`, `output`, `host_calls`, `disk`, or `alarm`: a handler that took too long.

    `wall` and `subrequests`: an event of an entry point that took too long, or sent too many requests and calls.

    The isolate that exceeded it has ended, but for the last two; nothing else was touched.
    """

    code = "limit_exceeded"
    durable_object_reset = True

    def __init__(self, message: str, *, limit: str) -> None:
        super().__init__(message, type_name="LimitExceeded")
        self.limit = limit


class SqlInterruptedError(GuestError):
    """A SQL statement was stopped; `limit` says why.

    `cpu`: it ran past its turn's deadline. `disk`: it filled the disk by sorting. `loop`: it may take long where
    nothing stops it, while the event loop waits.

    The unit it belonged to is lost: whoever set the deadline rolls it back and says which limit was exceeded.
    """

    code = "sql_interrupted"

    def __init__(self, message: str, *, limit: str = "cpu") -> None:
        super().__init__(message)
        self.limit = limit


class BudgetExceededError(GuestError):
    """A facet has used up a budget its supervisor gave it; `limit` names it (`cpu_ms`, `requests`, `rows_read`, …).

    It takes no further event until the supervisor raises the budget.
    """

    code = "budget_exceeded"
    durable_object_reset = True

    def __init__(self, message: str, *, limit: str = "") -> None:
        super().__init__(message, type_name="BudgetExceeded")
        self.limit = limit


class GuestCrashedError(GuestError):
    """The guest's runtime ended itself: `os._exit`, an abort inside the interpreter, a forged call."""

    code = "guest_crashed"
    durable_object_reset = True


# ── the world ────────────────────────────────────────────────────────────────────────────────────────────────


class UnavailableError(PerdureError):
    """It could have worked: disk, load, or an object that was reset meanwhile."""

    code = "unavailable"


class ObjectResetError(UnavailableError):
    """The object was reset while the call was under way. A new stub reaches a fresh instance."""

    code = "object_reset"
    durable_object_reset = True

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class AbortedError(ObjectResetError):
    """The object ended itself with `ctx.abort(reason)`.

    `retry_alarm`: an alarm whose handler ran is tried again.
    """

    code = "aborted"

    def __init__(self, message: str, *, retry_alarm: bool = True) -> None:
        super().__init__(message)
        self.retry_alarm = retry_alarm


class IsolateAbortedError(AbortedError):
    """A dynamic worker ended its own isolate with `abort_isolate(reason)`: the next use loads its code anew."""

    code = "isolate_aborted"


class QuotaExceededError(UnavailableError):
    """A quota is reached: trying again does not help before something is deleted, or the quota is raised.

    `quota` names it (`database_bytes`, `tree_bytes`, `facets`, `facets_ever`, `objects`, `new_objects_per_minute`),
    `scope` whose it is; `used` and `bound` are in the quota's unit.
    """

    code = "quota_exceeded"

    def __init__(self, message: str, *, quota: str = "", scope: str = "", used: int = 0, bound: int = 0) -> None:
        super().__init__(message)
        self.quota = quota
        self.scope = scope
        self.used = used
        self.bound = bound


class StreamLostError(UnavailableError):
    """A stream ended before its end: whoever wrote it is gone, or reading it was interrupted."""

    code = "stream_lost"


class FetchError(UnavailableError):
    """A `fetch()` got no answer: the host is out of bounds, does not answer, or sends what is no response."""

    code = "fetch"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class OverloadedError(UnavailableError):
    """A queue is full or something waited too long. Trying again at once makes it worse."""

    code = "overloaded"
    overloaded = True


class StorageFailedError(UnavailableError):
    """The disk failed a read, a write or a flush. Nothing that waited on the write was confirmed."""

    code = "storage_failed"
    durable_object_reset = True


class DamagedDataError(UnavailableError):
    """A file of ours fails its checksum, its hash chain or SQLite's own checks."""

    code = "damaged_data"


class RemoteError(UnavailableError):
    """A running server refused a command; `remote_code` is its error's code, the text is its text."""

    code = "remote"

    def __init__(self, message: str, *, remote_code: str) -> None:
        super().__init__(message)
        self.remote_code = remote_code


class RpcSessionError(UnavailableError):
    """A session with a peer has ended, or never began: the connection broke, or one of both broke the protocol.

    Whatever was under way fails with it.
    """

    code = "rpc_session"


class WebSocketError(UsageError):
    """A WebSocket was used in a way that it does not allow: closed, not accepted, or too much was sent at once."""

    code = "websocket"


class InternalError(PerdureError):
    """A bug in perdure. Please report it with the text and the log around it."""

    code = "internal"


# ── an error that is kept ────────────────────────────────────────────────────────────────────────────────────


def again(error: _E) -> _E:
    """A kept error, to be raised once more: without the frames, and what they hold, of the times before.

    Python appends to the traceback of an error each time it is raised. One that is kept, and raised for
    everybody who comes, would otherwise keep every frame that it has ever left, with all its arguments.
    """
    error.__context__ = None
    return error.with_traceback(None)
