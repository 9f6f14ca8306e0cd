"""Which door a host name leads to: the platform's own origin, an app's origin, or none.

Each app stands on an origin of its own, `{name}.localhost` or `{name}.apps.example.com`, so that the browser keeps apps
apart. A name that is ours in no way is refused: a foreign page may have pointed its own name at this machine
(DNS rebinding). Effects: none.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from perdure.errors import ConfigurationError, UsageError

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")
_PLACE: Final = "{name}."
ANY_HOST: Final = "*"


@dataclass(frozen=True, slots=True)
class _AppHost:
    """The pattern of the apps' host names: a label for the app's name, and `domain`."""

    domain: str

    @classmethod
    def parse(cls, pattern: str) -> _AppHost:
        """Read such a pattern. Raises ConfigurationError for another shape."""
        domain = pattern.removeprefix(_PLACE).lower()
        if not pattern.startswith(_PLACE) or not _DOMAIN.fullmatch(domain):
            raise ConfigurationError(
                f"`app_host` is `{pattern}`, it must be `{{name}}.` and a domain without a port, "
                "such as `{name}.localhost` or `{name}.apps.example.com`"
            )
        return cls(domain)

    def host_of(self, name: str) -> str:
        """The host name of the app `name`. Raises UsageError when a host name cannot carry it."""
        if not _LABEL.fullmatch(name):
            raise UsageError(_no_app_name(name))
        return f"{name}.{self.domain}"

    def label_or_none(self, host: str) -> str | None:
        """What stands before the domain, or None when `host` is not below it."""
        return host.removesuffix(f".{self.domain}") if host.endswith(f".{self.domain}") else None


@dataclass(frozen=True, slots=True)
class ToPlatform:
    """The platform's own origin."""


@dataclass(frozen=True, slots=True)
class ToApp:
    """The origin of the app `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Misdirected:
    """A host name that is none of ours; `advice` says to a person what to do."""

    advice: str


Destination: TypeAlias = ToPlatform | ToApp | Misdirected


class Gateway:
    """The host names of one platform.

    `app_host` is the pattern of the apps' names, or None when apps have no origins. `hosts` are further names of the
    platform itself; "*" among them accepts every name. `localhost`, IP addresses (which cannot be rebound) and the
    domain of `app_host` are always the platform's. Raises ConfigurationError for a malformed pattern or name.
    """

    def __init__(self, app_host: str | None = None, *, hosts: Iterable[str] = ()) -> None:
        self._app_host = _AppHost.parse(app_host) if app_host is not None else None
        self._hosts = {"localhost", *(_checked_host(host) for host in hosts)}
        if self._app_host is not None:
            self._hosts.add(self._app_host.domain)

    def destination(self, authority: str) -> Destination:
        """Where a request for `authority` (host, or host:port) goes."""
        host = host_name(authority)
        if host in self._hosts:
            return ToPlatform()
        name = self._app_host.label_or_none(host) if self._app_host else None
        if name is not None:
            return ToApp(name) if _LABEL.fullmatch(name) else Misdirected(_no_app_name(name))
        if _is_ip_address(host) or ANY_HOST in self._hosts:
            return ToPlatform()
        return Misdirected(self._advice(host))

    def app_host(self, name: str) -> str:
        """The host name of the app `name`.

        Raises UsageError when a host name cannot carry the name, ConfigurationError when apps have no origins.
        """
        if self._app_host is None:
            raise ConfigurationError('apps have no origins here: give the Platform `app_host="{name}.localhost"`')
        return self._app_host.host_of(name)

    def _advice(self, host: str) -> str:
        known = ", ".join(f"`{name}`" for name in sorted(self._hosts))
        apps = f", and of apps `{{name}}.{self._app_host.domain}`" if self._app_host else ""
        return (
            f"`{host}` is no name of this server. Its names are {known}{apps}. If it should be one, "
            f'give the Platform `hosts=["{host}"]`.'
        )


def host_name(authority: str) -> str:
    """The host of `host:port`, in lower case and without a trailing dot; brackets of IPv6 stay."""
    return _bare(authority).lower().rstrip(".")


def authority_of(url: str) -> str:
    """The `host:port` of an absolute URL."""
    return url.partition("://")[2].partition("/")[0]


def _bare(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdigit() else authority


def _checked_host(host: str) -> str:
    if host != ANY_HOST and not _DOMAIN.fullmatch(host.lower()):
        raise ConfigurationError(
            f"`{host}` in `hosts` is no host name: give names such as `example.com`, without scheme and port"
        )
    return host.lower()


def _no_app_name(name: str) -> str:
    return (
        f"`{name[:80]}` cannot be part of a host name: an app that is opened in a browser needs a name of 1 to 63 "
        "small letters, digits and inner hyphens"
    )


def _is_ip_address(host: str) -> bool:
    if not (host.startswith("[") or host[-1:].isdigit()):
        return False
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
