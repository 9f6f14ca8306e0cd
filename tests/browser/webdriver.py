"""A client of the WebDriver protocol, as far as our browser tests go: Debian's chromium, driven by chromedriver."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

START_DEADLINE_S = 60
WAIT_DEADLINE_S = 60
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's own name for a reference to an element
CONTROL = "\ue009"
ENTER = "\ue007"
_DIRECT = build_opener(ProxyHandler({}))  # whatever proxy the environment names, it is not for this machine


class WebDriverError(AssertionError):
    """The browser refused a command, or a script threw."""


class StaleElementError(WebDriverError):
    """The page that held the element has gone."""


@dataclass(frozen=True)
class Element:
    """An element of the page that is shown."""

    browser: Browser
    reference: str

    @property
    def text(self) -> str:
        """What a person sees of it."""
        return str(self._command("GET", "/text"))

    def click(self) -> None:
        self._command("POST", "/click", {})

    def write(self, text: str) -> None:
        """Type `text` into it, in place of what it holds."""
        self._command("POST", "/clear", {})
        self.press(text)

    def press(self, keys: str) -> None:
        self._command("POST", "/value", {"text": keys})

    def property(self, name: str) -> Any:
        return self._command("GET", f"/property/{name}")

    def _command(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        return self.browser.command(method, f"/element/{self.reference}{path}", body)


@dataclass(frozen=True)
class Browser:
    """One session. What it looks for it waits for, up to `WAIT_DEADLINE_S`."""

    session: str

    def open(self, url: str) -> None:
        self.command("POST", "/url", {"url": url})

    def find(self, xpath: str) -> Element:
        """The first element at `xpath`, as soon as there is one."""
        found = self.command("POST", "/element", {"using": "xpath", "value": xpath})
        return Element(self, found[ELEMENT])

    def wait_for_text(self, xpath: str, pattern: str) -> str:
        """The text at `xpath`, as soon as it matches `pattern` somewhere."""
        deadline = time.monotonic() + WAIT_DEADLINE_S
        text = ""
        while time.monotonic() < deadline:
            try:
                text = self.find(xpath).text
            except StaleElementError:
                continue  # the page changed between the two questions
            if re.search(pattern, text):
                return text
        raise AssertionError(f"{xpath} does not show `{pattern}`, but: {text}")

    def run(self, script: str, *arguments: object) -> Any:
        """What the body of an async function returns, run in the page. What it throws is raised as WebDriverError."""
        wrapped = (
            "const done = arguments[arguments.length - 1];"
            f"(async (...given) => {{ {script} }})(...[...arguments].slice(0, -1))"
            ".then((value) => done({ value }), (error) => done({ error: String(error) }));"
        )
        answer = self.command("POST", "/execute/async", {"script": wrapped, "args": arguments})
        if "error" in answer:
            raise WebDriverError(answer["error"])
        return answer.get("value")

    def save_screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.command("GET", "/screenshot")))

    def command(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        return _command(self.session, method, path, body)


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """A browser with a fresh profile."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    try:
        started = next(
            (match for line in driver.stdout if (match := re.search(r"started successfully on port (\d+)", line))), None
        )
        assert started, "chromedriver ended without a port"
        server = f"http://127.0.0.1:{started[1]}"
        # Chromium has no sandbox of its own for root, which is who runs tests in a container.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        arguments = ["--headless=new", "--disable-dev-shm-usage", *sandbox, *options]
        capabilities = {
            "goog:chromeOptions": {"args": arguments},
            "timeouts": {"implicit": WAIT_DEADLINE_S * 1000, "script": WAIT_DEADLINE_S * 1000},
        }
        session = _command(server, "POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
        browser = Browser(f"{server}/session/{session}")
        try:
            yield browser
        finally:
            browser.command("DELETE", "")
    finally:
        driver.terminate()
        driver.communicate(timeout=30)


def _command(base: str, method: str, path: str, body: Mapping[str, object] | None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(base + path, data=data, method=method, headers={"content-type": "application/json"})
    try:
        with _DIRECT.open(request, timeout=START_DEADLINE_S + WAIT_DEADLINE_S) as answer:
            return json.load(answer)["value"]
    except HTTPError as error:
        with error:
            value = json.load(error)["value"]
        kind = StaleElementError if value["error"] == "stale element reference" else WebDriverError
        raise kind(f"{value['error']}: {value['message']}") from None
