"""TOML with places: the lines of tables and keys."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.config import Node, read_toml
from perdure.errors import ConfigurationError

TEXT = '''# a comment
name = "x"
text = """
name = "no key"
[no.table]
"""

[vars]
A = 1
"b c" = { d = [1, 2] }

[[migrations]]
tag = "v1"

[[migrations]]
tag = "v2"
renamed_classes = [
  { from = "A", to = "B" },
]

[[durable_objects.bindings]]
name = "ROOM"

  [[durable_objects.bindings]]
  name = "HALL"

[env.staging.vars]
when = 2026-01-02
'''


def at(node: Node, *path: str | int) -> Node:
    for part in path:
        assert isinstance(node.value, dict | list)
        node = node.value[part]  # type: ignore[index]
    return node


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("name",), "2:8"),
        (("text",), "3:8"),
        (("vars",), "8:1"),
        (("vars", "A"), "9:5"),
        (("vars", "b c"), "10:9"),
        (("vars", "b c", "d", 1), "10:9"),
        (("migrations", 0), "12:1"),
        (("migrations", 0, "tag"), "13:7"),
        (("migrations", 1, "tag"), "16:7"),
        (("migrations", 1, "renamed_classes", 0, "from"), "17:19"),
        (("durable_objects", "bindings", 0, "name"), "22:8"),
        (("durable_objects", "bindings", 1), "24:3"),
        (("durable_objects", "bindings", 1, "name"), "25:10"),
        (("env", "staging", "vars", "when"), "28:8"),
    ],
)
def test_keys_know_their_places(path: tuple[str | int, ...], place: str) -> None:
    assert str(at(read_toml(TEXT, "f.toml"), *path).place) == f"f.toml:{place}"


def test_a_date_is_text() -> None:
    assert at(read_toml(TEXT, "f.toml"), "env", "staging", "vars", "when").value == "2026-01-02"


def test_what_is_malformed_is_refused_where_it_stands() -> None:
    with pytest.raises(ConfigurationError, match=r"^f\.toml:2:4: Invalid value, in `b =`"):
        read_toml("a = 1\nb =\n", "f.toml")
    with pytest.raises(ConfigurationError, match=r"^f\.toml: "):
        read_toml('a = "', "f.toml")


@settings(deadline=None)
@given(st.text(alphabet="ab=\"'[]{}.,#\n 1-", max_size=40) | st.text(max_size=40))
def test_anything_is_read_or_refused(text: str) -> None:
    refusal = ""
    try:
        tree: object = read_toml(text, "f.toml").plain()
    except ConfigurationError as error:
        tree, refusal = {}, str(error)

    assert isinstance(tree, dict)
    assert not refusal or refusal.startswith("f.toml")
