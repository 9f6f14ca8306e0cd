"""Guest images: the WebAssembly files in the package, one per language, made by `tools/build_images.py`.

Beside each `<language>.wasm` lies a `<language>.json` with the hash of its content and of what it was made from.
Effects: disk.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perdure.errors import ConfigurationError

IMAGES: Final = Path(__file__).parents[1] / "images"


@dataclass(frozen=True, slots=True)
class Image:
    """One language's guest. `digest` names its content, so that compiled code can be found by it."""

    language: str
    path: Path
    digest: str

    def read(self) -> bytes:
        """The WebAssembly code."""
        return self.path.read_bytes()


def load_image(language: str, *, directory: Path = IMAGES) -> Image:
    """The image of `language`. Raises ConfigurationError when it has not been built."""
    path = directory / f"{language}.wasm"
    try:
        digest = json.loads((directory / f"{language}.json").read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        digest = None
    if not isinstance(digest, str) or not path.is_file():
        raise ConfigurationError(
            f"the {language} guest image is not in `{directory}`: run `python tools/build_images.py`, "
            "or install perdure from a wheel, which carries it"
        )
    return Image(language, path, digest)
