"""The build hook of the wheel: refuses to build one that could not run a guest.

The images are made by `tools/build_images.py` and ignored by git, so a fresh checkout has none. An editable install
is let through: `./run` makes it first and builds the images with it.
Effects: disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LANGUAGES = ("python", "javascript")


class ImagesHook(BuildHookInterface[Any]):
    """Looks for one image per guest language, and for the licences of what is baked into them."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        missing = missing_parts(Path(self.root))
        if missing:
            raise FileNotFoundError(
                f"cannot build perdure without {', '.join(missing)}: run `python tools/build_images.py` first"
            )


def missing_parts(root: Path) -> list[str]:
    """What a wheel made now would lack, in words."""
    images = root / "src" / "perdure" / "images"
    missing = [
        f"the {language} image"
        for language in LANGUAGES
        if not all((images / f"{language}.{suffix}").is_file() for suffix in ("wasm", "json"))
    ]
    if not any((root / "licenses").glob("*")):
        missing.append("licenses/")
    return missing
