"""What the `fetch()` of a dynamic worker reaches (spec 5.6; case 81)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.flavours import code_of, failure
from tests.conformance.loaders import ENTRY, Host

from perdure import (
    DurableObject,
    FacetOptions,
    LoaderBinding,
    Request,
    Response,
    Worker,
    WorkerCode,
    WorkerEntrypoint,
)
from perdure.errors import GuestError, ValueNotCloneableError, WorkerCodeError
from perdure.isolates import Isolates
from perdure.limits import FETCH_REDIRECTS_MAX, FETCH_S
from perdure.testing import World

FETCHING = {
    "python": """
from workers import DurableObject, Request, WorkerEntrypoint, fetch
async def go(url, options):
    response = await fetch(url, **options)
    return [response.status, await response.text(), response.url, response.redirected]
class Default(WorkerEntrypoint):
    async def go(self, url, options): return await go(url, options)
    async def header(self, url, name): return (await fetch(url)).headers.get(name)
    async def request(self, url): return [(await fetch(Request(url, "PUT", {"x-a": "1"}, "text"))).status]
    async def bytes(self, url, data): return await (await fetch(url, method="POST", body=data)).bytes()
class App(DurableObject):
    async def go(self, url, options): return await go(url, options)
""",
    "javascript": """
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
async function go(url, options) {
  const response = await fetch(url, options);
  return [response.status, await response.text(), response.url, response.redirected];
}
export default class extends WorkerEntrypoint {
  go(url, options) { return go(url, options); }
  async header(url, name) { return (await fetch(url)).headers.get(name); }
  async request(url) {
    return [(await fetch(new Request(url, { method: "PUT", headers: { "x-a": "1" }, body: "text" }))).status];
  }
  async bytes(url, data) { return await (await fetch(url, { method: "POST", body: data })).bytes(); }
}
export class App extends DurableObject {
  go(url, options) { return go(url, options); }
}
""",
}


async def sent(request: Request) -> bytes | None:
    return None if request.body is None else await request.bytes()


class Gate(WorkerEntrypoint):
    """Sees every request of the workers that have it as their way out."""

    seen: list[tuple[str, str, dict[str, str], bytes | None, object]] = []  # noqa: RUF012  # emptied by each test

    async def fetch(self, request: Request) -> Response:
        self.seen.append((request.method, request.url, dict(request.headers), await sent(request), self.ctx.props))
        path = request.path
        if path.startswith("/to/"):  # /to/302/there
            _, _, status, *rest = path.split("/")
            return Response(None, int(status), {"location": "/" + "/".join(rest)})
        if path.startswith("/loop"):
            return Response(None, 302, {"location": "/loop"})
        if path == "/away":
            return Response(None, 302, {"location": "https://elsewhere.example/here"})
        if path == "/nowhere":
            return Response(None, 302, {"location": "file:///etc/passwd"})
        if path == "/hangs":
            await asyncio.get_running_loop().create_future()
        if path == "/fails":
            raise LookupError("the gate is closed")
        if path == "/echo":
            return Response(request.body)
        return Response(f"{request.method} {request.url}", 200, {"x-from": "gate"})


class Place(DurableObject):
    """An object as a way out."""

    async def fetch(self, request: Request) -> Response:
        return Response(f"{self.ctx.id.name} got {request.url}")


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    Gate.seen.clear()
    with World([Host, Place], exports=[Gate], isolates=perdure_isolates) as world:
        yield world


@pytest.fixture
def outside(host: Any, language: str) -> Any:
    """A worker behind the gate: `await outside(method, *arguments)`."""

    async def script(self: Host) -> object:
        method, arguments = Host.asked_for
        code = code_of(language, FETCHING[language], global_outbound=self.ctx.exports.Gate)
        return await getattr(self.env.LOADER.get("w", lambda: code).get_entrypoint(), method)(*arguments)

    async def call(method: str, *arguments: object) -> object:
        Host.script, Host.asked_for = script, (method, arguments)
        return await host.perform()

    return call


async def test_case_81_a_fetcher_sees_every_request_as_it_is(outside: Any) -> None:
    options = {"method": "POST", "headers": {"X-One": "1", "authorization": "mine"}, "body": "text"}

    answer = await outside("go", "https://example.com/a%20b?c=d", options)

    assert answer == [200, "POST https://example.com/a%20b?c=d", "https://example.com/a%20b?c=d", False]
    ((method, url, headers, body, props),) = Gate.seen
    assert (method, url, body, props) == ("POST", "https://example.com/a%20b?c=d", b"text", {})
    assert headers["x-one"] == "1"
    assert headers["authorization"] == "mine"
    assert await outside("header", "http://other.example/", "x-from") == "gate"
    assert await outside("request", "http://other.example/r") == [200]
    assert Gate.seen[-1][0] == "PUT"
    assert await outside("bytes", "http://other.example/echo", b"\x00\xff") == b"\x00\xff"


async def test_case_81_an_entry_point_with_props_is_a_way_out(host: Any, language: str) -> None:
    async def script(self: Host) -> object:
        gate = self.ctx.exports.Gate(props={"tenant": 7})
        worker = self.env.LOADER.load(code_of(language, FETCHING[language], global_outbound=gate))
        return await worker.get_entrypoint().go("http://x.example/", {})

    Host.script = script

    assert (await host.perform())[0] == 200
    assert Gate.seen[0][4] == {"tenant": 7}


async def test_case_81_an_object_is_a_way_out_and_a_facet_has_it_too(host: Any, language: str) -> None:
    async def script(self: Host) -> object:
        place = self.ctx.exports.Place.get_by_name("here")
        worker = self.env.LOADER.load(code_of(language, FETCHING[language], global_outbound=place))
        facet = self.ctx.facets.get("a", lambda: FacetOptions(cls=worker.get_durable_object_class("App")))
        return [await worker.get_entrypoint().go("http://x.example/", {}), await facet.go("http://y.example/", {})]

    Host.script = script

    assert await host.perform() == [
        [200, "here got http://x.example/", "http://x.example/", False],
        [200, "here got http://y.example/", "http://y.example/", False],
    ]


async def test_case_81_inherit_is_what_the_parent_reaches(host: Any, language: str) -> None:
    """Trusted code reaches the internet, and hands on no more than public addresses."""

    async def script(self: Host) -> object:
        worker = self.env.LOADER.load(code_of(language, FETCHING[language], global_outbound="inherit"))
        return str(await failure(worker.get_entrypoint().go("http://127.0.0.1:8000/", {})))

    Host.script = script

    assert "it has no public address" in str(await host.perform())


PARENT = {
    "python": """
from workers import DurableObject, WorkerEntrypoint
class Parent(DurableObject):
    async def child(self, code, method, *arguments):
        return await getattr(self.env.LOADER.load(code).get_entrypoint(), method)(*arguments)
class Default(WorkerEntrypoint):
    async def child(self, code, method, *arguments):
        return await getattr(self.env.LOADER.load(code).get_entrypoint(), method)(*arguments)
""",
    "javascript": """
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
const run = (env, code, method, ...rest) => env.LOADER.load(code).getEntrypoint()[method](...rest);
export class Parent extends DurableObject {
  child(...rest) { return run(this.env, ...rest); }
}
export default class extends WorkerEntrypoint {
  child(...rest) { return run(this.env, ...rest); }
}
""",
}


@pytest.mark.parametrize("given", ["none", "gate"])
async def test_case_81_a_guest_hands_on_what_it_has_and_no_more(world: World, language: str, given: str) -> None:
    def code() -> WorkerCode:
        outbound = world.platform._exports.Gate if given == "gate" else None  # as trusted code finds it
        return code_of(language, PARENT[language], global_outbound=outbound)

    world.add_worker(Worker("parent", code, classes=["Parent"], bindings={"LOADER": LoaderBinding()}))
    parent = world.get("parent-Parent", "p")
    own = code_of(language, FETCHING[language])
    child = {"mainModule": own.main_module, "modules": own.modules}

    inherits = parent.child({**child, "globalOutbound": "inherit"}, "go", "http://x.example/", {})
    if given == "gate":
        assert (await inherits)[0] == 200
    else:
        assert "not permitted to access the internet" in str(await failure(inherits))
    assert "not permitted to access the internet" in str(
        await failure(parent.child({**child, "globalOutbound": None}, "go", "http://x.example/", {}))
    )
    for forged in ("internet", {"allow": ["localhost"]}, ["inherit"], True):
        error = await failure(parent.child({**child, "globalOutbound": forged}, "go", "http://localhost/", {}))
        assert "global_outbound is" in str(error)


async def test_case_81_nothing_is_the_default(host: Any, language: str) -> None:
    Host.code = code_of(language, FETCHING[language])

    for work in (host.entry(None, "go", ["http://example.com/", {}]), host.entry(None, "header", ["http://a/", "b"])):
        error = await failure(work)
        assert isinstance(error, GuestError)
        assert "not permitted to access the internet via global functions" in str(error)
        assert error.type_name == {"python": "NetworkDeniedError", "javascript": "TypeError"}[language]


async def test_redirects_are_followed_through_the_fetcher(outside: Any) -> None:
    answer = await outside("go", "http://a.example/to/302/to/301/end", {})

    assert answer == [200, "GET http://a.example/end", "http://a.example/end", True]
    assert [url for _, url, *_ in Gate.seen] == [
        "http://a.example/to/302/to/301/end",
        "http://a.example/to/301/end",
        "http://a.example/end",
    ]


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [(301, "GET", None), (302, "GET", None), (303, "GET", None), (307, "POST", b"x"), (308, "POST", b"x")],
)
async def test_what_a_redirect_does_to_a_post(outside: Any, status: int, method: str, body: bytes | None) -> None:
    await outside("go", f"http://a.example/to/{status}/end", {"method": "POST", "body": "x"})

    assert (Gate.seen[-1][0], Gate.seen[-1][3]) == (method, body)
    assert ("content-type" in Gate.seen[-1][2]) == (method == "POST")


async def test_credentials_stay_with_their_origin(outside: Any) -> None:
    headers = {"authorization": "secret", "cookie": "secret", "x-other": "kept"}

    await outside("go", "http://a.example/away", {"headers": headers})

    (*_, (_, url, sent, *_)) = Gate.seen
    assert url == "https://elsewhere.example/here"
    assert "secret" not in str(sent)
    assert sent["x-other"] == "kept"


async def test_manual_and_error_redirects(outside: Any) -> None:
    url = "http://a.example/to/302/end"

    assert (await outside("go", url, {"redirect": "manual"}))[0] == 302
    assert 'redirect: "error"' in str(await failure(outside("go", url, {"redirect": "error"})))
    assert "redirect is one of" in str(await failure(outside("go", url, {"redirect": "sideways"})))
    assert "which is no http(s) URL" in str(await failure(outside("go", "http://a.example/nowhere", {})))


async def test_a_redirect_loop_ends(outside: Any) -> None:
    error = await failure(outside("go", "http://a.example/loop", {}))

    assert "Too many redirects" in str(error)
    assert len(Gate.seen) == FETCH_REDIRECTS_MAX + 1


async def test_a_fetcher_that_never_answers_is_given_up(outside: Any, world: World) -> None:
    before = world.clock.monotonic_s()

    error = await failure(outside("go", "http://a.example/hangs", {}))

    assert "has not answered in 60 s" in str(error)
    assert world.clock.monotonic_s() - before == pytest.approx(FETCH_S, abs=1)


async def test_the_error_of_a_fetcher_is_the_guests_to_see(outside: Any) -> None:
    error = await failure(outside("go", "http://a.example/fails", {}))

    assert "the gate is closed" in str(error)
    assert isinstance(error, GuestError)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.example/", "/relative", "http://u:p@a.example/"])
async def test_what_is_no_url_for_a_request(outside: Any, url: str) -> None:
    assert isinstance(await failure(outside("go", url, {})), GuestError)
    assert Gate.seen == []


async def test_what_cannot_be_a_way_out(host: Any, language: str) -> None:
    code = code_of(language, ENTRY[language])

    async def script(self: Host) -> object:
        worker = self.env.LOADER.get("w", lambda: code)
        facet = self.ctx.facets.get("a", lambda: FacetOptions(cls=worker.get_durable_object_class("App")))
        wrong = [worker.get_entrypoint(), facet, self.env.LOADER, "internet", 7, {"fetch": 1}]
        errors = [await failure(_load(self, code_of(language, "", global_outbound=given))) for given in wrong]
        return [[type(error).__name__, str(error)] for error in errors]

    async def _load(self: Host, given: Any) -> None:
        self.env.LOADER.load(given)

    Host.script = script
    answers = await host.perform()

    kinds = [ValueNotCloneableError, ValueNotCloneableError, ValueNotCloneableError, *[WorkerCodeError] * 3]
    assert [name for name, _ in answers] == [kind.__name__ for kind in kinds]
    assert "Entrypoints to dynamically-loaded workers cannot be transferred" in answers[0][1]


class Keys(WorkerEntrypoint):
    """Adds a credential that the guest never sees, and lets it reach one host only."""

    async def fetch(self, request: Request) -> Response:
        if not request.url.startswith("https://api.example/"):
            return Response("this app may only talk to api.example", 403)
        request.headers.set("authorization", f"Bearer {SECRETS[self.ctx.props['tenant']]}")
        return await pretended_internet(request)


SECRETS = {"a": "secret-of-a"}


async def pretended_internet(request: Request) -> Response:
    return Response("welcome" if request.headers.get("authorization") == "Bearer secret-of-a" else "who are you?")


def test_a_credential_is_added_that_the_guest_never_sees(perdure_isolates: Isolates, language: str) -> None:
    async def script(self: Host) -> object:
        keys = self.ctx.exports.Keys(props={"tenant": "a"})
        entry = self.env.LOADER.load(code_of(language, FETCHING[language], global_outbound=keys)).get_entrypoint()
        return [
            (await entry.go("https://api.example/me", {}))[:2],
            (await entry.go("https://api.example/me", {"headers": {"authorization": "Bearer guess"}}))[:2],
            (await entry.go("https://evil.example/", {}))[:2],
        ]

    Host.script = script
    with World([Host], exports=[Keys], isolates=perdure_isolates) as world:
        answers = world.run(world.get(Host, "h").perform())

    assert answers == [[200, "welcome"], [200, "welcome"], [403, "this app may only talk to api.example"]]
