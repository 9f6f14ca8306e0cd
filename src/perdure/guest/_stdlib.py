"""The standard library of the sandbox: all of it that makes sense without files, threads and processes.

Imported at build time, into the snapshot, where its pages are shared by every guest until one writes to them.
Effects: imports.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
import re
import sys
import zoneinfo
from importlib import resources
from typing import IO, Final
from zoneinfo import _common  # where both implementations of zoneinfo look

# For development, for a terminal or a screen, for processes, or with a side effect at import.
_LEFT_OUT: Final = re.compile(
    r"(_pyrepl|_ios_support|_apple_support|_android_support|antigravity|ctypes|curses|dbm|ensurepip|idlelib|multiprocessing|pip|pydoc_data|test|this|tkinter|turtle"
    r"|turtledemo|venv|webbrowser|.*\.tests?|.*\.__main__|__main__)(\..*)?"
)
_NEEDED: Final = (
    "asyncio",
    "dataclasses",
    "datetime",
    "decimal",
    "hashlib",
    "json",
    "sqlite3",
    "unicodedata",
    "zlib",
    "zoneinfo",
)
_NAMED_ZONES: Final = "zones"


def import_standard_library(folder: str) -> None:
    """Import every module below `folder` that can be. Raises ImportError if one that workers rely on cannot."""
    names = [*sys.builtin_module_names, *_modules_in(folder, "")]
    for name in names:
        try:
            importlib.import_module(name)
        except (ImportError, AttributeError):
            continue  # It needs what WebAssembly lacks: an extension, or a function of an operating system.
    missing = [name for name in _NEEDED if name not in sys.modules]
    if missing:
        raise ImportError(f"the snapshot lacks {', '.join(missing)}")


def _modules_in(folder: str, prefix: str) -> list[str]:
    names = []
    for module in pkgutil.iter_modules([folder], prefix):
        if _LEFT_OUT.fullmatch(module.name):
            continue
        names.append(module.name)
        if module.ispkg:
            names += _modules_in(f"{folder}/{module.name.removeprefix(prefix)}", f"{module.name}.")
    return names


def bake_time_zones() -> None:
    """Keep the IANA time zones in memory, and let `zoneinfo` find them there instead of in files."""
    package = resources.files("tzdata")
    names = (package / _NAMED_ZONES).read_text(encoding="utf-8").split()
    zones = {name: (package / "zoneinfo" / name).read_bytes() for name in names}

    def load_tzdata(key: str) -> IO[bytes]:
        if key not in zones:
            raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}")
        return io.BytesIO(zones[key])

    _common.load_tzdata = load_tzdata  # type: ignore[assignment]  # any binary file will do
    zoneinfo.available_timezones = lambda: set(zones)
