"""The names of facets are a sorted set, of which a page costs what is on it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from perdure.objects._facet_names import FacetNames

NAMES = st.text("ab\N{LATIN SMALL LETTER E WITH ACUTE}\U0001f600", max_size=3)
CHANGES = st.lists(st.tuples(st.sampled_from(["add", "discard", "clear"]), NAMES), max_size=40)


@given(st.lists(NAMES), CHANGES, NAMES, st.integers(0, 10))
def test_they_are_a_sorted_set(first: list[str], changes: list[tuple[str, str]], start_after: str, limit: int) -> None:
    names, model = FacetNames(first), set(first)

    for change, name in changes:
        if change == "clear":
            names.clear()
            model.clear()
        else:
            getattr(names, change)(name)
            getattr(model, change)(name)

    assert names.page(start_after, limit) == sorted(name for name in model if name > start_after)[:limit]
    assert (len(names), start_after in names) == (len(model), start_after in model)


def test_a_page_costs_what_is_on_it() -> None:
    names = FacetNames(f"facet {number:06}" for number in range(100_000))
    began_s = time.process_time()

    listed = names.page("", 1_000)
    while page := names.page(listed[-1], 1_000):
        listed += page

    assert time.process_time() - began_s < 1.0  # Sorting them for each page takes ten times that.
    assert len(listed) == 100_000


def test_names_that_come_and_go_meanwhile_tear_no_page() -> None:
    names = FacetNames(["m", "n", "o"])

    def come_and_go() -> None:
        for number in range(20_000):
            names.add(f"a{number % 7}")
            names.discard(f"a{(number + 3) % 7}")

    with ThreadPoolExecutor() as threads:
        changing = threads.submit(come_and_go)
        while not changing.done():
            assert names.page("b", 2) == ["m", "n"]
        changing.result()
