"""`env.LOADER` of a guest: dynamic workers that it loads itself, and supervises.

The host keeps what is loaded; here are numbers for it, and the callbacks that give code. Effects: host calls.
"""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from perdure.api import DurableObjectClass, DynamicEntrypoint, DynamicObjectClass, LoadWorker, Target, WorkerCode
from perdure.errors import WorkerCodeError
from perdure.guest._host_calls import Ask, checked
from perdure.guest._operations import Answer
from perdure.guest._references import GuestReferences
from perdure.guest._remotes import Remote
from perdure.limits import GUEST_LOAD_CALLBACKS_MAX
from perdure.wire import HostOp, from_expression, to_expression

_COMPACT: Final = json.JSONEncoder(separators=(",", ":")).encode


class LoadCallbacks:
    """The callbacks that give code, by number; each worker id has one number, and its latest callback."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._callbacks: dict[int, LoadWorker] = {}
        self._last = 0

    def number(self, binding: str, worker_id: str | None, load: LoadWorker) -> int:
        """The number under which the host can ask for `load`."""
        key = (binding, worker_id) if worker_id is not None else None
        number = self._numbers.get(key) if key is not None else None
        if number is None:
            self._last += 1
            number = self._last
        self._callbacks[number] = load
        if key is not None:
            self._numbers[key] = number
            self._numbers.move_to_end(key)
            if len(self._numbers) > GUEST_LOAD_CALLBACKS_MAX:
                self.drop(self._numbers.popitem(last=False)[1])
        return number

    def drop(self, number: int) -> None:
        """The host will not ask for this one any more."""
        self._callbacks.pop(number, None)

    def callback(self, number: int) -> LoadWorker:
        """The callback the host asks to be run. Raises WorkerCodeError when it is gone."""
        load = self._callbacks.get(number)
        if load is None:
            raise WorkerCodeError("the callback that gave the code of this worker is gone: call LOADER.get again")
        return load


class GuestLoader:
    """`LoaderCalls` of one binding."""

    def __init__(self, binding: str, ask: Ask, references: GuestReferences, callbacks: LoadCallbacks) -> None:
        self._binding = binding
        self._ask = ask
        self._references = references
        self._callbacks = callbacks

    def get(self, worker_id: str | None, load: LoadWorker) -> GuestWorker:
        if not callable(load):
            raise WorkerCodeError("LOADER.get(id, load): load is a function that returns the WorkerCode")
        if worker_id is not None and not isinstance(worker_id, str):
            raise WorkerCodeError(f"a worker's id is a string or None, not `{type(worker_id).__name__}`")
        callback = self._callbacks.number(self._binding, worker_id, load)
        own = self._callbacks if worker_id is None else None
        return GuestWorker(self._references, {"b": self._binding, "id": worker_id, "cb": callback}, own)

    def load(self, code: WorkerCode | Mapping[str, object]) -> GuestWorker:
        worker = GuestWorker(self._references, {"b": self._binding}, None)
        tree, _ = self._references.write_kept(plain_code(code))
        checked(self._ask(HostOp.LOAD_CODE, str(worker.number), _COMPACT(tree)))
        worker.is_known = True
        return worker


class GuestWorker:
    """`LoadedWorker`: the host is told when nobody holds it any more, nor anything that was got from it."""

    def __init__(self, references: GuestReferences, fields: dict[str, object], callbacks: LoadCallbacks | None) -> None:
        self._references = references
        self._operations = references.operations
        self.number = self._operations.new_stub()
        self.shape = {"n": self.number, **fields}
        self.is_known = False
        self._callbacks = callbacks

    def start(self, kind: str, payload: dict[str, object]) -> Any:  # noqa: ANN401  # a future of JSON
        """Note an operation on it."""
        return self.hold_until_done(self._operations.start(kind, {"w": self.shape, **payload}))

    def hold_until_done(self, future: Any) -> Any:  # noqa: ANN401  # a future of JSON
        """The host knows the worker from now on, and is not told that it is gone while this is under way."""
        self.is_known = True
        future.add_done_callback(lambda _, held=self: None)
        return future

    def entrypoint(self, name: str | None, props: object, limits: object = None) -> Target:
        tree, held = self._references.write_kept({} if props is None else props)
        fields: dict[str, object] = {"e": name, "p": tree}
        if limits is not None:
            fields["l"] = _plain(limits)
        return LoadedEntrypoint(self, fields, held)

    def durable_object_class(self, name: str, props: object, limits: object = None) -> DurableObjectClass:
        if limits is not None:
            raise WorkerCodeError("limits of a class that a sandbox has loaded are given to its facet: FacetOptions")
        if not isinstance(name, str) or not name:
            raise WorkerCodeError('get_durable_object_class(name) needs the name of a class, such as "App"')
        return DynamicObjectClass(LoadedClass(self, name), props=props)

    async def check(self, classes: Sequence[str]) -> None:
        await self.start("loader.check", {"c": list(classes)})

    async def evaluate(self, source: str, names: Mapping[str, object]) -> object:
        payload = {"s": source, "v": to_expression(dict(names))}
        return from_expression(await self.start("loader.evaluate", payload))

    def __del__(self) -> None:
        if self.is_known:
            self._operations.release(self.number)
        if self._callbacks is not None:
            self._callbacks.drop(int(str(self.shape["cb"])))


class LoadedEntrypoint(Remote):
    """An entry point of a loaded worker."""

    cannot_be_serialized = DynamicEntrypoint.cannot_be_serialized

    def __init__(self, worker: GuestWorker, fields: dict[str, object], held: Sequence[object]) -> None:
        super().__init__(worker._references, "worker", {"w": worker.shape, **fields}, held)  # noqa: SLF001  # of this file
        self._worker = worker

    def _ask(self, act: str, payload: dict[str, object], read: Callable[[Any], object] | None) -> Answer:
        answer = super()._ask(act, payload, read)
        self._worker.hold_until_done(answer)
        return answer


class LoadedClass:
    """A class of a loaded worker: what stands behind its handle."""

    def __init__(self, worker: GuestWorker, name: str) -> None:
        self._worker = worker
        self._name = name

    def fields(self) -> dict[str, object]:
        """How the host is told of it, which knows the worker from now on."""
        self._worker.is_known = True
        return {"export": self._name, "w": self._worker.shape}


def plain_code(code: object) -> object:
    """Worker code as a mapping that can be sent; anything else as it is."""
    if not isinstance(code, WorkerCode):
        return code
    fields = {field.name: getattr(code, field.name) for field in dataclasses.fields(code)}
    return {name: _plain(value) for name, value in fields.items() if value is not None}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: item for name, item in dataclasses.asdict(value).items() if item is not None}
    return value
