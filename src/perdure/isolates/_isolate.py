"""The ports of isolates: what runs a guest, and what answers its host calls. Effects: none."""

from __future__ import annotations

from typing import Protocol


class GuestHost(Protocol):
    """Answers a guest's host calls, on the thread that runs the guest."""

    def host_call(self, op: int, key: str, payload: str) -> str:
        """The reply to one call; text that starts with `ERROR_MARK` is thrown inside the guest.

        An exception ends the isolate, which cannot catch it, and comes out of `Isolate.call` unchanged.
        """
        ...


class Isolate(Protocol):
    """One guest: an interpreter with its own memory, that knows the world only through its host.

    Used by one thread at a time. After any error it has ended: its memory cannot be trusted.
    """

    language: str
    host: GuestHost

    @property
    def is_alive(self) -> bool:
        """False once a call has failed, or after `close`."""
        ...

    @property
    def memory_bytes(self) -> int:
        """An estimate of what it holds."""
        ...

    def call(self, op: int, payload: str, *, cpu_ms: int) -> str:
        """Run the guest until it is idle; its answer.

        Raises LimitExceededError (`cpu`, `memory`, `stack`, `host_calls`, `output`), GuestCrashedError, or whatever
        the host raised. Releases the GIL while the guest computes.
        """
        ...

    def close(self) -> None:
        """Free it. Idempotent."""
        ...


class NoHost:
    """Stands in until the owner of an isolate has set its host."""

    def host_call(self, op: int, key: str, payload: str) -> str:
        """Refuse: this is a bug of ours."""
        raise AssertionError(f"host call {op} from an isolate without a host")
