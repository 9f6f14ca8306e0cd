"""Builds the guest images: the WebAssembly files that perdure runs untrusted code in.

    python tools/build_images.py             what is missing or out of date
    python tools/build_images.py --force     all of them
    python tools/build_images.py python      one language

An image is kept with a hash of everything it was made from, so a second run does nothing.
Effects: disk, processes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Final

try:
    from tools import build_javascript_image as javascript
    from tools import immortal_objects
except ImportError:  # run as a script: modules are looked for in this folder
    import build_javascript_image as javascript  # type: ignore[import-not-found, no-redef]  # the same file
    import immortal_objects  # type: ignore[import-not-found, no-redef]  # as above

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = ROOT / "src" / "perdure"
IMAGES: Final = SOURCES / "images"

# ── any language ─────────────────────────────────────────────────────────────────────────────────────────────


def hash_of_inputs(files: Iterable[Path], versions: Mapping[str, str]) -> str:
    """What an image depends on, as one hash: the content of files and the versions of tools."""
    hasher = hashlib.sha256(json.dumps(dict(sorted(versions.items()))).encode())
    for file in sorted(files):
        content = file.read_bytes()
        hasher.update(f"\n{file.relative_to(ROOT).as_posix()} {len(content)}\n".encode() + content)
    return hasher.hexdigest()


def is_current(language: str, inputs: str) -> bool:
    """True if the image of `language` was made from exactly these inputs."""
    try:
        manifest = json.loads((IMAGES / f"{language}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return manifest.get("inputs") == inputs and (IMAGES / f"{language}.wasm").is_file()


def publish(language: str, wasm: Path, *, inputs: str) -> None:
    """Put a finished image into the package, its manifest last: a broken build leaves none."""
    IMAGES.mkdir(exist_ok=True)
    manifest = IMAGES / f"{language}.json"
    manifest.unlink(missing_ok=True)
    shutil.copyfile(wasm, IMAGES / f"{language}.wasm.part")
    (IMAGES / f"{language}.wasm.part").replace(IMAGES / f"{language}.wasm")
    content = hashlib.sha256(wasm.read_bytes()).hexdigest()
    manifest.write_text(json.dumps({"inputs": inputs, "sha256": content}) + "\n", encoding="utf-8")
    print(f"{language}: {wasm.stat().st_size / 1e6:.1f} MB")


# ── Python ───────────────────────────────────────────────────────────────────────────────────────────────────

# The guest tower, and what it stands on. The floors above it are the host's and must not be in the image.
_PYTHON_ROOMS: Final = ("agents", "api", "guest", "web", "wire")
_PYTHON_FILES: Final = ("__init__.py", "errors.py", "limits.py")
_ENTRY: Final = "perdure_guest"
# componentize-py takes a top-level module whose `WitWorld` it exports; of an exception it shows the text alone.
_ENTRY_SOURCE: Final = """
import traceback
try:
    from perdure.guest._entry import WitWorld
except BaseException as error:
    raise RuntimeError(traceback.format_exc()) from None
"""


def build_python(*, force: bool) -> None:
    """CPython, its standard library and our guest tower, as one component with a snapshot."""
    files = [SOURCES / name for name in _PYTHON_FILES]
    files += [file for room in _PYTHON_ROOMS for file in (SOURCES / room).glob("*.py")]
    world = SOURCES / "guest" / "guest.wit"
    versions = {tool: metadata.version(tool) for tool in ("componentize-py", "tzdata")}
    inputs = hash_of_inputs(
        [*files, world, Path(__file__).resolve(), Path(immortal_objects.__file__).resolve()], versions
    )
    if not force and is_current("python", inputs):
        print("python: up to date")
        return
    with tempfile.TemporaryDirectory() as directory:
        stage = Path(directory)
        for file in files:
            target = stage / file.relative_to(SOURCES.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        shutil.copytree(
            Path(str(resources.files("tzdata"))), stage / "tzdata", ignore=shutil.ignore_patterns("__pycache__")
        )
        (stage / f"{_ENTRY}.py").write_text(_ENTRY_SOURCE, encoding="utf-8")
        wasm = stage / "python.wasm"
        command = [
            str(Path(sys.executable).with_name("componentize-py")),
            "--wit-path", str(world), "--world", "guest",
            "componentize", _ENTRY, "--python-path", str(stage), "--output", str(wasm),
        ]  # fmt: skip
        subprocess.run(command, check=True, cwd=stage)
        image = bytearray(wasm.read_bytes())
        print(f"python: {immortal_objects.make_immortal(image)} objects are immortal")
        wasm.write_bytes(image)
        publish("python", wasm, inputs=inputs)


# ── JavaScript ───────────────────────────────────────────────────────────────────────────────────────────────


def build_javascript(*, force: bool) -> None:
    """QuickJS and our runtime, as one core module with a snapshot."""
    inputs = hash_of_inputs(javascript.sources(), {"wasmtime": metadata.version("wasmtime")})
    if not force and is_current("javascript", inputs):
        print("javascript: up to date")
        return
    with tempfile.TemporaryDirectory() as directory:
        wasm = Path(directory) / "javascript.wasm"
        javascript.build(wasm)
        javascript.gather_licenses()
        publish("javascript", wasm, inputs=inputs)


BUILDERS: Final[dict[str, Callable[..., None]]] = {"python": build_python, "javascript": build_javascript}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build the guest images.")
    parser.add_argument("languages", nargs="*", choices=[*BUILDERS, []], help="all of them by default")
    parser.add_argument("--force", action="store_true", help="build even if nothing has changed")
    arguments = parser.parse_args()
    for language in arguments.languages or BUILDERS:
        BUILDERS[language](force=arguments.force)


if __name__ == "__main__":
    main()
