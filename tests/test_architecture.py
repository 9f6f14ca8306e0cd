"""The documents are true: each name in backticks exists, as a file, a symbol or a command.

Decisions are dated and never edited, so they may name what is gone. Names that belong to others are listed here.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

import pytest
from tests.source_tree import PACKAGE, ROOT, modules, tracked_files
from tests.unit.server.asgi_client import http_scope, messages_of

from perdure import DurableObject, FacetOptions, Platform, Request, Response, WorkerCode
from perdure.isolates import Isolates
from perdure.testing import World

ARCHITECTURE = ROOT / "ARCHITECTURE.md"
ARCHITECTURE_LINES_MAX = 300
OWN_PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")

PATH = re.compile(r"[\w.-]+(?:/[\w.{}-]+)*/?")
DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
OBJECT = re.compile(r"[A-Z]\w*/[\w-]+")  # as the command line names one
HOST = re.compile(r"[\w.-]+\.(?:localhost|example\.(?:com|net))")
NAME = re.compile(r"[A-Z][a-z0-9]+[A-Z]\w*|[a-z]\w*_\w*[a-z0-9]|[A-Z]{2,}_\w+|_\w+")
# Names of other projects, and of the standard library, that our pages may speak of.
# Made up for the sake of an example, in CONTRIBUTING.md.
EXAMPLES = frozenset({"_private", "timeout_s", "size_bytes_max", "test_a_facet_cannot_read_its_parent"})
FOREIGN = frozenset(
    {
        "NO_CKPT_ON_CLOSE",
        "wrangler.json",
        "wrangler.toml",
        "NewType",
        "TaskGroup",
        "TypedDict",
        "asyncio.sleep",
        "call_soon",
        "datetime.now",
        "json.loads",
        "main_module",
        "node_modules",
        "os.urandom",
        "time.time",
        "to_js",
    }
)


def pages() -> list[Path]:
    docs = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "decisions" not in path.parts]
    return [ROOT / name for name in OWN_PAGES if (ROOT / name).exists()] + docs


@cache
def vocabulary() -> frozenset[str]:
    """Every name that the project's own source defines or uses as an attribute, argument or key."""
    words = set(dir(builtins)) | FOREIGN | EXAMPLES
    for module in modules():
        words.update(re.findall(r"\w+", module.text))
        words.add(module.path.stem)
    for path in tracked_files():
        if (
            path.suffix in {".js", ".mjs", ".toml", ".json", ".wit", ".ts"}
            or path.name == "run"
            or path.parts[-2] == "tools"
        ):
            words.update(re.findall(r"\w+", path.read_text(encoding="utf-8")))
        if path.suffix == ".py" and path.is_relative_to(ROOT / "tests"):
            words.update(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return frozenset(words)


def prose_names(text: str) -> set[str]:
    """What stands in backticks outside fenced blocks."""
    prose = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", prose))


def is_known(name: str) -> bool:
    """Whether a backticked name exists, or is nothing this test can judge: a sentence, a command, a value."""
    bare = re.sub(r"\(.*\)$", "", name)
    if name in FOREIGN or bare in FOREIGN or HOST.fullmatch(name):
        return True
    if OBJECT.fullmatch(name):
        return True
    if "/" in name and PATH.fullmatch(name):
        return file_exists(name)
    if re.fullmatch(r"[\w-]+\.(?:py|md|toml|js|mjs|wit|json|txt)", name):
        return any(path.name == name for path in tracked_files()) or name in {
            "worker.py",
            "worker.js",
            "app.py",
            "main.py",
        }
    if DOTTED.fullmatch(bare) or NAME.fullmatch(bare):
        return all(word in vocabulary() for word in bare.split("."))
    return True


def file_exists(name: str) -> bool:
    """Whether a path stands in the checkout, seen from its root or from the package, with or without `.py`."""
    if "{" in name or name.startswith("/"):
        return True
    places = (ROOT / name, PACKAGE.parent / name, PACKAGE / name, PACKAGE / f"{name}.py")
    generated = name.startswith((".perdure", "src/perdure/images", "licenses", ".venv"))
    return generated or any(place.exists() for place in places)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_names_on_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    of_its_own = set(re.findall(r"^```\w+ (\S+\.\w+)$", text, re.MULTILINE))
    unknown = sorted(name for name in prose_names(text) - of_its_own if not is_known(name))

    assert unknown == [], f"{page.relative_to(ROOT)} names what is not there: {', '.join(unknown)}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_room_is_on_the_map() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    rooms = {module.room for module in modules()} - {"", "__main__"}

    assert sorted(room for room in rooms if f"`{room}`" not in text) == []


@pytest.mark.parametrize("whose", ["a request", "an alarm"])
def test_a_road_exists(whose: str) -> None:
    """Each step in the fenced road names a file of the package, and what it names there is defined in it."""
    missing = [f"{file} {name}".strip() for file, name in road(whose) if not defines(PACKAGE / f"{file}.py", name)]

    assert len(road(whose)) >= 6
    assert missing == []


def road(whose: str) -> list[tuple[str, str]]:
    """The steps of a fenced road: file and name."""
    text = ARCHITECTURE.read_text(encoding="utf-8").partition(f"## The road of {whose}\n")[2].partition("\n## ")[0]
    return re.findall(r"^ *\d+ +(\w+/_\w+)(?: +(\w+(?:\.\w+)*))?", text, flags=re.MULTILINE)


APP = """
from workers import DurableObject, Response

class App(DurableObject):
    def fetch(self, request):
        count = self.ctx.storage.kv.get("count", 0) + 1
        self.ctx.storage.kv.put("count", count)
        return Response(str(count))

    def sleep(self, at_ms):
        self.ctx.storage.set_alarm(at_ms)

    def alarm(self):
        self.ctx.storage.kv.put("woken", True)
"""


class Supervisor(DurableObject):
    async def fetch(self, request: Request) -> Response:
        return await self.ctx.facets.get("app").fetch(request)

    async def sleep(self, at_ms: int) -> None:
        await self.ctx.facets.get("app").sleep(at_ms)

    def start_facet(self, name: str) -> FacetOptions:
        worker = self.env.LOADER.get("app", lambda: WorkerCode.python(APP))
        return FacetOptions(cls=worker.get_durable_object_class("App"))


def test_a_request_takes_the_road(tmp_path: Path, perdure_isolates: Isolates) -> None:
    platform = Platform([Supervisor], app_host="{name}.localhost", data=tmp_path, isolates=perdure_isolates)

    scope = http_scope() | {"headers": [(b"host", b"todo.localhost")]}

    async def main() -> list[tuple[str, str]]:
        with entered() as steps:
            await messages_of(platform, dict(scope))
            steps.clear()  # A start takes parts of the road more than once.
            await messages_of(platform, dict(scope))
            return list(steps)

    way = iter(asyncio.run(main()))
    assert [step for step in road("a request") if step not in way] == []


def test_an_alarm_takes_the_road(perdure_isolates: Isolates) -> None:
    with World([Supervisor], isolates=perdure_isolates) as world:

        async def main() -> list[tuple[str, str]]:
            with entered() as steps:  # From the beginning, so that the threads that guests run on are seen too.
                await world.get(Supervisor, "todo").sleep(world.clock.now_ms() + 60_000)
                steps.clear()
                await world.advance("2m")
                return list(steps)

        way = iter(world.run(main()))
    assert [step for step in road("an alarm") if step not in way] == []


@contextmanager
def entered() -> Iterator[list[tuple[str, str]]]:
    """The functions of ours that are entered meanwhile on any thread, in order: file and name."""
    steps: list[tuple[str, str]] = []
    frames: set[FrameType] = set()  # A coroutine that goes on is a call too, of a frame that is known.

    def look(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(str(PACKAGE)) and frame not in frames:
            frames.add(frame)
            steps.append((file.removeprefix(f"{PACKAGE}/").removesuffix(".py"), frame.f_code.co_qualname))

    before = sys.getprofile()
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield steps
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


def defines(path: Path, name: str) -> bool:
    """Whether a file exists and defines a class, or a class and a method of it."""
    if not path.exists():
        return False
    scope: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    for part in filter(None, name.split(".")):
        found = [
            node
            for node in scope
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == part
        ]
        if not found:
            return False
        scope = found[0].body
    return True


def test_architecture_stays_short() -> None:
    assert ARCHITECTURE.read_text(encoding="utf-8").count("\n") <= ARCHITECTURE_LINES_MAX
