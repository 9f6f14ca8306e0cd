import html
from collections.abc import Callable
from typing import Any

FILTERS: dict[str, Callable[[Any], Any]] = {}


class Safe(str):
    """Text that is HTML already."""


def filter_function(function):
    FILTERS[function.__name__.rstrip("_")] = function
    return function


@filter_function
def upper(value):
    return str(value).upper()


@filter_function
def money(value):
    return f"{value:,.2f}"


@filter_function
def join(value):
    return ", ".join(map(str, value))


@filter_function
def safe(value):
    return Safe(value)


@filter_function
def len_(value):
    return len(value)


def to_html(value) -> str:
    if value is None:
        return ""
    return value if isinstance(value, Safe) else html.escape(str(value))
