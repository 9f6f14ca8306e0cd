"""Why a guest was stopped, in words: from Wasmtime's message to an error that says what to do.

Effects: none.
"""

from __future__ import annotations

from perdure.errors import GuestCrashedError, GuestError, LimitExceededError
from perdure.limits import CPU_MS_MAX, HOST_CALLS_PER_TURN_MAX, MIB


def stopped(message: str, *, exit_status: int | None, memory_bytes: int, stack_bytes: int) -> GuestError:
    """The error for a trap that the host did not cause itself."""
    if exit_status is not None:
        return GuestCrashedError(
            f"the code ended its own runtime (os._exit, or an abort inside the interpreter; status {exit_status}): "
            "raise an exception instead"
        )
    reason = message.rpartition("Caused by:")[2].strip() or message.strip()
    if "call stack exhausted" in reason:
        return stack_exceeded(stack_bytes)
    if "out of bounds memory access" in reason or "unreachable" in reason:
        return GuestCrashedError(
            f"the guest's interpreter crashed ({_short(reason)}): unbounded recursion in native code, a deadlock "
            f"on a lock, or running out of its {memory_bytes // MIB} MiB at a bad moment can do that"
        )
    return GuestCrashedError(f"the guest was stopped: {_short(reason)}")


def _short(reason: str) -> str:
    return reason.splitlines()[0].removeprefix("wasm trap: ").removeprefix("wasm ")[:200]


def cpu_exceeded(cpu_ms: int) -> LimitExceededError:
    """The error for a call that computed too long."""
    return LimitExceededError(
        f"the code used more than its {cpu_ms} ms of CPU time in one event and was stopped: look for a loop that does "
        f"not end, do less per event, or raise `limits.cpu_ms` (at most {CPU_MS_MAX})",
        limit="cpu",
    )


def memory_exceeded(memory_bytes: int) -> LimitExceededError:
    """The error for an allocation that did not fit and was not caught."""
    return LimitExceededError(
        f"the code needed more than its {memory_bytes // MIB} MiB of memory and was stopped: keep less at once "
        "(rows in SQL instead of lists), or raise `limits.memory_mb`",
        limit="memory",
    )


def stack_exceeded(stack_bytes: int) -> LimitExceededError:
    """The error for recursion beyond the guest's stack."""
    return LimitExceededError(
        f"the code recursed beyond its stack of {stack_bytes // MIB} MiB and was stopped: look for recursion that "
        "does not end, or use a loop with a list as stack",
        limit="stack",
    )


def host_calls_exceeded() -> LimitExceededError:
    """The error for a turn that asked the host too often."""
    return LimitExceededError(
        f"the code made more than {HOST_CALLS_PER_TURN_MAX} host calls (storage, logs) in one turn and was stopped: "
        "look for a loop that does not end, or use one SQL statement for many rows",
        limit="host_calls",
    )


def output_exceeded(size: int, size_max: int) -> LimitExceededError:
    """The error for a report that is too large to take."""
    return LimitExceededError(
        f"the code answered with {size} bytes, the limit is {size_max}: answer in smaller parts", limit="output"
    )


def blocked() -> GuestCrashedError:
    """The error for a guest that tried to make its thread wait."""
    return GuestCrashedError(
        "the code tried to block its thread (select, poll, a native sleep) and was stopped: "
        "use `await asyncio.sleep(seconds)`"
    )


def ended() -> GuestCrashedError:
    """The error for a call of an isolate that has ended."""
    return GuestCrashedError("this isolate has ended: create another one")
