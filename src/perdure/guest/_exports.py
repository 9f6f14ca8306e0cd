"""`ctx.exports`: what this worker itself exports, as something to call.

A class that has a namespace is one, and a class for facets too; an entry point is a stub. Ids come from the host, which
alone knows a namespace's key. Effects: host calls.
"""

from __future__ import annotations

import functools
import json
from typing import Final

from perdure.api import DurableObjectClass, LoopbackEntrypoint, Namespace, ObjectId
from perdure.guest._host_calls import Ask, checked
from perdure.guest._references import GuestReferences
from perdure.guest._remotes import Pinned, Remote
from perdure.guest._worker import DEFAULT, Worker
from perdure.limits import OBJECT_NAME_KEPT_BYTES_MAX
from perdure.wire import HostOp

_COMPACT: Final = json.JSONEncoder(separators=(",", ":")).encode


class Exports:
    """By name, as attributes."""

    def __init__(self, worker: Worker, ask: Ask, references: GuestReferences) -> None:
        self._worker = worker
        self._ask = ask
        self._references = references

    def __getattr__(self, name: str) -> DurableObjectClass | Namespace | LoopbackEntrypoint:
        if name.startswith("_"):
            raise AttributeError(name)
        export = DEFAULT if name == "Default" else name
        match self._worker.kinds().get(export):
            case "object" | "class" if export in self._worker.namespaces:
                return Namespace(GuestNamespace(export, self._ask, self._references), DurableObjectClass(export))
            case "object" | "class":
                return DurableObjectClass(export)
            case "entrypoint" | "handler":
                return LoopbackEntrypoint(functools.partial(self._entrypoint, export))
            case _:
                there = ", ".join(f"`{known}`" for known in sorted(self._worker.kinds())) or "nothing"
                raise AttributeError(f"the worker exports no class or entry point `{name}`; it exports {there}")

    def _entrypoint(self, export: str, props: object) -> Remote:
        tree, held = self._references.write_kept(props)
        return Remote(self._references, "export", {"x": export, "p": tree}, held)


class GuestNamespace:
    """`NamespaceCalls` over the import."""

    def __init__(self, export: str, ask: Ask, references: GuestReferences) -> None:
        self._export = export
        self._ask = ask
        self._references = references

    def id_from_name(self, name: str, jurisdiction: str | None) -> ObjectId:
        return self._id({"n": name, "j": jurisdiction}, name=name)

    def id_from_text(self, text: str) -> ObjectId:
        return self._id({"t": text})

    def unique_id(self, jurisdiction: str | None) -> ObjectId:
        return self._id({"j": jurisdiction})

    def target(self, identity: ObjectId) -> Pinned:
        name = identity.name
        fields: dict[str, object] = {"x": self._export, "i": identity.text}
        if name is not None and len(name) <= OBJECT_NAME_KEPT_BYTES_MAX:
            fields["name"] = name
        return Pinned(self._references, "stub", fields)

    def _id(self, wanted: dict[str, object], name: str | None = None) -> ObjectId:
        answer = json.loads(checked(self._ask(HostOp.OBJECT_ID, self._export, _COMPACT(wanted))))
        return ObjectId(answer["i"], name=name, jurisdiction=answer["j"])
