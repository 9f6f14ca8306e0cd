"""The example's HTTP API, with a real server: publishing, using, replacing, and doing it wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.serving import served

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "app_platform"
NOTEBOOK = """
from workers import DurableObject, Response

class App(DurableObject):
    async def fetch(self, request):
        if request.method == "POST":
            self.ctx.storage.kv.put("note", await request.text())
        return Response("GREETING " + self.ctx.storage.kv.get("note", "nothing"))
"""


class Platform:
    """A client of the served example."""

    def __init__(self, url: str) -> None:
        self.port = httpx.URL(url).port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)

    def publish(self, name: str, source: str, language: str = "python") -> httpx.Response:
        return self.http.put(f"/api/apps/{name}", json={"source": source, "language": language})

    def ask(self, name: str, path: str = "/", *, method: str = "GET", body: str | None = None) -> httpx.Response:
        """Send a request to an app, at its own host name."""
        headers = {"host": f"{name}.localhost:{self.port}", "content-type": "application/x-www-form-urlencoded"}
        return self.http.request(method, path, headers=headers, content=body)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    command = Path(sys.executable).parent / "perdure"
    with served(command, EXAMPLE, data=tmp_path_factory.mktemp("data")) as url:
        client = Platform(url)
        with client.http:
            yield client


# ── as it is meant ──


def test_a_published_app_answers_at_its_own_host(platform: Platform) -> None:
    published = platform.publish("notes", NOTEBOOK)

    assert published.json() == {"version": 1}
    assert platform.ask("notes").text == "GREETING nothing"


def test_new_code_keeps_the_data(platform: Platform) -> None:
    platform.publish("kept", NOTEBOOK)
    platform.ask("kept", method="POST", body="buy milk")

    published = platform.publish("kept", NOTEBOOK.replace("GREETING", "Remember:"))

    assert published.json() == {"version": 2}
    assert platform.ask("kept").text == "Remember: buy milk"


def test_an_app_may_change_its_language(platform: Platform) -> None:
    platform.publish("bilingual", NOTEBOOK)
    platform.ask("bilingual", method="POST", body="buy milk")

    platform.publish(
        "bilingual",
        """
        import { DurableObject } from "cloudflare:workers";
        export class App extends DurableObject {
          fetch() { return new Response(`JavaScript ${this.ctx.storage.kv.get("note")}`); }
        }
        """,
        "javascript",
    )

    assert platform.ask("bilingual").text == "JavaScript buy milk"


def test_requests_are_counted_and_the_latest_are_listed(platform: Platform) -> None:
    platform.publish("counted", NOTEBOOK)
    for number in range(7):
        platform.ask("counted", f"/page/{number}")

    app = platform.http.get("/api/apps/counted").json()

    assert app["requests"] == 7
    assert [row["path"] for row in app["latest"]] == [f"/page/{number}" for number in (6, 5, 4, 3, 2)]


def test_the_count_goes_on_where_the_log_is_cut(platform: Platform) -> None:
    platform.publish("busy", NOTEBOOK)
    for _ in range(130):
        platform.ask("busy")

    assert platform.http.get("/api/apps/busy").json()["requests"] == 130


def test_apps_are_listed_without_their_source(platform: Platform) -> None:
    platform.publish("listed", NOTEBOOK)

    apps = platform.http.get("/api/apps").json()["apps"]

    (listed,) = [app for app in apps if app["name"] == "listed"]
    assert listed["version"] == 1
    assert "source" not in listed
    assert platform.http.get("/api/apps/listed").json()["source"] == NOTEBOOK


@pytest.mark.parametrize("sample", ["counter", "todo", "poll", "guestbook"])
def test_a_sample_loads_and_shows_its_page(platform: Platform, sample: str) -> None:
    samples = {each["name"]: each for each in platform.http.get("/api/samples").json()}

    platform.publish(sample, samples[sample]["source"], samples[sample]["language"]).raise_for_status()

    page = platform.ask(sample)
    assert page.status_code == 200
    assert page.headers["content-type"].lower() == "text/html;charset=utf-8"
    assert len(samples[sample]["source"].splitlines()) <= 60, "a sample is read at one glance"


@pytest.mark.parametrize("sample", ["todo", "guestbook"])
def test_a_sample_shows_markup_as_text(platform: Platform, sample: str) -> None:
    samples = {each["name"]: each for each in platform.http.get("/api/samples").json()}
    platform.publish(f"escaping-{sample}", samples[sample]["source"], samples[sample]["language"])
    markup = "%3Cscript%3Ealert(1)%3C/script%3E"

    platform.ask(f"escaping-{sample}", "/add", method="POST", body=f"text={markup}&name={markup}&message={markup}")

    page = platform.ask(f"escaping-{sample}").text
    assert "alert(1)" in page
    assert "<script" not in page


# ── doing it wrong ──


@pytest.mark.parametrize("name", ["Notes", "a_b", "-a", "a-", "a.b", "a%20b", "ä", "x" * 64, "a%2Fb"])
def test_a_name_that_no_host_can_carry_is_refused(platform: Platform, name: str) -> None:
    refused = platform.publish(name, NOTEBOOK)

    assert refused.status_code == 400
    assert "1 to 63 small letters, digits and inner hyphens" in refused.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"source": "x"}',
        b'{"source": 1, "language": "python"}',
        b'{"source": "x", "language": "ruby"}',
        b'{"source": "x", "language": ["python"]}',
        b'{"source": "x", "language": null}',
    ],
)
def test_a_body_that_is_no_app_is_refused(platform: Platform, body: bytes) -> None:
    refused = platform.http.put("/api/apps/malformed", content=body)

    assert refused.status_code == 400
    assert refused.json()["error"]


def test_a_long_source_is_refused_with_the_bound(platform: Platform) -> None:
    refused = platform.publish("long", "#" * 100_001)

    assert refused.status_code == 400
    assert "100001 characters, the limit is 100000" in refused.json()["error"]


def test_a_huge_body_is_refused_before_all_of_it_is_read(platform: Platform) -> None:
    refused = platform.http.put("/api/apps/huge", content=b"#" * (32 * 1024 * 1024 + 1))

    assert refused.status_code == 400
    assert "more than 8388608 bytes" in refused.json()["error"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class App(\n  def x", ['File "worker.py", line 1', "SyntaxError"]),
        ("import nothing_here", ['File "worker.py", line 1', "No module named 'nothing_here'"]),
        ("x = 1\ny = 1 / 0", ['File "worker.py", line 2', "ZeroDivisionError"]),
        ("x = 1", ["no such Durable Object class: `App`"]),
        ("", ["no such Durable Object class: `App`"]),
        ("while True: pass", ["1000 ms of CPU time"]),
        ("x = [[0] * 1_000_000 for _ in range(1_000)]", ["memory"]),
        ("\ud800", ["half a character"]),
        ("\0", ["null"]),
    ],
)
def test_python_that_does_not_load_is_refused_with_text_to_repair_it_from(
    platform: Platform, source: str, words: list[str]
) -> None:
    refused = platform.http.put(
        "/api/apps/broken", content=json.dumps({"source": source, "language": "python"}).encode()
    )

    assert refused.status_code == 422
    assert [word for word in words if word.lower() not in refused.json()["error"].lower()] == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("export class App {", ["SyntaxError", "worker.js:1"]),
        ('import "./nothing.js";', ["nothing.js"]),
        ("const x = 1;\nnull.y;", ["TypeError", "worker.js:2"]),
        ("export const x = 1;", ["no such Durable Object class: `App`"]),
        ("for (;;);", ["1000 ms of CPU time"]),
    ],
)
def test_javascript_that_does_not_load_is_refused_with_text_to_repair_it_from(
    platform: Platform, source: str, words: list[str]
) -> None:
    refused = platform.publish("broken", source, "javascript")

    assert refused.status_code == 422
    assert [word for word in words if word.lower() not in refused.json()["error"].lower()] == []


def test_code_that_does_not_load_leaves_the_app_as_it_was(platform: Platform) -> None:
    platform.publish("steady", NOTEBOOK)

    platform.publish("steady", "class App(")

    assert platform.ask("steady").text == "GREETING nothing"
    assert platform.http.get("/api/apps/steady").json()["version"] == 1


def test_code_that_never_loaded_makes_no_app(platform: Platform) -> None:
    platform.publish("stillborn", "class App(")

    assert platform.http.get("/api/apps/stillborn").status_code == 404
    assert "stillborn" not in platform.http.get("/api/apps").text


def test_an_app_that_fails_shows_its_traceback_in_the_list(platform: Platform) -> None:
    platform.publish("failing", NOTEBOOK.replace('"GREETING "', "1 / 0"))

    answer = platform.ask("failing")

    assert answer.status_code == 500
    (row,) = platform.http.get("/api/apps/failing").json()["latest"]
    assert row["status"] == 500
    assert 'File "worker.py", line 8' in row["error"]
    assert row["error"].endswith("ZeroDivisionError: division by zero")


def test_an_app_that_never_answers_is_stopped(platform: Platform) -> None:
    platform.publish(
        "endless",
        NOTEBOOK.replace(
            "async def fetch(self, request):", "async def fetch(self, request):\n        while True: pass"
        ),
    )

    answer = platform.ask("endless")

    assert answer.status_code == 500
    assert "1000 ms of CPU time" in answer.text
    assert platform.publish("endless", NOTEBOOK).json() == {"version": 2}
    assert platform.ask("endless").text == "GREETING nothing"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/apps/nobody"),
        ("GET", "/api/apps/Not_A_Name"),
        ("DELETE", "/api/apps/notes"),
        ("PUT", "/"),
        ("GET", "/x"),
    ],
)
def test_what_is_not_there_is_not_found(platform: Platform, method: str, path: str) -> None:
    assert platform.http.request(method, path).status_code == 404


def test_a_name_that_nobody_published_says_so(platform: Platform) -> None:
    answer = platform.ask("unpublished")

    assert answer.status_code == 404
    assert "`unpublished`" in answer.text


def test_an_app_cannot_speak_for_the_platform(platform: Platform) -> None:
    platform.publish("modest", NOTEBOOK)

    assert platform.ask("modest", "/api/apps").text == "GREETING nothing"
