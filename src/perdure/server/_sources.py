"""The modules of a worker's program: the files below the folder of its `main`. Effects: disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import translate
from pathlib import Path
from re import Pattern
from re import compile as compile_pattern
from typing import Final

from perdure.api import Internet, Limits, WorkerCode
from perdure.config import Config, Rule
from perdure.errors import SourceError
from perdure.limits import CODE_BYTES_MAX, PROJECT_FILES_MAX

_TYPES_ONLY: Final = ".d.ts"
_SKIPPED: Final = frozenset({"node_modules", "__pycache__", "site-packages"})
_COMMON: Final = (
    Rule("text", ("*.txt", "*.html", "*.sql", "*.css", "*.svg", "*.md")),
    Rule("data", ("*.bin",)),
    Rule("json", ("*.json",)),
)
_OF_LANGUAGE: Final[Mapping[str, Sequence[Rule]]] = {
    ".py": (Rule("py", ("*.py",)),),
    ".js": (
        Rule("js", ("*.js", "*.mjs")),
        Rule("cjs", ("*.cjs",)),
        Rule("ts", ("*.ts", "*.mts")),
        Rule("tsx", ("*.tsx",)),
        Rule("jsx", ("*.jsx",)),
    ),
}
_SCRIPTS: Final = (".js", ".mjs", ".ts", ".mts", ".tsx", ".jsx")
_MAINS: Final[Mapping[str, str]] = {".py": ".py", **dict.fromkeys(_SCRIPTS, ".js")}


def main_file(folder: Path, config: Config) -> Path:
    """The file of `main`. Raises ConfigurationError when there is none, or it is no program."""
    path = (folder / config.main).resolve()
    if not path.is_file():
        near = ", ".join(f"`{name}`" for name in sorted(file.name for file in folder.glob("*.*"))[:10]) or "nothing"
        config.main_place.refuse(f"`main` is `{config.main}`, and there is no such file; the folder has {near}")
    if path.suffix not in _MAINS:
        config.main_place.refuse(f"`main` is `{config.main}`: it is a .js, .mjs, .ts or .py file")
    return path


def read_sources(folder: Path, config: Config, *, env: Mapping[str, object]) -> WorkerCode:
    """The program as code of a worker, as its files are now. Raises ConfigurationError."""
    main = main_file(folder, config)
    base = (folder / config.base_dir).resolve() if config.base_dir else main.parent
    if not main.is_relative_to(base):
        config.main_place.refuse(f"`main` is `{config.main}`, which is not in `base_dir`, `{config.base_dir}`")
    rules = _patterns([*config.rules, *_OF_LANGUAGE.get(_MAINS[main.suffix], ()), *_COMMON])
    modules: dict[str, object] = {}
    size_bytes = 0
    for path in _files(base, config):
        name = path.relative_to(base).as_posix()
        kind = next((kind for kind, pattern in rules if pattern.fullmatch(name)), None)
        if kind is None and path != main:
            continue
        size_bytes += path.stat().st_size
        if size_bytes > CODE_BYTES_MAX:
            config.main_place.refuse(
                f"the files below `{base}` that can be modules are larger than {CODE_BYTES_MAX} bytes together: put "
                "the program into a folder of its own"
            )
        module = _module(path, kind)
        if module is not None:
            modules[name] = module
    return WorkerCode(
        main.relative_to(base).as_posix(),
        modules,
        env=env,
        limits=Limits(cpu_ms=config.cpu_ms),
        compatibility_date=config.compatibility_date,
        global_outbound=Internet(tuple(config.outbound_allow)),
    )


def _module(path: Path, kind: str | None) -> object:
    """A file as a module; None for one that is no module after all."""
    content = path.read_bytes()
    if kind == "data":
        return {"data": content}
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: it is not UTF-8 ({error.reason} at byte {error.start})") from None
    if kind == "json":
        try:
            return {"json": json.loads(text)}
        except ValueError:
            return None  # Settings of some tool, with comments.
    return text if kind is None else {kind: text}


def _files(base: Path, config: Config) -> Iterator[Path]:
    """Every file below `base` but those of packages of others, hidden ones, and data directories."""
    folders, count = [base], 0
    for folder in folders:
        for path in sorted(folder.iterdir()):
            count += 1
            if count > PROJECT_FILES_MAX:
                config.main_place.refuse(
                    f"there are more than {PROJECT_FILES_MAX} files below `{base}`: put the program into a folder of "
                    "its own"
                )
            if path.name.startswith(".") or path.name in _SKIPPED or path.name.endswith(_TYPES_ONLY):
                continue
            if path.is_file():
                yield path
            elif path.is_dir() and not path.is_symlink() and not _is_foreign(path):
                folders.append(path)


def _is_foreign(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").exists() or (folder / "admin.sock").exists() or (folder / "journal").is_dir()


def _patterns(rules: Sequence[Rule]) -> list[tuple[str, Pattern[str]]]:
    """Globs as patterns for names of modules. A `*` may stand for folders, too, and `**/` for none."""
    return [(rule.kind, compile_pattern(translate(glob.removeprefix("**/")))) for rule in rules for glob in rule.globs]
