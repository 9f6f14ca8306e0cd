"""Rules of CONTRIBUTING.md that no general tool checks. Each message says where and what to do instead."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.source_tree import ROOT, Module, modules, tracked_files

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600

EFFECTS_LINE = re.compile(r"(?:^|\s)Effects: (?P<effects>[^.()]+)(?:\([^()]+\))?\.$")
# `imports`, `calls` (of the host) and `snapshot` are what code inside a guest has.
EFFECTS = frozenset(
    {
        "none",
        "disk",
        "network",
        "process",
        "clock",
        "tasks",
        "timers",
        "threads",
        "log",
        "randomness",
        "memory",
        "terminal",
    }
    | {"imports", "calls", "snapshot"}  # what code inside a guest has: `calls` are those of the host
)
# An import that can reach the world, and the effects one of which it must be declared as.
EFFECTS_OF_IMPORT = {
    "apsw": {"disk"},
    "asyncio": {"tasks", "timers", "threads"},
    "concurrent": {"tasks", "threads"},
    "ctypes": {"memory", "process"},
    "fcntl": {"disk"},
    "mmap": {"disk", "memory"},
    "multiprocessing": {"process"},
    "os": {"disk", "process", "randomness"},
    "queue": {"threads", "tasks"},
    "random": {"randomness"},
    "secrets": {"randomness"},
    "shutil": {"disk"},
    "signal": {"process"},
    "socket": {"network"},
    "ssl": {"network"},
    "subprocess": {"process"},
    "tempfile": {"disk"},
    "threading": {"threads", "tasks"},
    "time": {"clock"},
    "urllib.request": {"network"},
    "uvicorn": {"network"},
    "watchfiles": {"disk"},
    "websockets": {"network"},
}


@dataclass(frozen=True)
class Import:
    """`name` is the module imported from, with the imported name behind it where there is one."""

    name: str
    line: int
    is_for_types: bool


def imports(tree: ast.Module) -> Iterator[Import]:
    """Every import of a file, wherever it stands."""
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, id(node) in for_types)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(f"{node.module}.{alias.name}", node.lineno, id(node) in for_types)


def report(violations: list[str]) -> None:
    assert not violations, "\n" + "\n".join(violations)


def test_rooms_are_entered_by_their_doors() -> None:
    violations = []
    for module in modules():
        for each in imports(module.tree):
            head, _, rest = each.name.partition(".")
            room, _, inside = rest.partition(".")
            if head == "perdure" and room != module.room and inside.startswith("_"):
                violations.append(
                    f"{module.place}:{each.line} imports `{each.name}`: that file is private to the room `{room}`; "
                    f"import from `perdure.{room}`, and let its door re-export what you need"
                )
    report(violations)


def test_siblings_are_imported_by_their_own_path() -> None:
    violations = [
        f"{module.place}:{each.line} imports `{each.name}` through its own door: import from the file itself"
        for module in modules()
        if module.room and not module.is_door
        for each in imports(module.tree)
        if re.fullmatch(rf"perdure\.{module.room}\.[^_.][^.]*", each.name)
        and not (module.path.parent / f"{each.name.rpartition('.')[2]}.py").exists()
    ]
    report(violations)


def test_effects_line_matches_imports() -> None:
    violations = []
    for module in modules():
        declared, problem = declared_effects(module)
        if problem:
            violations.append(f"{module.place}: {problem}")
        if problem or module.room == "guest":  # Whatever a guest imports, it reaches the world by host calls alone.
            continue
        for each in imports(module.tree):
            for name, effects in EFFECTS_OF_IMPORT.items():
                reaches = each.name == name or each.name.startswith(f"{name}.")
                if reaches and not each.is_for_types and not is_harmless(each.name, module) and not effects & declared:
                    violations.append(
                        f"{module.place}:{each.line} imports `{each.name}`, its docstring says "
                        f"`Effects: {', '.join(sorted(declared))}.`: declare one of {', '.join(sorted(effects))}, "
                        "or move what needs it into the driver beside"
                    )
    report(violations)


def declared_effects(module: Module) -> tuple[frozenset[str], str]:
    """The effects that a module's docstring declares, and what is wrong with the declaration if anything is."""
    docstring = ast.get_docstring(module.tree)
    if docstring is None:
        return frozenset(), "has no docstring: say what it is, in a noun phrase, and end with `Effects: …`"
    match = EFFECTS_LINE.search(" ".join(docstring.split()))
    if match is None:
        return frozenset(), "its docstring does not end with `Effects: none.`, or with the effects it has"
    declared = EFFECTS & set(re.findall(r"[a-z]+", match["effects"]))
    if not declared:
        return declared, f"`Effects: {match['effects']}.` names none of {', '.join(sorted(EFFECTS))}"
    if "none" in declared and len(declared) > 1:
        return declared, "`none` stands alone"
    return declared, ""


def is_harmless(name: str, module: Module) -> bool:
    """Whether an import cannot reach the world: paths and types, or SQLite without a file."""
    if name == "apsw":
        return "Connection(" not in module.text or '":memory:"' in module.text
    return name.startswith("os.path.") or name in {"os.PathLike", "os.fspath", "apsw.Connection", "apsw.Cursor"}


def test_blind_excepts_stand_in_named_supervisors() -> None:
    violations = []
    for module in modules():
        lines = module.text.splitlines()
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ExceptHandler) or not is_blind(node) or reraises(node):
                continue
            if not re.search(r"#.*(?:BLE001.{10,}|supervisor: .{10,})", lines[node.lineno - 1]):
                violations.append(
                    f"{module.place}:{node.lineno} catches everything: catch what you can name, or, in a supervisor "
                    "that answers or marks something broken, say so on the line: `# noqa: BLE001  # why here`"
                )
    report(violations)


def is_blind(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(each, ast.Name) and each.id in {"Exception", "BaseException"} for each in caught)


def reraises(handler: ast.ExceptHandler) -> bool:
    """Whether the last thing a handler does is to raise."""
    return isinstance(handler.body[-1], ast.Raise)


def test_functions_are_short() -> None:
    violations = []
    for module in modules():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            length = (node.end_lineno or node.lineno) - node.body[0].lineno + 1
            if ast.get_docstring(node) is not None:
                docstring = node.body[0]
                length -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
            if length > FUNCTION_LINES_MAX:
                violations.append(
                    f"{module.place}:{node.lineno} `{node.name}` has {length} lines, {FUNCTION_LINES_MAX} are allowed: "
                    "find the second function inside it"
                )
    report(violations)


def test_long_files_are_noticed() -> None:
    for module in modules():
        lines = module.text.count("\n")
        if lines > FILE_LINES_MAX:
            # Told, not failed: a long file may still be one thing. Shown by pytest's summary of warnings.
            warnings.filterwarnings("default", message=r".* lines: which two things does it do\?")
            warnings.warn(f"{module.place} has {lines} lines: which two things does it do?", stacklevel=1)


# Each pattern has one letter in brackets, so that it does not find itself.
MACHINE_OR_REGISTRY = re.compile(
    r"(?<![\w.])/(?:wor[k]|roo[t]|home/[a-z]+|Users/[A-Za-z]+)/"
    r"|pypi[.]org|pythonhoste[d]|npmj[s][.](?:org|com)|deb[.]debian|/opt/pyp[i]|/opt/wheel[s]"
)
ADDRESS = re.compile(
    r'"resolve[d]"|https?://[^"\s]+[.](?:tgz|whl|tar[.]gz)|--(?:extra-)?index-ur[l]|--find-link[s]|file[:]//'
)
UNFINISHED = re.compile(r"\b(?:FIXM[E]|XX[X])\b|\bTOD[O]\b(?! \(?#\d+)")
CODE_SUFFIXES = frozenset({".py", ".js", ".mjs", ".ts", ".toml", ".sh", ".html", ".css", ".wit"})


def matches(pattern: re.Pattern[str], paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Each place in the text files among `paths` where the pattern is found, and what was found."""
    for path in paths:
        raw = path.read_bytes()
        if b"\0" in raw[:8192]:
            continue
        for number, line in enumerate(raw.decode("utf-8", errors="replace").splitlines(), start=1):
            if match := pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}", match[0]


def test_no_file_names_a_machine_or_a_registry() -> None:
    report(
        [
            f"{place} names `{found}`: a path or a host of one machine has no place here"
            for place, found in matches(MACHINE_OR_REGISTRY, tracked_files())
        ]
    )


def test_lock_files_hold_no_addresses() -> None:
    locks = [
        path
        for path in tracked_files()
        if path.name.endswith((".lock", "-lock.json")) or path.parent.name == "requirements"
    ]
    report(
        [
            f"{place} holds `{found}`: lock without addresses (npm: omit-lockfile-registry-resolved=true; ./run lock)"
            for place, found in matches(ADDRESS, locks)
        ]
    )


def test_unfinished_work_has_an_issue() -> None:
    code = [path for path in tracked_files() if path.suffix in CODE_SUFFIXES]
    report(
        [
            f"{place} says `{found}`: finish it, or write the number of its issue behind it"
            for place, found in matches(UNFINISHED, code)
        ]
    )


def test_no_empty_files_and_folders_without_a_door() -> None:
    violations = [
        f"{path.relative_to(ROOT)} is empty: a file appears when it has something to hold"
        for path in tracked_files()
        if path.stat().st_size == 0 and path.name not in {"py.typed", "__init__.py"}
    ]
    rooms = {module.path.parent for module in modules()}
    violations += [
        f"{room.relative_to(ROOT)}/ has no __init__.py: give the room its door"
        for room in sorted(rooms)
        if not (room / "__init__.py").exists()
    ]
    report(violations)
