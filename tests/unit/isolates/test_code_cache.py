"""Where compiled code is kept, and whom it is trusted from."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest
from wasmtime import Module, wat2wasm

from perdure.errors import ConfigurationError
from perdure.isolates import _code_cache as code_cache
from perdure.isolates._engine import Engine
from perdure.isolates._images import Image, load_image

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")


def small_image(directory: Path, body: str = "") -> Image:
    content = bytes(wat2wasm(f'(module (memory (export "memory") 1) {body})'))
    path = directory / "small.wasm"
    path.write_bytes(content)
    return Image("small", path, hashlib.sha256(content).hexdigest())


def load(image: Image, directory: Path) -> list[str]:
    """Load an image in an engine of its own; what was said about progress."""
    said: list[str] = []
    engine = Engine(cache_directory=directory, on_progress=said.append)
    assert isinstance(engine.load_module(image), Module)
    engine.close()
    return said


def test_image_is_compiled_once(tmp_path: Path) -> None:
    image = small_image(tmp_path)

    first, second = load(image, tmp_path / "cache"), load(image, tmp_path / "cache")

    assert len(first) == 2
    assert "compiling" in first[0]
    assert second == []


def test_files_are_ours_alone(tmp_path: Path) -> None:
    load(small_image(tmp_path), tmp_path / "cache")

    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    [file] = (tmp_path / "cache").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_other_content_is_another_file(tmp_path: Path) -> None:
    load(small_image(tmp_path), tmp_path / "cache")
    load(small_image(tmp_path, '(func (export "f"))'), tmp_path / "cache")

    assert len(list((tmp_path / "cache").glob("small-*.cwasm"))) == 2


def test_old_files_are_thrown_out(tmp_path: Path) -> None:
    for number in range(5):
        load(small_image(tmp_path, f'(func (export "f{number}"))'), tmp_path / "cache")

    assert len(list((tmp_path / "cache").glob("small-*.cwasm"))) == 3


def test_damaged_file_is_made_again(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    load(image, tmp_path / "cache")
    [file] = (tmp_path / "cache").iterdir()
    file.write_bytes(b"not compiled code")

    assert len(load(image, tmp_path / "cache")) == 2
    assert load(image, tmp_path / "cache") == []


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_directory_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "cache"
    directory.mkdir()
    directory.chmod(mode)

    with pytest.raises(ConfigurationError, match="can be written by other users"):
        load(small_image(tmp_path), directory)


def test_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    assert code_cache._refusal(tmp_path.lstat(), user=os.geteuid() + 1) == (
        f"belongs to user {os.geteuid()}, not to us ({os.geteuid() + 1})"
    )


def test_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(tmp_path / "real")

    with pytest.raises(ConfigurationError, match="no plain directory"):
        load(small_image(tmp_path), tmp_path / "cache")


def test_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")

    with pytest.raises(ConfigurationError, match="directory of your own"):
        load(small_image(tmp_path), tmp_path / "cache")


def test_cache_is_where_the_platform_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert code_cache.default_directory() == tmp_path / "perdure"


def test_missing_image_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"build_images\.py"):
        load_image("python", directory=tmp_path)
