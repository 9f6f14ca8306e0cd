"""TypeScript and JSX as JavaScript: each module is translated in a fresh isolate of its own, which then ends.

The translator runs where guests run, so a source that breaks it breaks nothing else. What came out is kept by content,
a failure too. It takes far longer than an inline turn may: such a turn is repeated on a thread, and translates there.
Effects: threads (a lock).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from perdure.isolates._isolate import Isolate
from perdure.isolates._runner import InlineOverrunError, is_inline
from perdure.limits import MIB, TRANSLATED_CHARACTERS_MAX, TRANSLATION_CPU_MS_MAX
from perdure.wire import GuestOp

KINDS: Final = frozenset({"ts", "tsx", "jsx"})

_MEMORY_BYTES: Final = 128 * MIB


class Translator:
    """Translates, and remembers. Thread-safe."""

    def __init__(self, make: Callable[[], Isolate]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, str] = OrderedDict()  # replies, in JSON
        self._characters = 0

    def translate(self, kind: str, name: str, text: str) -> str:
        """The module as JavaScript; where the source is no TypeScript, a module that throws its SyntaxError.

        Raises InlineOverrunError when the event loop would wait for it, or what stops an isolate that takes too long.
        """
        key = hashlib.blake2b(f"{kind}\n{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        reply = self._recall(key)
        if reply is None:
            if is_inline():
                raise InlineOverrunError(f"`{name:.200}` is to be translated: the turn is repeated on a thread")
            reply = self._ask(json.dumps({"kind": kind, "text": text}))
            self._remember(key, reply)
        told = json.loads(reply)
        return str(told["ok"]) if "ok" in told else _failing(name, told["error"])

    def _recall(self, key: bytes) -> str | None:
        with self._lock:
            reply = self._known.get(key)
            if reply is not None:
                self._known.move_to_end(key)
            return reply

    def _ask(self, payload: str) -> str:
        isolate = self._make()
        try:
            return isolate.call(GuestOp.TRANSLATE, payload, cpu_ms=TRANSLATION_CPU_MS_MAX)
        finally:
            isolate.close()

    def _remember(self, key: bytes, reply: str) -> None:
        with self._lock:
            if key in self._known:
                return
            self._known[key] = reply
            self._characters += len(reply)
            while self._characters > TRANSLATED_CHARACTERS_MAX:
                _, dropped = self._known.popitem(last=False)
                self._characters -= len(dropped)


def _failing(name: str, error: dict[str, object]) -> str:
    """A module that fails as one with a syntax error does, at the place where it is in the source."""
    place = f"{name}:{error['line']}:{error['column']}"
    message = f"{error['message']} ({place})"
    stack = json.dumps(f"    at {place}\n")
    return f'throw Object.defineProperty(new SyntaxError({json.dumps(message)}), "stack", {{ value: {stack} }});'
