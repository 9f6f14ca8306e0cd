"""`env`: what the owner of this code lets it reach, by name. Effects: none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Env(Mapping[str, Any]):
    """Bindings, as attributes and as a mapping: `env.LOADER`, `env["LOADER"]`, `env.get("X")`."""

    def __init__(self, bindings: Mapping[str, Any]) -> None:
        self.__dict__.update(bindings)
        self.__dict__["_bindings"] = dict(bindings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        there = ", ".join(f"`{known}`" for known in sorted(self._bindings)) or "nothing"
        raise AttributeError(f"env has no `{name}`; this worker was given: {there}")

    def __getitem__(self, name: str) -> Any:
        return self._bindings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bindings)

    def __len__(self) -> int:
        return len(self._bindings)


def fill_env(env: Env, bindings: Mapping[str, Any]) -> None:
    """Put more bindings into an env, for whoever made it: no method, since any name may be a binding's."""
    vars(env).update(bindings)
    vars(env)["_bindings"].update(bindings)
