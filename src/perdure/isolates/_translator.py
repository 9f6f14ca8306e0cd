"""TypeScript and JSX as JavaScript: each module is translated in a fresh isolate of its own, which then ends.

The translator runs where guests run, so a source that breaks it breaks nothing else. What came out is kept by content.
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
from perdure.limits import MIB, TRANSLATED_CHARACTERS_MAX, TRANSLATION_CPU_MS_MAX
from perdure.wire import GuestOp

KINDS: Final = frozenset({"ts", "tsx", "jsx"})

_MEMORY_BYTES: Final = 128 * MIB


class Translator:
    """Translates, and remembers. Thread-safe."""

    def __init__(self, make: Callable[[], Isolate]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._characters = 0

    def translate(self, kind: str, name: str, text: str) -> str:
        """The module as JavaScript; where the source is no TypeScript, a module that throws its SyntaxError.

        Raises what stops an isolate when that takes too long.
        """
        key = hashlib.blake2b(f"{kind}\n{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return known
        reply = json.loads(self._ask(json.dumps({"kind": kind, "text": text})))
        if "ok" not in reply:
            return _failing(name, reply["error"])
        self._remember(key, reply["ok"])
        return str(reply["ok"])

    def _ask(self, payload: str) -> str:
        isolate = self._make()
        try:
            return isolate.call(GuestOp.TRANSLATE, payload, cpu_ms=TRANSLATION_CPU_MS_MAX)
        finally:
            isolate.close()

    def _remember(self, key: bytes, source: str) -> None:
        with self._lock:
            if key in self._known:
                return
            self._known[key] = source
            self._characters += len(source)
            while self._characters > TRANSLATED_CHARACTERS_MAX:
                _, dropped = self._known.popitem(last=False)
                self._characters -= len(dropped)


def _failing(name: str, error: dict[str, object]) -> str:
    """A module that fails as one with a syntax error does, at the place where it is in the source."""
    place = f"{name}:{error['line']}:{error['column']}"
    message = f"{error['message']} ({place})"
    stack = json.dumps(f"    at {place}\n")
    return f'throw Object.defineProperty(new SyntaxError({json.dumps(message)}), "stack", {{ value: {stack} }});'
