"""`.dev.vars`: what is read, and that an error does not show a secret."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.config import read_variables
from perdure.errors import ConfigurationError
from perdure.limits import CONFIG_BYTES_MAX


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  A = b c  ", "b c"),
        ("export A=b # a comment", "b"),
        ("A=", ""),
        ('A="b # c"', "b # c"),
        ('A="b\\"\\n\\\\"', 'b"\n\\'),
        ("A='b \"\\n#'", 'b "\\n#'),
        ("A=b=c", "b=c"),
    ],
)
def test_a_line_is_a_name_and_a_value(line: str, value: str) -> None:
    assert read_variables(f"# first\n\n{line}\n", ".dev.vars") == {"A": value}


@pytest.mark.parametrize("line", ["secret", "1A=secret", "A B=secret", 'A="secret', "A=se'cret", 'A="secret" more'])
def test_a_line_of_another_shape_is_refused_and_not_shown(line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^\.dev\.vars:2: a line is") as caught:
        read_variables(f"B=1\n{line}", ".dev.vars")

    assert "secret" not in str(caught.value)


def test_a_file_has_a_size() -> None:
    with pytest.raises(ConfigurationError, match="characters, this has"):
        read_variables("#" * (CONFIG_BYTES_MAX + 1), ".dev.vars")


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"])))
def test_any_value_can_be_quoted(value: str) -> None:
    assert read_variables(f"A={json.dumps(value, ensure_ascii=False)}", ".dev.vars") == {"A": value}
