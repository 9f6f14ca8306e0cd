"""A Platform inside other people's apps: mounted without lifespan wiring, behind their middleware."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi import Request as SiteRequest
from fastapi import Response as SiteResponse
from fastapi.responses import JSONResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route

from perdure import DurableObject, FacetOptions, PerdureError, Platform, Request, Response, WorkerCode
from perdure.errors import UsageError
from perdure.isolates import Isolates

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # It would rather have another HTTP client than httpx.
    from starlette.testclient import TestClient

APP = """
from workers import DurableObject, Response

class App(DurableObject):
    def fetch(self, request):
        return Response("app " + request.url)
"""


class Counter(DurableObject):
    def add(self, amount: int = 1) -> int:
        count: int = self.ctx.storage.kv.get("count", 0) + amount
        self.ctx.storage.kv.put("count", count)
        return count

    def refuse(self) -> None:
        raise ValueError("no more today")

    async def fetch(self, request: Request) -> Response:
        return await self.ctx.facets.get("app", self.start_app).fetch(request)

    def start_app(self) -> FacetOptions:
        worker = self.env.LOADER.get("app", lambda: WorkerCode.python(APP))
        return FacetOptions(cls=worker.get_durable_object_class("App"))


async def tell_url(request: Request, env: object, ctx: object) -> Response:
    return Response(f"{request.method} {request.url} {await request.text()}".strip())


MakePlatform = Callable[..., Platform]


@pytest.fixture
def make_platform(tmp_path: Path, perdure_isolates: Isolates) -> MakePlatform:
    def make(**options: object) -> Platform:
        settings: dict[str, object] = {"data": tmp_path / "data", "isolates": perdure_isolates, **options}
        return Platform([Counter], fetch=tell_url, **settings)  # type: ignore[arg-type]  # the tests' own settings

    return make


def fastapi_site(platform: Platform, path: str = "/") -> FastAPI:
    """A site with middleware of its own in front, and a route beside the platform."""
    site = FastAPI()

    @site.middleware("http")
    async def mark(request: SiteRequest, call_next: Callable[[SiteRequest], Awaitable[SiteResponse]]) -> SiteResponse:
        answer = await call_next(request)
        answer.headers["x-front"] = "passed"
        return answer

    @site.exception_handler(PerdureError)
    async def explain(request: SiteRequest, error: PerdureError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 502)

    @site.post("/count/{name}")
    async def count(name: str) -> dict[str, int]:
        return {"count": await platform.get(Counter, name).add()}

    @site.post("/refuse")
    async def refuse() -> None:
        await platform.get(Counter, "x").refuse()

    @site.post("/misspelt")
    async def misspelt() -> None:
        await platform.get(Counter, "x").ad()

    site.mount(path, platform)
    return site


Visit = Callable[[httpx.AsyncClient], Awaitable[None]]


def visit(site: FastAPI | Starlette, steps: Visit) -> None:
    """Run `steps` with a client of `site`, on a loop that ends afterwards. No lifespan is sent."""

    async def main() -> None:
        transport = httpx.ASGITransport(site)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await steps(client)

    asyncio.run(main())


def files_left(folder: Path, ending: str) -> list[str]:
    return [path.name for path in folder.rglob(f"*{ending}")]


# ── a mount is all it takes ──


def test_a_platform_mounted_in_fastapi_answers_behind_its_middleware(make_platform: MakePlatform) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        answer = await client.post("/notes/a%20b?x=1", content="hello")

        assert (answer.status_code, answer.text) == (200, "POST http://localhost/notes/a%20b?x=1 hello")
        assert answer.headers["x-front"] == "passed"

    visit(fastapi_site(make_platform()), steps)


def test_a_platform_mounted_in_starlette_answers_behind_its_middleware(make_platform: MakePlatform) -> None:
    site = Starlette(
        routes=[
            Route("/own", lambda request: PlainTextResponse("own")),
            Mount("/", make_platform()),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=1)],
    )

    async def steps(client: httpx.AsyncClient) -> None:
        assert (await client.get("/own")).text == "own"
        answer = await client.get("/other")
        assert answer.text == "GET http://localhost/other"
        assert answer.headers["content-encoding"] == "gzip"

    visit(site, steps)


def test_handlers_call_objects_and_are_the_first_to_do_so(make_platform: MakePlatform) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        answers = await asyncio.gather(*[client.post("/count/c") for _ in range(5)])

        assert sorted(answer.json()["count"] for answer in answers) == [1, 2, 3, 4, 5]

    visit(fastapi_site(make_platform()), steps)


def test_errors_of_objects_reach_their_handlers(make_platform: MakePlatform) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        misspelt = await client.post("/misspelt")
        assert misspelt.status_code == 502
        assert '"ad"; `Counter` has: `add`' in misspelt.json()["error"]
        with pytest.raises(ValueError, match="no more today"):
            await client.post("/refuse")

    visit(fastapi_site(make_platform()), steps)


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/apps", "http://localhost/"),
        ("/apps/", "http://localhost/"),
        ("/apps/notes?x=1", "http://localhost/notes?x=1"),
        ("/apps/apps/a%2Fb", "http://localhost/apps/a%2Fb"),
    ],
)
def test_below_a_path_the_platform_sees_what_follows_it(make_platform: MakePlatform, path: str, seen: str) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        answer = await client.get(path, follow_redirects=True)

        assert answer.text == f"GET {seen}"

    visit(fastapi_site(make_platform(), "/apps"), steps)


def test_beside_the_path_the_site_answers(make_platform: MakePlatform) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        assert (await client.get("/appsx")).status_code == 404

    visit(fastapi_site(make_platform(), "/apps"), steps)


# ── names ──


def test_a_name_that_is_not_the_platforms_is_refused_until_it_is_given(make_platform: MakePlatform) -> None:
    async def refused(client: httpx.AsyncClient) -> None:
        answer = await client.get("/", headers={"host": "shop.example"})
        assert answer.status_code == 421
        assert 'hosts=["shop.example"]' in answer.text

    async def known(client: httpx.AsyncClient) -> None:
        answer = await client.get("/", headers={"host": "shop.example"})
        assert answer.text == "GET http://shop.example/"

    visit(fastapi_site(make_platform()), refused)
    visit(fastapi_site(make_platform(hosts=["shop.example"])), known)


def test_a_host_route_in_front_keeps_the_sites_own_routes_off_the_apps_origins(make_platform: MakePlatform) -> None:
    platform = make_platform(app_host="{name}.localhost")
    site = Starlette(
        routes=[
            Host("{name}.localhost", platform),
            Route("/own", lambda request: PlainTextResponse("own")),
            Mount("/", platform),
        ]
    )

    async def steps(client: httpx.AsyncClient) -> None:
        assert (await client.get("/own")).text == "own"
        app = await client.get("http://todo.localhost/own")
        assert app.text == "app http://todo.localhost/own"
        foreign = await client.post("/", headers={"origin": "http://todo.localhost"})
        assert foreign.status_code == 403

    visit(site, steps)


# ── its life ──


def test_a_loop_that_ends_stops_the_platform(make_platform: MakePlatform, tmp_path: Path) -> None:
    async def steps(client: httpx.AsyncClient) -> None:
        await client.post("/count/c")
        assert files_left(tmp_path, "-wal") != []

    visit(fastapi_site(make_platform()), steps)

    assert len(files_left(tmp_path, ".sqlite")) == 1
    assert files_left(tmp_path, "-wal") == []


def test_a_stopped_platform_starts_again_on_the_next_loop(make_platform: MakePlatform) -> None:
    site = fastapi_site(make_platform())
    counts = []

    async def steps(client: httpx.AsyncClient) -> None:
        counts.append((await client.post("/count/c")).json()["count"])

    visit(site, steps)
    visit(site, steps)

    assert counts == [1, 2]


def test_a_test_client_needs_no_with_and_a_name_of_ours(make_platform: MakePlatform) -> None:
    site = fastapi_site(make_platform())

    assert TestClient(site).get("/").status_code == 421  # Its name is `testserver`.
    client = TestClient(site, base_url="http://localhost")
    assert [client.post("/count/c").json()["count"] for _ in range(3)] == [1, 2, 3]
    with client:
        assert client.post("/count/c").json() == {"count": 4}


def test_another_loop_is_refused_while_the_platform_runs(make_platform: MakePlatform) -> None:
    platform = make_platform()
    errors: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(platform.handle(Request("http://localhost/")))
        except UsageError as error:
            errors.append(error)

    async def main() -> None:
        await platform.get(Counter, "c").add()
        await asyncio.to_thread(elsewhere)
        assert await platform.get(Counter, "c").add() == 2

    asyncio.run(main())

    assert "another event loop" in str(errors[0])


def test_a_second_process_is_told_who_has_the_data(make_platform: MakePlatform) -> None:
    """As when a server is given several workers."""

    async def main() -> None:
        first, second = make_platform(), make_platform()
        await first.start()
        with pytest.raises(PerdureError, match="is in use by"):
            await second.get(Counter, "c").add()

    asyncio.run(main())
