"""Feature flags: on, off, for some users, or for a share of all."""

import hashlib
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

from workers import DurableObject, Response


@dataclass(frozen=True, kw_only=True)
class Flag:
    name: str
    enabled: bool = False
    percent: int = 100
    users: list[str] = field(default_factory=list)

    def __post_init__(self):
        if not 0 <= self.percent <= 100:
            raise ValueError("percent is from 0 to 100")
        if not isinstance(self.enabled, bool):
            raise ValueError("enabled is true or false")

    def is_on(self, user: str) -> bool:
        if not self.enabled:
            return False
        return user in self.users or bucket(self.name, user) < self.percent


def bucket(flag: str, user: str) -> int:
    """A number from 0 to 99 that stays the same for this flag and user."""
    return int.from_bytes(hashlib.blake2b(f"{flag}:{user}".encode(), digest_size=4).digest(), "big") % 100


class FlagStore:
    """Flags in kv, under their names."""

    PREFIX = "flag:"

    def __init__(self, kv):
        self.kv = kv

    def get(self, name: str) -> Flag | None:
        if (stored := self.kv.get(self.PREFIX + name)) is not None:
            return Flag(**stored)
        return None

    def put(self, flag: Flag) -> None:
        self.kv.put(self.PREFIX + flag.name, asdict(flag))


class App(DurableObject):
    @cached_property
    def store(self) -> FlagStore:
        return FlagStore(self.ctx.storage.kv)

    async def all_flags(self) -> dict[str, Flag]:
        entries = await self.ctx.storage.list(prefix=FlagStore.PREFIX)
        return {key.removeprefix(FlagStore.PREFIX): Flag(**value) for key, value in entries.items()}

    async def fetch(self, request):
        kind, _, name = request.path.strip("/").partition("/")
        try:
            match (request.method, kind):
                case ("GET", "flags") if not name:
                    return Response.json({name: asdict(flag) for name, flag in (await self.all_flags()).items()})
                case ("PUT", "flags") if name:
                    flag = Flag(name=name, **await request.json())
                    self.store.put(flag)
                    self.log("set", name)
                    return Response.json(asdict(flag))
                case ("PATCH", "flags") if flag := self.store.get(name):
                    flag = replace(flag, **await request.json())
                    self.store.put(flag)
                    self.log("changed", name)
                    return Response.json(asdict(flag))
                case ("DELETE", "flags"):
                    if not await self.ctx.storage.delete(FlagStore.PREFIX + name):
                        return Response.json({"error": f"no flag {name}"}, status=404)
                    self.log("deleted", name)
                    return Response(None, status=204)
                case ("GET", "evaluate"):
                    user = request.query.get("user", "")
                    return Response.json({key: flag.is_on(user) for key, flag in (await self.all_flags()).items()})
                case ("GET", "log"):
                    return Response.json(self.ctx.storage.kv.get("log", []))
        except (TypeError, ValueError) as error:
            return Response.json({"error": str(error)}, status=400)
        return Response.json({"error": "not found"}, status=404)

    def log(self, what: str, name: str) -> None:
        kv = self.ctx.storage.kv
        kv.put("log", [*kv.get("log", []), f"{what} {name}"][-100:])
