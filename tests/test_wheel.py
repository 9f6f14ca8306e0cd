"""The wheel: it holds what a guest needs, says what it imports, and serves where there is no Node and no compiler."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from tests.serving import fetch, served
from tests.source_tree import ROOT, modules
from tools.hatch_build import LANGUAGES, ImagesHook, missing_parts

APP = """
from perdure import DurableObject, FacetOptions, Response, WorkerCode

PYTHON = '''
from workers import DurableObject, Response

class App(DurableObject):
    def fetch(self, request):
        count = self.ctx.storage.kv.get("count", 0) + 1
        self.ctx.storage.kv.put("count", count)
        return Response(f"python {count}")
'''
JAVASCRIPT = '''
import { DurableObject } from "cloudflare:workers";

export class App extends DurableObject {
  fetch(request) {
    const count = (this.ctx.storage.kv.get("count") ?? 0) + 1;
    this.ctx.storage.kv.put("count", count);
    return new Response(`javascript ${count}`);
  }
}
'''


class Runner(DurableObject):
    async def fetch(self, request):
        python = self.ctx.facets.get("python", lambda: self.start(WorkerCode.python(PYTHON)))
        javascript = self.ctx.facets.get("javascript", lambda: self.start(WorkerCode.javascript(JAVASCRIPT)))
        answers = [await python.fetch(request), await javascript.fetch(request)]
        return Response(", ".join([await answer.text() for answer in answers]))

    def start(self, code):
        return FacetOptions(cls=self.env.LOADER.load(code).get_durable_object_class("App"))


async def fetch(request, env, ctx):
    return await ctx.exports.Runner.get_by_name("smoke").fetch(request)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = missing_parts(ROOT)
    assert not missing, f"{', '.join(missing)} missing: python tools/build_images.py"
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the wheel in it. Its dependencies are those of the running tests, lent by path:
    a `.pth` inside a lent folder is not read, so the checkout stays out of sight.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-deps", wheel)
    return folder


def run(*command: object, **environment: str) -> str:
    finished = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        cwd=ROOT,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_a_wheel_without_images_is_refused(tmp_path: Path) -> None:
    hook = ImagesHook(str(tmp_path), {}, None, None, "", "wheel")  # type: ignore[arg-type]  # it reads the root only

    with pytest.raises(FileNotFoundError, match="the python image, the javascript image, licenses/: run"):
        hook.initialize("standard", {})
    hook.initialize("editable", {})


@pytest.mark.slow
def test_the_wheel_holds_what_a_guest_needs(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    images = {f"perdure/images/{language}.{suffix}" for language in LANGUAGES for suffix in ("wasm", "json")}
    assert images <= set(names)
    assert [name for name in names if ".dist-info/licenses/" in name and not name.endswith("/LICENSE")]
    assert "perdure/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "tools/", "benchmarks/"))]


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w-]+", line)[0].lower() for line in project["dependencies"]}  # type: ignore[index]  # always
    optional = {"pytest"}  # perdure.testing._plugin is only ever imported by pytest
    inside_images = {"wit_world", "componentize_py_runtime", "componentize_py_types", "workers"}
    distributions = packages_distributions()

    undeclared = {
        f"{module.place}: {top}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if (top := name.partition(".")[0]) not in sys.stdlib_module_names | {"perdure"} | inside_images
        if not {each.lower() for each in distributions.get(top, [top])} & (declared | optional)
    }

    assert undeclared == set()


@pytest.mark.slow
def test_the_installed_command_tells_its_version(installed: Path) -> None:
    from perdure import __version__

    told = run(installed / "bin" / "perdure", "--version", PATH=str(installed / "bin"))

    assert __version__ in told


@pytest.mark.slow
def test_the_installed_wheel_serves_guests_without_node_or_compiler(installed: Path, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP, encoding="utf-8")

    with served(installed / "bin" / "perdure", app, path=str(installed / "bin")) as url:
        answers = [fetch(url), fetch(url)]

    assert answers == ["python 1, javascript 1", "python 2, javascript 2"]
