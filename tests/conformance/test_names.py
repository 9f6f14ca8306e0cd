"""Names that nobody expects: NUL, emoji, 256 and 257 bytes, of objects, facets and keys, through every face."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.conformance.flavours import Subject, failure

from perdure import DurableObject, FacetOptions
from perdure.cli import main
from perdure.isolates import Isolates
from perdure.testing import World

NAMES = {
    "nul": "a\0b",
    "emoji": "👩\u200d🚀 é",
    "of 256 bytes": "é" * 128,
    "like a path": "../../etc/passwd",
    "terminal": "\x1b[31mred\n",
    "quotes": '\' OR "1"="1`; --',
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
async def test_a_facet_may_be_called_so(subject: Subject, name: str) -> None:
    await subject.call("relay", [name], "put", "k", 1)
    await subject.call("relay", [name + "x" if len(name) < 100 else "x"], "put", "k", 2)
    await subject.crash()

    assert await subject.call("relay", [name], "read", "k") == 1
    assert name in await subject.call("facetNames")
    await subject.call("deleteFacet", name)
    assert len(await subject.call("facetNames")) == 1
    assert await subject.call("relay", [name], "read", "k") is None


@pytest.mark.parametrize("character", ["x", "é", "👩"])
async def test_a_facets_name_has_256_bytes_and_not_one_more(subject: Subject, character: str) -> None:
    longest = character * (256 // len(character.encode()))

    error = await failure(subject.call("relay", [longest + "!"], "put", "k", 1))
    assert "Facet name is too long" in str(error)
    assert await subject.call("facetNames") == []
    await subject.call("relay", [longest], "put", "k", 1)
    assert await subject.call("facetNames") == [longest]


@pytest.mark.parametrize("key", [*NAMES.values(), "k" * 257], ids=[*NAMES, "of 257 bytes"])
async def test_a_key_may_be_called_so(subject: Subject, key: str) -> None:
    await subject.call("put", key, "kept")
    await subject.call("put", key + "!", "another")
    await subject.crash()

    assert await subject.call("read", key) == "kept"
    assert await subject.call("keys", {"prefix": key}) == [key, key + "!"]
    await subject.call("forget", key)
    assert await subject.call("read", key) is None
    assert await subject.call("read", key + "!") == "another"


class Named(DurableObject):
    def put(self, value: object) -> None:
        self.ctx.storage.kv.put("k", value)

    def read(self) -> object:
        return self.ctx.storage.kv.get("k")

    def own_name(self) -> str | None:
        return self.ctx.id.name

    async def put_below(self, name: str) -> None:
        await self.ctx.facets.get(name, lambda: FacetOptions(cls=Named)).put(name)


def told(data: Path, *words: str) -> list[object]:
    """The JSON that a command prints."""
    ended = CliRunner().invoke(main, [*words, "--data", str(data), "--json"])
    assert ended.exit_code == 0, ended.output
    items: list[object] = json.loads(ended.output)["items"]
    return items


@pytest.mark.parametrize("name", [*NAMES.values(), "n" * 257], ids=[*NAMES, "of 257 bytes"])
def test_an_object_may_be_called_so_and_commands_reach_it(
    tmp_path: Path, perdure_isolates: Isolates, name: str
) -> None:
    data = tmp_path / "data"
    facet = name[:128]
    with World([Named], isolates=perdure_isolates, data=data) as world:
        world.run(world.get(Named, name).put("of the object"))
        world.run(world.get(Named, name).put_below(facet))
        world.run(world.get(Named, "other").put("of another"))
        world.run(world.crash())
        assert world.run(world.get(Named, name).read()) == "of the object"
        assert world.run(world.get(Named, name).own_name()) == name

    listed = {item["name"]: item for item in told(data, "ls")}  # type: ignore[index]
    assert set(listed) == {name, "other"}
    identity = f"#{listed[name]['id']}"  # type: ignore[index]
    shown = CliRunner().invoke(main, ["ls", "--data", str(data)])
    assert (shown.exit_code, len(shown.output.splitlines())) == (0, 3)
    assert not {"\0", "\x1b"} & set(shown.output)
    assert [item["path"] for item in told(data, "tree", identity)] == [[], [facet]]  # type: ignore[index]
    assert told(data, "kv", identity) == [{"key": "k", "value": json.dumps("of the object")}]
    assert told(data, "kv", f"{identity}:{facet}") == [{"key": "k", "value": json.dumps(facet)}]
    assert told(data, "sql", f"Named/{name}:{facet}", "SELECT 1") == [[1]]
