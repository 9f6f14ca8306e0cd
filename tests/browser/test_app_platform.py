"""The example as a person meets it, in a real browser; and what a hostile app's page can do there: nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from tests.browser.webdriver import CONTROL, ENTER, Browser, chromium
from tests.serving import served

pytestmark = pytest.mark.browser

COMMAND = Path(sys.executable).parent / "perdure"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "app_platform"
HELLO = """
from workers import DurableObject, Response

class App(DurableObject):
    def fetch(self, request):
        return Response.html("<!doctype html><link rel=icon href=data:,><p>hello")
"""
# Its page is a blank one: the tests say what runs there. It asks for a cookie that every neighbour would get.
HOSTILE = """
from workers import DurableObject, Response

class App(DurableObject):
    def fetch(self, request):
        headers = [("set-cookie", "tossed=1; Domain=localhost; Path=/"), ("set-cookie", "own=1; Path=/")]
        return Response.html("<!doctype html><link rel=icon href=data:,><p>hostile", headers=headers)
"""
DIRECT = build_opener(ProxyHandler({}))


@dataclass(frozen=True)
class Site:
    """The served example, and a browser."""

    url: str
    browser: Browser

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def app_url(self, name: str) -> str:
        return f"http://{name}.localhost:{self.port}/"

    def open_platform(self) -> None:
        self.browser.open(self.url)
        self.browser.find("//div[@id='samples']/button")

    def open_app(self, name: str) -> None:
        self.browser.open(self.app_url(name))

    def publish_by_hand(self, name: str) -> None:
        """Publish what stands in the editor, and wait for the word that it worked."""
        self.browser.find("//input[@id='name']").write(name)
        self.browser.find("//button[@id='publish']").click()
        self.browser.find(f"//p[@id='outcome']/a[.='Open {name}']")

    def choose_sample(self, title: str) -> None:
        self.browser.find(f"//button[contains(., '{title}')]").click()

    def card(self, name: str) -> str:
        """Where the list shows an app."""
        return f"//ul[@id='apps']/li[@data-key='{name}']"

    def publish(self, name: str, source: str, language: str = "python") -> None:
        """Publish without the browser."""
        self._ask("PUT", f"/api/apps/{name}", {"source": source, "language": language})

    def requests_of(self, name: str) -> int:
        """The platform's own count, asked without the browser."""
        return int(self._app(name)["requests"])

    def methods_since(self, name: str, count: int) -> set[str]:
        """The methods of the requests that the platform counted after the first `count`; it lists the last five."""
        return {row["method"] for row in self._app(name)["latest"] if row["id"] > count}

    def _app(self, name: str) -> Any:
        return self._ask("GET", f"/api/apps/{name}")

    def app_names(self) -> list[str]:
        return [app["name"] for app in self._ask("GET", "/api/apps")["apps"]]

    def visit(self, name: str) -> None:
        """Request an app's page without the browser."""
        self._ask("GET", "/", host=f"{name}.localhost:{self.port}")

    def _ask(self, method: str, path: str, body: object = None, *, host: str | None = None) -> Any:
        request = Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"host": host or f"localhost:{self.port}"},
        )
        with DIRECT.open(request, timeout=60) as answer:
            text = answer.read()
        return None if host else json.loads(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("data")
    with served(COMMAND, EXAMPLE, data=data) as url, chromium("--window-size=1300,1000") as browser:
        yield Site(url, browser)


# ── publishing and using ──


def test_an_empty_platform_says_how_to_begin(site: Site, tmp_path: Path) -> None:
    with served(COMMAND, EXAMPLE, data=tmp_path) as url:
        site.browser.open(url)

        site.browser.wait_for_text("//p[@id='empty']", "Choose a sample")


def test_a_sample_is_published_and_used_on_its_own_origin(site: Site) -> None:
    site.open_platform()
    site.choose_sample("A counter")
    site.publish_by_hand("clicks")
    link = site.browser.find(f"{site.card('clicks')}//a").property("href")

    site.browser.open(link)
    site.browser.find("//button[.='+']").click()
    site.browser.wait_for_text("//output", r"^1$")
    site.browser.find("//button[.='+']").click()
    site.browser.wait_for_text("//output", r"^2$")

    assert link == site.app_url("clicks")
    site.open_platform()
    site.browser.wait_for_text(f"{site.card('clicks')}//b", r"^5$")  # the page, and twice a form and its redirect
    assert "POST /" in site.browser.find(f"{site.card('clicks')}/ol").text


def test_the_count_rises_while_one_looks_at_it(site: Site) -> None:
    site.publish("watched", HELLO)
    site.open_platform()
    site.browser.wait_for_text(f"{site.card('watched')}//b", r"^0$")

    site.visit("watched")
    site.visit("watched")

    site.browser.wait_for_text(f"{site.card('watched')}//b", r"^2$")


def test_new_code_keeps_the_data_and_the_page_says_so(site: Site) -> None:
    site.open_platform()
    site.choose_sample("A counter")
    site.publish_by_hand("keeper")
    site.open_app("keeper")
    site.browser.find("//button[.='+']").click()
    site.browser.wait_for_text("//output", r"^1$")

    site.open_platform()
    site.browser.find(f"{site.card('keeper')}/button[.='Edit']").click()
    site.browser.wait_for_text("//p[@id='hint']", "New code replaces its code and keeps its data")
    source = str(site.browser.find("//textarea").property("value"))
    site.browser.find("//textarea").write(source.replace("The number is", "Still here,"))
    site.publish_by_hand("keeper")

    assert "the data stayed" in site.browser.find("//p[@id='outcome']").text
    site.open_app("keeper")
    assert site.browser.find("//p").text == "Still here, in this app's own database."
    assert site.browser.find("//output").text == "1"


def test_a_javascript_sample_works(site: Site) -> None:
    site.open_platform()
    site.choose_sample("A poll")
    site.publish_by_hand("lunch")

    site.open_app("lunch")
    site.browser.find("//button[contains(., 'Pizza')]").click()
    site.browser.wait_for_text("//button[contains(., 'Pizza')]", "100%")
    site.browser.find("//button[contains(., 'Salad')]").click()

    site.browser.wait_for_text("//button[contains(., 'Pizza')]", "1 · 50%")
    site.open_platform()
    assert "JavaScript" in site.browser.find(site.card("lunch")).text


def test_text_that_people_enter_stays_text(site: Site) -> None:
    site.open_platform()
    site.choose_sample("A to-do list")
    site.publish_by_hand("chores")

    site.open_app("chores")
    site.browser.find("//input[@name='text']").write("<img src=x onerror=alert(1)>" + ENTER)
    site.browser.find("//button[@aria-label='Done']").click()

    site.browser.wait_for_text("//body", "0 to do, 1 done")
    assert site.browser.find("//li/form/span").text == "<img src=x onerror=alert(1)>"


def test_the_keyboard_is_enough(site: Site) -> None:
    site.open_platform()
    site.browser.find("//textarea").write(HELLO)
    site.browser.find("//input[@id='name']").write("By Keyboard")

    site.browser.find("//input[@id='name']").press(CONTROL + ENTER)

    site.browser.find("//p[@id='outcome']/a[.='Open by-keyboard']")


def test_the_language_is_read_off_the_code(site: Site) -> None:
    site.open_platform()

    site.browser.find("//textarea").write('import { DurableObject } from "cloudflare:workers";')
    javascript = site.browser.find("//select").property("value")
    site.browser.find("//textarea").write(HELLO)

    assert (javascript, site.browser.find("//select").property("value")) == ("javascript", "python")


# ── errors ──


def test_a_syntax_error_is_shown_with_file_and_line(site: Site) -> None:
    site.publish("mended", HELLO)
    site.open_platform()
    site.browser.find("//textarea").write('class App:\n    def fetch(self, request):\n        return Response("hi"\n')
    site.browser.find("//input[@id='name']").write("mended")
    site.browser.find("//button[@id='publish']").click()

    error = site.browser.wait_for_text("//div[@id='failure']", "SyntaxError")
    assert "the app runs on with its old code" in error
    assert 'File "worker.py", line 3' in error
    site.browser.find("//button[.='Show line 3']").click()
    selected = "const { value, selectionStart, selectionEnd } = document.activeElement;"
    assert site.browser.run(f"{selected} return value.slice(selectionStart, selectionEnd)") == (
        '        return Response("hi"'
    )


def test_an_error_goes_when_the_code_is_mended(site: Site) -> None:
    site.open_platform()
    site.browser.find("//textarea").write("class App(")
    site.browser.find("//input[@id='name']").write("mended-too")
    site.browser.find("//button[@id='publish']").click()
    site.browser.wait_for_text("//div[@id='failure']", "SyntaxError")

    site.browser.find("//textarea").write(HELLO)
    site.publish_by_hand("mended-too")

    assert site.browser.find("//div[@id='failure']").text == ""


def test_a_name_that_no_host_can_carry_is_explained(site: Site) -> None:
    site.open_platform()
    site.browser.find("//textarea").write(HELLO)
    site.browser.find("//input[@id='name']").write("what?!")
    site.browser.find("//button[@id='publish']").click()

    site.browser.wait_for_text("//div[@id='failure']", "small letters, digits and inner hyphens")


def test_a_request_that_failed_shows_its_traceback(site: Site) -> None:
    site.publish("fragile", HELLO.replace("return ", "return 1 / 0 or "))
    site.open_app("fragile")
    assert "ZeroDivisionError" in site.browser.find("//body").text

    site.open_platform()
    site.browser.find(f"{site.card('fragile')}//summary[contains(., 'ZeroDivisionError')]").click()

    site.browser.wait_for_text(f"{site.card('fragile')}//pre", r'File "worker.py", line \d+')


def test_a_browser_that_does_not_find_the_apps_is_told_what_to_do(site: Site) -> None:
    with chromium("--host-resolver-rules=MAP *.localhost ~NOTFOUND") as browser:
        browser.open(site.url)

        advice = browser.wait_for_text("//details[@id='addresses']", "This browser does not find")

    assert f"curl --resolve todo.localhost:{site.port}:127.0.0.1" in advice


def test_a_browser_that_finds_the_apps_is_not_bothered(site: Site) -> None:
    site.open_platform()
    site.browser.wait_for_text("//*[@id='addresses']/summary", "does not open")

    assert site.browser.find("//*[@id='unreachable']").property("hidden") is True
    assert site.browser.find("//*[@id='addresses']").property("open") is False


# ── a hostile app's page: everything runs in its origin, inside the browser ──


@pytest.fixture(scope="module")
def hostile(site: Site) -> Site:
    site.publish("hostile", HOSTILE)
    site.publish("victim", (EXAMPLE / "samples" / "todo.py").read_text(encoding="utf-8"))
    return site


def attack(site: Site, script: str) -> object:
    """What `script` comes to in the hostile page; it knows `platform` and `victim`, the origins it is after."""
    site.open_app("hostile")
    origins = f"const platform = 'http://localhost:{site.port}', victim = 'http://victim.localhost:{site.port}';"
    return site.browser.run(origins + script)


# How a page would get at another one. Each says in a word what came of it; the same words come when it works.
READS = {
    "fetch": "return fetch(TARGET).then((answer) => answer.text(), (error) => error.name)",
    "fetch without cors": """
        const answer = await fetch(TARGET, { mode: "no-cors", credentials: "include" });
        return answer.type === "opaque" ? "nothing" : answer.text()""",
    "frame": """
        const frame = document.createElement("iframe");
        const loaded = new Promise((done) => (frame.onload = done));
        frame.src = TARGET;
        document.body.append(frame);
        await loaded;
        try { return frame.contentWindow.document.body.innerText } catch (error) { return error.name }""",
    "window": """
        const opened = window.open(TARGET);
        const deadline = Date.now() + 5000;
        while (Date.now() < deadline) {
          try { opened.document.body } catch (error) { opened.close(); return error.name }
          await new Promise((done) => setTimeout(done, 20));
        }
        return opened.document.body.innerText""",
    "script": """
        const script = document.createElement("script");
        document.body.append(script);
        script.src = TARGET;
        return new Promise((done) => { script.onload = () => done("loaded"); script.onerror = () => done("error") })""",
    "image": """
        const image = new Image();
        image.src = TARGET;
        return new Promise((done) => { image.onload = () => done("loaded"); image.onerror = () => done("error") })""",
    "socket": """
        const socket = new WebSocket(TARGET.replace("http", "ws"));
        return new Promise((done) => { socket.onopen = () => done("open"); socket.onerror = () => done("error") })""",
    "event stream": """
        const stream = new EventSource(TARGET, { withCredentials: true });
        return new Promise((done) => { stream.onopen = () => done("open"); stream.onerror = () => done("error") })""",
}
REFUSALS = {"TypeError", "SecurityError", "nothing", "error"}


@pytest.mark.parametrize("way", READS)
@pytest.mark.parametrize("target", ["platform + '/api/apps'", "victim + '/'"], ids=["platform", "another app"])
def test_a_hostile_page_reads_nothing(hostile: Site, way: str, target: str) -> None:
    before = hostile.requests_of("victim")

    assert attack(hostile, READS[way].replace("TARGET", f"({target})")) in REFUSALS

    if way != "window":  # A window is a link that was followed: the page opens, and stays out of reach.
        assert hostile.requests_of("victim") == before, "the app was asked"


@pytest.mark.parametrize("way", ["fetch", "frame", "window"])
def test_the_same_ways_lead_to_its_own_page(hostile: Site, way: str) -> None:
    assert "hostile" in str(attack(hostile, READS[way].replace("TARGET", "(location.origin + '/')")))


def test_a_hostile_page_cannot_publish(hostile: Site) -> None:
    script = f"""
        const app = {{ source: {json.dumps(HELLO)}, language: "python" }};
        const send = (method, options) =>
          fetch(platform + "/api/apps/planted", {{ method, body: JSON.stringify(app), ...options }})
            .then((answer) => answer.type, (error) => error.name);
        return [
          await send("PUT", {{}}),
          await send("PUT", {{ headers: {{ "content-type": "application/json" }}, credentials: "include" }}),
          await send("POST", {{ mode: "no-cors" }}),
        ]"""

    assert attack(hostile, script) == ["TypeError", "TypeError", "opaque"]
    assert "planted" not in hostile.app_names()


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"])
@pytest.mark.parametrize("target", ["_self", "_blank", "frame"])
def test_a_hostile_form_is_refused(hostile: Site, kind: str, target: str) -> None:
    script = f"""
        const frame = Object.assign(document.createElement("iframe"), {{ name: "frame" }});
        const form = Object.assign(document.createElement("form"),
          {{ method: "post", action: victim + "/add", enctype: "{kind}", target: "{target}" }});
        form.append(Object.assign(document.createElement("input"), {{ name: "text", value: "planted" }}));
        document.body.append(frame, form);
        form.submit()"""
    before = hostile.requests_of("victim")

    attack(hostile, script)

    if target == "_self":
        hostile.browser.wait_for_text("//body", "Pages of other origins may only link here")
    hostile.open_app("victim")
    assert "planted" not in hostile.browser.find("//body").text
    # A browser that shows a refusal asks that origin for an icon, which is its own act and no page's.
    assert hostile.methods_since("victim", before) == {"GET"}


def test_a_hostile_form_of_the_platforms_own_shape_is_refused(hostile: Site) -> None:
    # A form whose text/plain body is JSON, as pages did before browsers asked first.
    script = """
        const form = Object.assign(document.createElement("form"),
          { method: "post", action: platform + "/api/apps/planted", enctype: "text/plain" });
        form.append(Object.assign(document.createElement("input"),
          { name: '{"source": "x", "language": "python", "a": "', value: '"}' }));
        document.body.append(form);
        form.submit()"""

    attack(hostile, script)

    hostile.browser.wait_for_text("//body", "Pages of other origins may only link here")
    assert "planted" not in hostile.app_names()


@pytest.mark.parametrize("domain", ["localhost", ".localhost", "victim.localhost"])
def test_a_hostile_page_sets_no_cookie_for_others(hostile: Site, domain: str) -> None:
    seen = attack(hostile, f"document.cookie = 'planted=1; domain={domain}; path=/'; return document.cookie")

    assert "planted" not in str(seen)
    for url in (hostile.url, hostile.app_url("victim")):
        hostile.browser.open(url)
        assert hostile.browser.run("return document.cookie") == ""


def test_a_cookie_that_an_app_sends_stays_with_the_app(hostile: Site) -> None:
    own = attack(hostile, "return document.cookie")

    assert own in {"own=1; tossed=1", "tossed=1; own=1"}
    for url in (hostile.url, hostile.app_url("victim")):
        hostile.browser.open(url)
        assert hostile.browser.run("return document.cookie") == ""


def test_storage_of_the_browser_is_not_shared(hostile: Site) -> None:
    attack(hostile, "localStorage.setItem('planted', '1')")

    hostile.browser.open(hostile.url)

    assert hostile.browser.run("return localStorage.getItem('planted')") is None


def test_a_hostile_page_cannot_widen_its_origin(hostile: Site) -> None:
    script = """
        try { document.domain = "localhost" } catch (error) { return error.name }
        return document.domain"""

    assert attack(hostile, script) in {"SecurityError", "hostile.localhost"}
