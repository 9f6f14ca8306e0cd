"""`env` of a guest: plain values, and what the host says is bound to a name. Effects: none until it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from perdure.api import DurableObjectClass, Env, Loader, Namespace, Stub
from perdure.guest._exports import GuestNamespace
from perdure.guest._host_calls import Ask
from perdure.guest._loaders import GuestLoader, LoadCallbacks
from perdure.guest._references import GuestReferences
from perdure.guest._remotes import Remote

_PREFIX: Final = "env."
"""What stands before a binding's name where an export is named: the host looks there, too."""


class Bindings:
    """What is bound in this worker's env."""

    def __init__(self, ask: Ask, references: GuestReferences, callbacks: LoadCallbacks) -> None:
        self._ask = ask
        self._references = references
        self._callbacks = callbacks
        self._bound: dict[str, object] = {}
        self._kept: object = {}

    def bind(self, kinds: Mapping[str, str], env: object = None) -> None:
        """Take what LOAD says: a name and what kind of binding it is, and the env when events do not carry it."""
        self._kept = {} if env is None else self._references.read(env)
        self._bound = {name: self._binding(name, kind) for name, kind in kinds.items()}

    def env(self, expression: object) -> Env:
        """The worker's env: these plain values, and what is bound."""
        values = self._kept if expression is None else self._references.read(expression)
        return Env({**(values if isinstance(values, dict) else {}), **self._bound})

    def _binding(self, name: str, kind: str) -> object:
        export = f"{_PREFIX}{name}"
        if kind == "namespace":
            return Namespace(GuestNamespace(export, self._ask, self._references), DurableObjectClass(export))
        if kind == "loader":
            return Loader(GuestLoader(name, self._ask, self._references, self._callbacks))
        return Stub(Remote(self._references, "export", {"x": export, "p": {}}))
