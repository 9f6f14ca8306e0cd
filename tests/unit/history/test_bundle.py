"""Exported objects come back whole; whatever else is in such a file is refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from tests.unit.history.history_world import NAMESPACE, OBJECT_ID, HistoryWorld, Tree

from perdure.errors import UsageError
from perdure.history import AsOf, read_bundle, write_bundle
from perdure.storage import SystemDisk


async def exported(tmp_path: Path) -> Path:
    world = HistoryWorld(tmp_path / "data")
    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        tree = Tree(Random(5))
        await tree.work(root, 25)
        async with world.past(root).as_of() as then:
            write_bundle(tmp_path / "a.zip", then, name="é", class_name=NAMESPACE, at="now")
            (tmp_path / "in").mkdir()
            bundle = read_bundle(tmp_path / "a.zip", tmp_path / "in")
            assert bundle.name == "é"
            assert {line: path.read_bytes() for line, path in bundle.files.items()} == {
                line: path.read_bytes() for line, path in then.files.items()
            }
            assert len(bundle.files) > 1
    return tmp_path / "a.zip"


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """The bundle with something changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    change(manifest, members)
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("manifest.json", json.dumps(manifest))
    return target


def first(manifest: dict[str, Any], **fields: object) -> None:
    manifest["databases"][0].update(fields)


CHANGES: dict[str, tuple[Callable[[dict[str, Any], dict[str, bytes]], Any], str]] = {
    "a path out": (lambda manifest, _: first(manifest, file="../../etc/passwd"), "no name of a database"),
    "an absolute path": (lambda manifest, _: first(manifest, file="/etc/passwd"), "no name of a database"),
    "a member that is not there": (lambda manifest, _: first(manifest, file="databases/9.sqlite"), "cannot be read"),
    "another checksum": (lambda manifest, _: first(manifest, sha256="0" * 64), "checksum differs"),
    "fewer bytes": (lambda manifest, _: first(manifest, bytes=4096), "larger than the manifest says"),
    "no whole pages": (lambda manifest, _: first(manifest, bytes=4097), "which no database of ours has"),
    "too many bytes": (lambda manifest, _: first(manifest, bytes=1 << 60), "which no database of ours has"),
    "sizes that are none": (lambda manifest, _: first(manifest, bytes=True), "which no database of ours has"),
    "a foreign lineage": (
        lambda manifest, _: manifest["databases"][1].update(lineage=[99]),
        "index of facets does not know",
    ),
    "a lineage too deep": (lambda manifest, _: first(manifest, lineage=[1, 2, 3, 4]), "too deep"),
    "a lineage of texts": (lambda manifest, _: first(manifest, lineage=["1"]), "no numbers of facets"),
    "no root": (lambda manifest, _: manifest["databases"].pop(0), "no root database"),
    "a database twice": (lambda manifest, _: manifest["databases"].append(manifest["databases"][0]), "twice"),
    "another format": (lambda manifest, _: manifest.update(format="x"), "not that of an object"),
    "a later version": (lambda manifest, _: manifest.update(version=2), "this program reads 1"),
    "a name that is none": (lambda manifest, _: manifest.update(name=7), "lacks what an object has"),
    "no databases": (lambda manifest, _: manifest.update(databases={}), "lacks what an object has"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_changed_is_refused(tmp_path: Path, change: str) -> None:
    apply, text = CHANGES[change]
    path = rewritten(await exported(tmp_path), apply)
    (tmp_path / "again").mkdir()

    with pytest.raises(UsageError, match=text):
        read_bundle(path, tmp_path / "again")


def with_content(content: bytes) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    def change(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        members["databases/0.sqlite"] = content
        first(manifest, bytes=len(content), sha256=sha256(content).hexdigest())

    return change


async def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    path = await exported(tmp_path)
    with zipfile.ZipFile(path) as archive:
        content = bytearray(archive.read("databases/0.sqlite"))
    foreign = apsw.Connection(":memory:")
    foreign.execute("PRAGMA page_size = 4096; CREATE TABLE t(a)")
    torn = bytes(content[: 4096 * (len(content) // 8192)]) or bytes(4096)
    for index, wrong in enumerate([bytes(4096), foreign.serialize("main"), torn]):
        (tmp_path / f"again{index}").mkdir()
        with pytest.raises(UsageError, match=r"refused|cannot be read"):
            read_bundle(rewritten(path, with_content(wrong)), tmp_path / f"again{index}")


async def test_cut_anywhere_it_is_refused(tmp_path: Path) -> None:
    path = await exported(tmp_path)
    content = path.read_bytes()
    for index, size in enumerate(range(0, len(content), max(1, len(content) // 40))):
        path.write_bytes(content[:size])
        (tmp_path / f"again{index}").mkdir()
        with pytest.raises(UsageError, match="cannot be read"):
            read_bundle(path, tmp_path / f"again{index}")


_ALARM = "CREATE TABLE _cf_ALARM(scheduled_ms, attempt_ms, retries, exponent, generation); INSERT INTO _cf_ALARM VALUES"


@pytest.mark.parametrize(
    ("statements", "text"),
    [
        ("CREATE VIEW _cf_RESTORE AS SELECT 1", "view `_cf_RESTORE` is in the place"),
        ("CREATE TABLE t(a); CREATE INDEX _cf_restore ON t(a)", "index `_cf_restore` is in the place"),
        ("CREATE TRIGGER t AFTER INSERT ON _cf_KV BEGIN SELECT 1; END", "trigger `t` is in the place"),
        (f"{_ALARM} (1, 'soon', 0, 0, 1)", "one of its alarms is no time"),
        (f"{_ALARM} (1, -1, 0, 0, 1)", "one of its alarms is no time"),
        (f"{_ALARM} (1, {2**63 - 1}, 0, 0, 1)", "one of its alarms is no time"),
        ("CREATE TABLE _cf_ALARM(a)", "cannot be read: no such column"),
    ],
)
async def test_what_stands_in_for_our_tables_is_refused(tmp_path: Path, statements: str, text: str) -> None:
    path = await exported(tmp_path)
    with zipfile.ZipFile(path) as archive:
        (tmp_path / "root.sqlite").write_bytes(archive.read("databases/0.sqlite"))
    connection = apsw.Connection(str(tmp_path / "root.sqlite"))
    connection.execute(statements)
    connection.close()
    (tmp_path / "again").mkdir()

    with pytest.raises(UsageError, match=text):
        read_bundle(rewritten(path, with_content((tmp_path / "root.sqlite").read_bytes())), tmp_path / "again")


async def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    lost = AsOf(1, {(): tmp_path / "lost.sqlite"}, {})

    with pytest.raises(apsw.Error):
        write_bundle(tmp_path / "a.zip", lost, name=None, class_name=NAMESPACE, at="now")

    assert not (tmp_path / "a.zip").exists()


class DiskThatNotes(SystemDisk):
    """A disk that notes what was made durable, in order; it fails at the file named `fails_at`."""

    def __init__(self, fails_at: Path | None = None) -> None:
        self.synced: list[Path] = []
        self._fails_at = fails_at

    def sync_file(self, path: Path) -> None:
        super().sync_file(path)
        self.synced.append(path)

    def sync_directory(self, path: Path) -> None:
        if path == self._fails_at:
            raise OSError(5, "Input/output error")
        super().sync_directory(path)
        self.synced.append(path)


async def test_the_name_of_a_bundle_is_durable_like_what_it_holds(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path / "data")
    async with world.store() as store:
        root = store.root(NAMESPACE, OBJECT_ID)
        await Tree(Random(5)).work(root, 3)
        async with world.past(root).as_of() as then:
            disk = DiskThatNotes()
            write_bundle(tmp_path / "a.zip", then, name=None, class_name=NAMESPACE, at="now", disk=disk)
            failing = DiskThatNotes(fails_at=tmp_path)
            with pytest.raises(OSError, match="Input/output"):
                write_bundle(tmp_path / "b.zip", then, name=None, class_name=NAMESPACE, at="now", disk=failing)

    assert disk.synced == [tmp_path / "a.zip", tmp_path]
    assert not (tmp_path / "b.zip").exists()
