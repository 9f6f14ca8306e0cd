"""Host names → the platform, an app, or nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import ConfigurationError, UsageError
from perdure.server._gateway import Destination, Gateway, Misdirected, ToApp, ToPlatform


@pytest.mark.parametrize(
    ("authority", "destination"),
    [
        ("localhost:8787", ToPlatform()),
        ("LOCALHOST.", ToPlatform()),
        ("127.0.0.1:8787", ToPlatform()),
        ("192.168.1.5", ToPlatform()),
        ("[::1]:8787", ToPlatform()),
        ("example.com", ToPlatform()),
        ("apps.example.com", ToPlatform()),
        ("todo.apps.example.com:443", ToApp("todo")),
        ("To-Do.Apps.Example.com", ToApp("to-do")),
    ],
)
def test_names_of_ours(authority: str, destination: Destination) -> None:
    gateway = Gateway("{name}.apps.example.com", hosts=["Example.com"])

    assert gateway.destination(authority) == destination


@pytest.mark.parametrize(
    "authority",
    [
        "evil.com",
        "evil.com:8787",
        "localhost.evil.com",
        "evilapps.example.com",
        "a.b.apps.example.com",
        "-a.apps.example.com",
        "a_b.apps.example.com",
        ".apps.example.com",
        "todo.localhost",
        "1.2.3.4.evil.com",
        "",
    ],
)
def test_names_of_others(authority: str) -> None:
    assert isinstance(Gateway("{name}.apps.example.com").destination(authority), Misdirected)


def test_the_advice_says_how_to_add_the_name() -> None:
    destination = Gateway("{name}.localhost").destination("Shop.example:80")

    assert isinstance(destination, Misdirected)
    assert 'hosts=["shop.example"]' in destination.advice
    assert "{name}.localhost" in destination.advice


def test_without_a_pattern_there_are_no_apps() -> None:
    assert isinstance(Gateway().destination("todo.localhost"), Misdirected)
    with pytest.raises(ConfigurationError, match="app_host="):
        Gateway().app_host("todo")


def test_a_star_accepts_every_name_and_apps_stay_apps() -> None:
    gateway = Gateway("{name}.localhost", hosts=["*"])

    assert gateway.destination("anything.example") == ToPlatform()
    assert gateway.destination("todo.localhost") == ToApp("todo")


@pytest.mark.parametrize(
    "pattern", ["localhost", "{name}", "{name}.", "x.{name}.com", "{name}.a:80", "{name}-a.com", "{name}.{name}"]
)
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="`app_host`"):
        Gateway(pattern)


@pytest.mark.parametrize("host", ["http://a.com", "a.com:80", "", "a b"])
def test_a_malformed_host_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="no host name"):
        Gateway(hosts=[host])


@pytest.mark.parametrize("name", ["Todo", "a b", "", "a" * 64, "-a", "a.b", "é"])
def test_a_name_that_no_host_can_carry_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be part of a host name"):
        Gateway("{name}.localhost").app_host(name)


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True))
def test_the_host_of_an_app_leads_to_it(name: str) -> None:
    gateway = Gateway("{name}.localhost")

    assert gateway.destination(f"{gateway.app_host(name)}:8787") == ToApp(name)


@given(st.text(max_size=40))
def test_any_authority_has_a_destination(authority: str) -> None:
    assert isinstance(Gateway("{name}.localhost").destination(authority), ToPlatform | ToApp | Misdirected)
