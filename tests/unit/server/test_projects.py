"""Folders with a configuration: found, run as programs, bound to each other, refused with a place when wrong."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from perdure import Platform, Request
from perdure.errors import ConfigurationError, DataDirectoryError, SourceError, StorageFailedError
from perdure.isolates import Isolates
from perdure.server._projects import Project, find_project, project_platform
from perdure.storage import ClassRegister

T = TypeVar("T")
MAIN = """
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import { greeting } from "./lib/words.js";
import page from "./page.html";
import { env as imported } from "cloudflare:workers";
export class Counter extends DurableObject {
  count() {
    const { kv } = this.ctx.storage;
    kv.put("n", (kv.get("n") ?? 0) + 1);
    return kv.get("n");
  }
}
export class Admin extends WorkerEntrypoint {
  who(name) { return `${name} ${this.ctx.props.level ?? "none"}`; }
}
export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/count") return Response.json(await env.COUNTER.getByName("a").count());
    if (pathname === "/exports") return Response.json(await ctx.exports.Counter.getByName("a").count());
    if (pathname === "/imported") return Response.json([imported.WORD, await imported.SELF.who("me")]);
    if (pathname === "/self") return Response.json(await env.SELF.who("me"));
    return Response.json([greeting, page, env.WORD, env.LIST]);
  },
};
"""
CONFIG: dict[str, Any] = {
    "name": "shop",
    "main": "src/index.js",
    "vars": {"WORD": "hello", "LIST": [1, {"a": None}]},
    "durable_objects": {"bindings": [{"name": "COUNTER", "class_name": "Counter"}]},
    "services": [{"binding": "SELF", "service": "shop", "entrypoint": "Admin", "props": {"level": 2}}],
    "migrations": [{"tag": "v1", "new_sqlite_classes": ["Counter"]}],
}
FILES = {
    "src/index.js": MAIN,
    "src/lib/words.js": "export const greeting = 'good day';",
    "src/page.html": "<p>",
    "src/notes.xyz": "no module",
    "src/tsconfig.json": "{ // no JSON\n}",
    "src/node_modules/x/index.js": "nobody's",
}
PYTHON = """
from perdure import DurableObject, Response, WorkerEntrypoint
class Counter(DurableObject):
    def count(self):
        self.ctx.storage.kv.put("n", self.ctx.storage.kv.get("n", 0) + 1)
        return self.ctx.storage.kv.get("n")
class Default(WorkerEntrypoint):
    async def fetch(self, request):
        word = self.env.WORD
        return Response.json([await self.env.COUNTER.get_by_name("a").count(), word, hasattr(self.env, "LOADER")])
"""


def write(folder: Path, config: dict[str, Any], files: dict[str, str] | None = None) -> Project:
    for name, text in {**(FILES if files is None else files), "wrangler.jsonc": json.dumps(config)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return project(folder)


def project(folder: Path, environment: str | None = None) -> Project:
    found = find_project(str(folder), environment=environment)
    assert found is not None
    return found


@pytest.fixture
def make(perdure_isolates: Isolates) -> Callable[..., Platform]:
    return partial(project_platform, make_platform=partial(Platform, isolates=perdure_isolates, has_admin_socket=False))


def run(platform: Platform, work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        try:
            await platform.start()
            return await work()
        finally:
            await platform.stop()

    return asyncio.run(main())


def get(platform: Platform, *paths: str) -> list[Any]:
    async def work() -> list[Any]:
        answers = [await platform.handle(Request(f"http://localhost{path}")) for path in paths]
        return [await answer.json() for answer in answers]

    return run(platform, work)


# ── programs ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_runs_as_a_program_with_all_that_it_binds(tmp_path: Path, make: Callable[..., Platform]) -> None:
    platform = make([write(tmp_path, CONFIG)])

    answers = get(platform, "/", "/count", "/exports", "/self", "/imported")

    assert answers == [["good day", "<p>", "hello", [1, {"a": None}]], 1, 2, "me 2", ["hello", "me 2"]]
    assert list((tmp_path / ".perdure" / "objects").iterdir()) == [tmp_path / ".perdure" / "objects" / "shop-Counter"]


@pytest.mark.parametrize("is_trusted", [False, True])
def test_a_python_main_runs_in_a_sandbox_or_trusted_by_the_same_config(
    tmp_path: Path,
    make: Callable[..., Platform],
    is_trusted: bool,  # noqa: FBT001  # pytest gives it
) -> None:
    config = {**CONFIG, "main": "app.py", "services": [], "perdure": {"trusted": is_trusted}}
    folder = write(tmp_path, config, {"app.py": PYTHON})

    assert get(make([folder]), "/") == [[1, "hello", is_trusted]]
    assert get(make([folder]), "/") == [[2, "hello", is_trusted]]
    assert (tmp_path / ".perdure" / "objects" / "shop-Counter").is_dir()


def test_several_folders_are_bound_to_each_other(tmp_path: Path, make: Callable[..., Platform]) -> None:
    shop = write(tmp_path / "shop", CONFIG)
    front = {
        "name": "front",
        "main": "index.js",
        "durable_objects": {"bindings": [{"name": "THEIRS", "class_name": "Counter", "script_name": "shop"}]},
        "services": [
            {"binding": "SHOP", "service": "shop"},
            {"binding": "ADMIN", "service": "shop", "entrypoint": "Admin"},
        ],
    }
    source = """export default { async fetch(request, env) {
      const page = await (await env.SHOP.fetch("http://shop/count")).json();
      return Response.json([page, await env.THEIRS.getByName("a").count(), await env.ADMIN.who("x")]);
    } };"""
    platform = make([write(tmp_path / "front", front, {"index.js": source}), shop])

    assert get(platform, "/") == [[1, 2, "x none"]]


def test_trusted_code_is_bound_to_workers_in_sandboxes(tmp_path: Path, make: Callable[..., Platform]) -> None:
    source = """
from perdure import Response
async def fetch(request, env, ctx):
    count = await env.THEIRS.get_by_name("a").count()
    return Response.json([count, await env.ADMIN.who("x"), hasattr(env, "LOADER"), await env.EXTRA.evaluate("1 + 1")])
"""
    config = {
        "name": "front",
        "main": "front.py",
        "perdure": {"trusted": True, "data": "kept"},
        "durable_objects": {"bindings": [{"name": "THEIRS", "class_name": "Counter", "script_name": "shop"}]},
        "services": [{"binding": "ADMIN", "service": "shop", "entrypoint": "Admin"}],
        "worker_loaders": [{"binding": "EXTRA"}],
    }
    front = write(tmp_path / "front", config, {"front.py": source})

    assert get(make([front, write(tmp_path / "shop", CONFIG)]), "/") == [[1, "x none", True, 2]]
    assert (tmp_path / "front" / "kept").is_dir()


def test_sources_are_read_again_for_each_platform(tmp_path: Path, make: Callable[..., Platform]) -> None:
    folder = write(tmp_path, CONFIG)
    get(make([folder]), "/")
    (tmp_path / "src" / "lib" / "words.js").write_text("export const greeting = 'good night';")

    assert get(make([project(tmp_path)]), "/")[0][0] == "good night"


# ── migrations ──────────────────────────────────────────────────────────────────────────────────────────────

RENAME = {"tag": "v2", "renamed_classes": [{"from": "Counter", "to": "Tally"}]}
DELETE = {"tag": "v3", "deleted_classes": ["Tally"]}


def after(*migrations: dict[str, Any], binds: str | None) -> dict[str, Any]:
    bindings = [] if binds is None else [{"name": "COUNTER", "class_name": binds}]
    return {**CONFIG, "durable_objects": {"bindings": bindings}, "migrations": [*CONFIG["migrations"], *migrations]}


def test_a_renamed_class_keeps_its_objects(tmp_path: Path, make: Callable[..., Platform]) -> None:
    assert get(make([write(tmp_path, CONFIG)]), "/count") == [1]
    renamed = {**FILES, "src/index.js": MAIN.replace("class Counter", "class Tally")}

    assert get(make([write(tmp_path, after(RENAME, binds="Tally"), renamed)]), "/count") == [2]
    assert get(make([project(tmp_path)]), "/count") == [3]


def test_a_deleted_class_takes_its_objects_with_it_and_says_how_they_come_back(
    tmp_path: Path, make: Callable[..., Platform], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "perdure")
    get(make([write(tmp_path, CONFIG)]), "/count")
    again = {"tag": "v4", "new_sqlite_classes": ["Counter"]}
    deletes = after(RENAME, DELETE, binds=None)

    get(make([write(tmp_path, {**deletes, "services": []}, {**FILES, "src/index.js": "export default {fetch() {}}"})]))
    assert "undo: perdure rewind shop-Counter/a" in caplog.text
    assert "has deleted the namespace `shop-Counter` with its objects (1)" in caplog.text
    caplog.clear()

    assert get(make([write(tmp_path, after(RENAME, DELETE, again, binds="Counter"))]), "/count") == [1]
    assert "deleted" not in caplog.text


def test_an_applied_migration_that_was_edited_is_refused_and_nothing_is_lost(
    tmp_path: Path, make: Callable[..., Platform]
) -> None:
    get(make([write(tmp_path, CONFIG)]), "/count")
    edited = {**CONFIG, "migrations": [{"tag": "v1", "new_sqlite_classes": ["Counter", "More"]}]}

    with pytest.raises(ConfigurationError, match=r"wrangler\.jsonc:1:\d+: migration `v1` was applied .* edited since"):
        make([write(tmp_path, edited)])

    assert get(make([write(tmp_path, CONFIG)]), "/count") == [2]


def test_a_class_that_is_not_in_the_code_is_refused_and_its_migration_is_not_applied(
    tmp_path: Path, make: Callable[..., Platform]
) -> None:
    lacking = {**CONFIG, "migrations": [{"tag": "v1", "new_sqlite_classes": ["Counter", "Nope"]}]}

    with pytest.raises(ConfigurationError, match="worker `shop`: no such Durable Object class: `Nope`"):
        get(make([write(tmp_path, lacking)]), "/")

    assert get(make([write(tmp_path, CONFIG)]), "/count") == [1]


def test_a_deletion_that_was_cut_short_is_done_at_the_next_start(
    tmp_path: Path, make: Callable[..., Platform], monkeypatch: pytest.MonkeyPatch
) -> None:
    get(make([write(tmp_path, CONFIG)]), "/count")
    deletes = {**CONFIG, "durable_objects": {}, "services": [], "main": "empty.js"}
    deletes["migrations"] = [*CONFIG["migrations"], {"tag": "v2", "deleted_classes": ["Counter"]}]
    folder = write(tmp_path, deletes, {"empty.js": "export default { fetch: () => Response.json('gone') };"})

    def fail(register: ClassRegister, tree: object) -> None:
        raise StorageFailedError("the disk broke")

    with monkeypatch.context() as broken:
        broken.setattr(ClassRegister, "write", fail)
        with pytest.raises(StorageFailedError):
            get(make([folder]), "/")

    assert get(make([folder]), "/") == ["gone"]
    assert list((tmp_path / ".perdure" / "objects" / "shop-Counter").iterdir()) == []


def test_a_register_that_is_no_register_is_refused(tmp_path: Path, make: Callable[..., Platform]) -> None:
    get(make([write(tmp_path, CONFIG)]), "/count")
    (register,) = (tmp_path / ".perdure" / "classes").glob("*.json")
    register.write_text(register.read_text().replace("shop-Counter", "shop-Other"))

    with pytest.raises(DataDirectoryError, match="is damaged"):
        make([project(tmp_path)])


# ── what is wrong ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_without_a_configuration_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")

    assert find_project(str(tmp_path)) is None
    assert find_project(str(tmp_path / "nothing")) is None


def test_two_configurations_in_one_folder_are_refused(tmp_path: Path) -> None:
    write(tmp_path, CONFIG)
    (tmp_path / "wrangler.toml").write_text("main = 'a.js'\n")

    with pytest.raises(ConfigurationError, match="both configure a worker"):
        find_project(str(tmp_path))
    assert find_project(str(tmp_path / "wrangler.toml")) is not None


def test_a_configuration_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wrangler.jsonc").write_bytes(b'{"main": "\xff"}')

    with pytest.raises(ConfigurationError, match="it is not UTF-8"):
        find_project(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"main": "nope.js"}, "there is no such file; the folder has `wrangler.jsonc`"),
        ({"main": "src/page.html"}, "it is a .js, .mjs, .ts or .py file"),
        ({"base_dir": "src/lib"}, "which is not in `base_dir`"),
        ({"durable_objects": {"bindings": [{"name": "A", "class_name": "B"}]}}, "has no migration"),
        ({"services": [{"binding": "A", "service": "nobody"}]}, "name its folder, too"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    tmp_path: Path, make: Callable[..., Platform], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        make([write(tmp_path, {**CONFIG, **change})])

    assert "wrangler.jsonc:1:" in str(caught.value)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"src/index.js": "export default {"}, "SyntaxError"),
        ({"src/index.js": 'import "./nope.js";'}, "nope.js"),
        ({"src/index.js": "throw new Error('no start today');"}, "no start today"),
    ],
)
def test_code_that_does_not_load_is_told_at_the_start(
    tmp_path: Path, make: Callable[..., Platform], files: dict[str, str], said: str
) -> None:
    platform = make([write(tmp_path, CONFIG, {**FILES, **files})])

    with pytest.raises(SourceError, match="worker `shop`: Failed to start Worker") as caught:
        get(platform, "/")

    assert said in str(caught.value)


def test_a_worker_answers_to_the_host_names_of_its_configuration(tmp_path: Path, make: Callable[..., Platform]) -> None:
    platform = make([write(tmp_path, {**CONFIG, "perdure": {"hosts": ["shop.example.com"]}})])

    async def statuses() -> list[int]:
        hosts = ("shop.example.com", "evil.example.com")
        return [(await platform.handle(Request(f"http://{host}/count"))).status for host in hosts]

    assert run(platform, statuses) == [200, 421]


def test_typescript_runs_as_it_is(tmp_path: Path, make: Callable[..., Platform]) -> None:
    config = {"main": "index.ts", "vars": {"WORD": "typed"}}
    source = """import { word } from "./word.ts";
interface Env { WORD: string }
export default { fetch: (_: Request, env: Env): Response => Response.json([word, env.WORD]) };
"""
    files = {"index.ts": source, "word.ts": "export const word: string = 'good';", "all.d.ts": "declare const x;"}

    assert get(make([write(tmp_path, config, files)]), "/") == [["good", "typed"]]


def test_modules_in_a_cycle_load(tmp_path: Path, make: Callable[..., Platform]) -> None:
    cycle = "import { greeting } from './words.js'; export const twice = () => greeting + greeting;"
    words = "import { twice } from './twice.js'; export const greeting = 'x'; export { twice };"

    assert get(
        make([write(tmp_path, CONFIG, {**FILES, "src/lib/words.js": words, "src/lib/twice.js": cycle})]), "/count"
    )


def test_a_service_that_names_no_entry_point_is_refused(tmp_path: Path, make: Callable[..., Platform]) -> None:
    config = {**CONFIG, "services": [{"binding": "A", "service": "shop", "entrypoint": "Counter"}]}

    with pytest.raises(ConfigurationError, match=r"`shop\.env\.A` names the entry point `Counter`.*`Admin`"):
        get(make([write(tmp_path, config)]), "/")


def test_two_workers_of_one_name_are_refused(tmp_path: Path, make: Callable[..., Platform]) -> None:
    with pytest.raises(ConfigurationError, match="the worker is called `shop`, as the one of"):
        make([write(tmp_path / "a", CONFIG), write(tmp_path / "b", CONFIG)])


def test_a_trusted_class_that_is_not_there_is_refused(tmp_path: Path, make: Callable[..., Platform]) -> None:
    config = {**CONFIG, "main": "lacking_app.py", "services": [], "perdure": {"trusted": True}}

    with pytest.raises(ConfigurationError, match="does not have; its classes are: `Other`"):
        make([write(tmp_path, config, {"lacking_app.py": PYTHON.replace("class Counter", "class Other")})])


def test_a_trusted_worker_is_the_first_and_nobody_is_bound_to_it(tmp_path: Path, make: Callable[..., Platform]) -> None:
    config = {**CONFIG, "name": "kept", "main": "app.py", "services": [], "perdure": {"trusted": True}}
    trusted = write(tmp_path / "a", config, {"app.py": PYTHON})
    binds = {"name": "b", "main": "src/index.js", "services": [{"binding": "A", "service": "kept"}]}
    bound = write(tmp_path / "b", binds)

    with pytest.raises(ConfigurationError, match="name its folder first"):
        make([write(tmp_path / "c", CONFIG), trusted])
    with pytest.raises(ConfigurationError, match="cannot be bound to it"):
        make([trusted, bound])


def test_what_is_not_known_is_logged(
    tmp_path: Path, make: Callable[..., Platform], caplog: pytest.LogCaptureFixture
) -> None:
    make([write(tmp_path, {**CONFIG, "kv_namespaces": [], "mian": 1})])

    assert "`kv_namespaces` is not used: there is no Workers KV" in caplog.text
    assert "`mian` is not known here and is ignored; did you mean `main`?" in caplog.text


def test_secrets_are_variables_from_a_file_of_their_own(tmp_path: Path, make: Callable[..., Platform]) -> None:
    write(tmp_path, {**CONFIG, "env": {"staging": {}}})
    (tmp_path / ".dev.vars").write_text("WORD=secret\n")
    (tmp_path / ".dev.vars.staging").write_text("WORD='of staging'\n")

    assert get(make([project(tmp_path)]), "/")[0][2] == "secret"
    assert project(tmp_path, "staging").config.variables == {"WORD": "of staging"}
    (tmp_path / ".dev.vars").write_text("COUNTER=1\n")
    with pytest.raises(ConfigurationError, match=r"\.dev\.vars: `env\.COUNTER` is bound in"):
        project(tmp_path)


def test_an_environment_has_a_worker_of_its_own(tmp_path: Path, make: Callable[..., Platform]) -> None:
    write(tmp_path, {**CONFIG, "env": {"staging": {"vars": {"WORD": "hi"}}}})

    assert get(make([project(tmp_path, "staging")]), "/")[0][2] == "hi"
