"""The loaders in a guest's `env`, the host's half: a guest loads dynamic workers as trusted supervisors do.

The guest numbers what it loads, as it numbers its stubs, and says whenever it uses one how it was loaded; what a number
first reached stays what it means. Code comes from a callback in the guest, as an event of its own, or is given at once.
Everything here was written by a guest. Effects: none (loaders do the work).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from perdure.api import DurableObjectClass, LoadedWorker, LoadWorker
from perdure.errors import OverloadedError, UsageError, WorkerCodeError
from perdure.limits import GUEST_LOADED_CODE_BYTES_MAX
from perdure.wire import from_expression, read_json, to_expression
from perdure.workers._bindings import BoundLoader, LoaderScope, ScopedLoader
from perdure.workers._code import check_code
from perdure.workers._exports import Messages, WorkerExports, send
from perdure.workers._pins import Pins
from perdure.workers._references import Read
from perdure.workers._reports import Operation

LOADER_KINDS: Final = ("loader.", "worker.")
"""How the kinds of these operations begin."""

_WORKER_ID_CHARACTERS_MAX: Final = 1_024
_CHECKED_NAMES_MAX: Final = 100

AskCode = Callable[[Mapping[str, object]], Awaitable[object]]
"""Delivers an event that the guest itself caused; the value that it gives."""


class GuestLoaders:
    """What one isolate asks of the loaders in its env."""

    def __init__(self, worker: WorkerExports, *, scope: LoaderScope, ask: AskCode, read: Read) -> None:
        self._read = read
        self._worker = worker
        self._scope = scope
        self._ask = ask
        self._workers: Pins[LoadedWorker] = Pins()
        self._given: dict[int, object] = {}
        self._held_bytes: dict[int, int] = {}

    def give_code(self, number: str, payload: str) -> str:
        """The answer to the host call LOAD_CODE: code that the guest has at hand, checked. On the guest's thread."""
        if not number.isdecimal() or len(number) > 15:
            raise UsageError("a loaded worker has no number")
        try:
            code = self._read(read_json(payload))
        except (ValueError, RecursionError) as error:
            raise WorkerCodeError(f"the code of a worker cannot be read: {error}") from None
        check_code(code)
        self._hold(int(number), len(payload))
        self._given[int(number)] = code
        return ""

    async def perform(self, operation: Operation, session: Messages) -> object:
        """Do what the guest asked for; the result as JSON tree."""
        payload = operation.payload
        worker = self._loaded(payload.get("w"), operation.operation_id)
        match operation.kind:
            case "loader.check":
                await worker.check(_names(payload.get("c")))
                return None
            case "loader.evaluate":
                variables = await session.convert(from_expression, payload.get("v"))
                if not isinstance(variables, dict):
                    raise UsageError("the names of a snippet are an object")
                return await session.convert(to_expression, await worker.evaluate(_text(payload, "s"), variables))
            case "worker.fetch" | "worker.call" | "worker.get":
                props = await session.convert(self._read, payload.get("p"))
                return await send(
                    worker.entrypoint(_text_or_none(payload, "e"), props, payload.get("l")), operation, session
                )
            case _:
                raise UsageError(f"a guest asked for `{operation.kind[:40]}`, which no guest may")

    def object_class(self, shape: object, name: str, props: object, *, operation_id: int) -> DurableObjectClass:
        """The class `name` of a worker that the guest has loaded, to run as a facet."""
        return self._loaded(shape, operation_id).durable_object_class(name, props)

    def release(self, numbers: Iterable[int]) -> list[int]:
        """Nobody in the guest holds these any more; those of them that are no loaded workers."""
        others = []
        for number in numbers:
            if number in self._workers:
                self._workers.release([number])
                self._drop(number)
            elif number in self._given:
                self._drop(number)
            else:
                others.append(number)
        return others

    def clear(self) -> None:
        """The guest's memory is gone."""
        self._workers.clear()
        self._given.clear()
        self._held_bytes.clear()

    def _loaded(self, shape: object, operation_id: int) -> LoadedWorker:
        """The worker that a guest means by `{"n": number, "b": binding, "id": worker id, "cb": callback}`."""
        if not isinstance(shape, dict):
            raise UsageError("a loaded worker is named by an object")
        number = _number(shape, "n")
        return self._workers.target(number, lambda: self._load(number, shape, operation_id))

    def _load(self, number: int, shape: Mapping[str, object], operation_id: int) -> LoadedWorker:
        loader = self._loader(_text(shape, "b"))
        scope = self._scope._replace(key=f"{self._scope.key}/{_text(shape, 'b')}")
        if number in self._given:
            code = self._given[number]
            return loader.get(None, lambda: code, scope=scope)  # type: ignore[arg-type, return-value]  # it was checked
        worker_id = _text_or_none(shape, "id")
        if worker_id is not None and len(worker_id) > _WORKER_ID_CHARACTERS_MAX:
            raise UsageError(f"a worker's id has at most {_WORKER_ID_CHARACTERS_MAX} characters: use a hash of it")
        return loader.get(
            worker_id,
            self._asking(number, _number(shape, "cb"), operation_id, is_private=worker_id is None),
            scope=scope,
        )

    def _asking(self, number: int, callback: int, operation_id: int, *, is_private: bool) -> LoadWorker:
        """The callback in the guest as one of the host's."""

        async def load() -> Mapping[str, object]:
            code = await self._ask({"k": "load", "cb": callback, "o": operation_id})
            if number in self._workers and is_private:  # Others belong to the loader, which forgets them.
                self._hold(number, _size(code))
            return code  # type: ignore[return-value]  # whatever it is, the loader checks it

        return load

    def _loader(self, name: str) -> ScopedLoader:
        binding = self._worker.bindings.get(name)
        if not isinstance(binding, BoundLoader):
            raise UsageError(f"the env of this worker has no loader `{name[:80]}`")
        return binding.loader

    def _hold(self, number: int, size_bytes: int) -> None:
        """Count the code that the guest holds. Raises OverloadedError."""
        others = list(self._held_bytes.values())  # A copy: the loop's thread and the guest's both come here.
        held_bytes = sum(others) - self._held_bytes.get(number, 0) + size_bytes
        if held_bytes > GUEST_LOADED_CODE_BYTES_MAX:
            raise OverloadedError(
                f"this worker holds {held_bytes} bytes of code of dynamic workers, the limit is "
                f"{GUEST_LOADED_CODE_BYTES_MAX}: keep no stubs of workers that are not needed any more"
            )
        self._held_bytes[number] = size_bytes

    def _drop(self, number: int) -> None:
        self._given.pop(number, None)
        self._held_bytes.pop(number, None)


def _size(code: object) -> int:
    """About how much memory the sources take."""
    if isinstance(code, str | bytes):
        return len(code)
    if isinstance(code, Mapping):
        return sum(map(_size, code.values()))
    return sum(map(_size, code)) if isinstance(code, list) else 0


def _number(shape: Mapping[str, object], key: str) -> int:
    number = shape.get(key)
    if isinstance(number, bool) or not isinstance(number, int):
        raise UsageError(f"`{key}` of a loaded worker is no number")
    return number


def _text(shape: Mapping[str, object], key: str) -> str:
    text = shape.get(key)
    if not isinstance(text, str):
        raise UsageError(f"`{key}` of a loaded worker is no text")
    return text


def _text_or_none(shape: Mapping[str, object], key: str) -> str | None:
    return None if shape.get(key) is None else _text(shape, key)


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > _CHECKED_NAMES_MAX:
        raise UsageError(f"classes are checked by a list of at most {_CHECKED_NAMES_MAX} names")
    if not all(isinstance(name, str) for name in value):
        raise UsageError("the name of a class is a text")
    return value
