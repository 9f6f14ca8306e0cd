"""A text editor with undo and redo that outlive a restart."""

from __future__ import annotations

import abc
from dataclasses import asdict, dataclass
from typing import ClassVar

from workers import DurableObject, Response


class EditError(ValueError):
    pass


class Command(abc.ABC):
    kinds: ClassVar[dict[str, type[Command]]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Command.kinds[cls.__name__.lower()] = cls

    @abc.abstractmethod
    def apply(self, text: str) -> str: ...

    @abc.abstractmethod
    def inverse(self, before: str) -> Command: ...

    @classmethod
    def from_json(cls, data: dict) -> Command:
        match data:
            case {"kind": str(kind), **arguments} if kind in cls.kinds:
                try:
                    return cls.kinds[kind](**arguments)
                except TypeError as error:
                    raise EditError(f"{kind}: {error}") from error
            case {"kind": kind}:
                raise EditError(f"cannot {kind}")
            case _:
                raise EditError("a command has a kind")

    def to_json(self) -> dict:
        return {"kind": type(self).__name__.lower(), **asdict(self)}


@dataclass(frozen=True)
class Insert(Command):
    at: int
    text: str

    def apply(self, text: str) -> str:
        if not 0 <= self.at <= len(text):
            raise EditError(f"position {self.at} is outside of the text")
        return text[: self.at] + self.text + text[self.at :]

    def inverse(self, before: str) -> Command:
        return Delete(self.at, len(self.text))


@dataclass(frozen=True)
class Delete(Command):
    at: int
    count: int = 1

    def apply(self, text: str) -> str:
        if self.at < 0 or self.at + self.count > len(text):
            raise EditError("there is not so much to delete")
        return text[: self.at] + text[self.at + self.count :]

    def inverse(self, before: str) -> Command:
        return Insert(self.at, before[self.at : self.at + self.count])


@dataclass(frozen=True)
class Replace(Command):
    old: str
    new: str

    def apply(self, text: str) -> str:
        if not self.old or self.old not in text:
            raise EditError(f"{self.old!r} does not occur")
        return text.replace(self.old, self.new)

    def inverse(self, before: str) -> Command:
        return Restore(before)


@dataclass(frozen=True)
class Restore(Command):
    content: str

    def apply(self, text: str) -> str:
        return self.content

    def inverse(self, before: str) -> Command:
        return Restore(before)


class App(DurableObject):
    def on_start(self):
        kv = self.ctx.storage.kv
        self.text: str = kv.get("text", "")
        self.undo_stack: list[dict] = kv.get("undo", [])
        self.redo_stack: list[dict] = kv.get("redo", [])

    def run(self, command: Command, inverse_to: list[dict]) -> None:
        before = self.text
        self.text = command.apply(before)
        inverse_to.append(command.inverse(before).to_json())

    async def fetch(self, request):
        match (request.method, request.path):
            case ("GET", "/"):
                return Response(self.text)
            case ("GET", "/state"):
                return self.state()
            case ("POST", "/edit" | "/undo" | "/redo" as action):
                try:
                    if action == "/edit":
                        self.run(Command.from_json(await request.json()), self.undo_stack)
                        self.redo_stack.clear()
                    else:
                        stacks = (self.undo_stack, self.redo_stack)
                        source, target = stacks if action == "/undo" else reversed(stacks)
                        if not source:
                            raise EditError(f"nothing to {action[1:]}")
                        self.run(Command.from_json(source.pop()), target)
                except EditError as error:
                    return Response.json({"error": str(error)}, status=409)
                await self.ctx.storage.put({"text": self.text, "undo": self.undo_stack[-100:], "redo": self.redo_stack})
                return self.state()
        return Response("not found", status=404)

    def state(self):
        return Response.json({"text": self.text, "can_undo": len(self.undo_stack), "can_redo": len(self.redo_stack)})
