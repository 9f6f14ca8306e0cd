"""Importing the user's code, again and again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.errors import ConfigurationError, SourceError
from perdure.server._imports import find_source


@pytest.fixture(autouse=True)
def _own_modules() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_change_in_any_file_of_the_folder_is_seen(tmp_path: Path) -> None:
    write(tmp_path, program="from part import value", part="value = 1")
    tree, _ = find_source(str(tmp_path / "program.py"))
    first = tree.load()

    write(tmp_path, part="value = 2")

    assert tree.load().value == 2
    assert first.value == 1
    assert not list(tmp_path.rglob("*.pyc"))


def test_code_that_fails_brings_the_old_modules_back(tmp_path: Path) -> None:
    write(tmp_path, program="from part import value", part="value = 1")
    tree, _ = find_source(str(tmp_path / "program.py"))
    first = tree.load()
    part = sys.modules["part"]

    write(tmp_path, program="import part\nraise ValueError('new')")
    with pytest.raises(SourceError):
        tree.load()

    assert sys.modules["program"] is first
    assert sys.modules["part"] is part


def test_a_traceback_shows_the_users_frames_only(tmp_path: Path) -> None:
    write(tmp_path, program="def f():\n    return 1 / 0\nf()")

    with pytest.raises(SourceError) as caught:
        find_source(str(tmp_path / "program.py"))[0].load()

    text = str(caught.value)
    assert text.startswith("Traceback")
    assert 'program.py", line 2, in f' in text
    assert text.endswith("ZeroDivisionError: division by zero")
    assert "importlib" not in text
    assert "_imports.py" not in text


def test_a_syntax_error_points_at_the_place(tmp_path: Path) -> None:
    write(tmp_path, program="def f(:\n    pass")

    with pytest.raises(SourceError) as caught:
        find_source(str(tmp_path / "program.py"))[0].load()

    text = str(caught.value)
    assert 'program.py", line 1' in text
    assert "def f(:" in text
    assert "SyntaxError" in text
    assert not text.startswith("Traceback")


def test_a_file_of_a_package_can_import_relatively(tmp_path: Path) -> None:
    write(tmp_path, pack__in____init__="", pack__in__program="from .part import value", pack__in__part="value = 7")

    tree, _ = find_source(str(tmp_path / "pack" / "program.py"))

    assert tree.module_name == "pack.program"
    assert tree.load().value == 7


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["main", "app", "other"], "main"),
        (["app", "other"], "app"),
        (["shop", "other"], "shop"),
        (["only"], "only"),
    ],
)
def test_a_folder_has_a_main_file(tmp_path: Path, files: list[str], chosen: str) -> None:
    folder = write(tmp_path / "shop", **dict.fromkeys(files, ""))

    assert find_source(str(folder))[0].module_name == chosen


def test_a_folder_that_is_a_package_is_imported_as_one(tmp_path: Path) -> None:
    folder = write(tmp_path / "shop", __init__="value = 3", other="")

    assert find_source(str(folder))[0].load().value == 3


@pytest.mark.parametrize(
    ("name", "files", "complaint"),
    [
        ("none.py", [], "nothing at `.*none.py`"),
        ("", ["one", "two"], "has `one.py`, `two.py`: name the file"),
        ("", [], "has no .py file"),
        ("two words.py", ["two words"], "cannot be imported: rename"),
        ("json.py", ["json"], "module of Python's own"),
    ],
)
def test_what_cannot_be_imported_is_told_so(tmp_path: Path, name: str, files: list[str], complaint: str) -> None:
    write(tmp_path, **dict.fromkeys(files, ""))

    with pytest.raises(ConfigurationError, match=complaint):
        find_source(str(tmp_path / name))


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("")

    with pytest.raises(ConfigurationError, match="no Python file"):
        find_source(str(tmp_path / "a.js"))


def test_data_and_packages_of_others_are_not_watched(tmp_path: Path) -> None:
    for folder in ("pages/css", ".perdure/objects", "node_modules/x", "env/lib", "__pycache__"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    write(tmp_path, program="")

    folders = find_source(str(tmp_path / "program.py"))[0].watched_folders()

    assert [str(folder.relative_to(tmp_path)) for folder in folders] == [".", "pages", "pages/css"]
