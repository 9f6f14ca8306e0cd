"""ObjectName: what somebody tells goes to the journal once."""

from __future__ import annotations

from perdure.storage._object_name import ObjectName


def test_a_name_that_was_told_goes_to_the_journal_once() -> None:
    name = ObjectName()
    name.tell("ada")

    taken = [name.take_untold(), name.take_untold()]

    assert taken == ["ada", None]


def test_what_the_journal_has_is_not_told_again() -> None:
    name = ObjectName("ada")

    name.remember("ada")

    assert (name.known, name.take_untold()) == ("ada", None)


def test_without_anybody_who_tells_it_the_journal_knows_the_name() -> None:
    name = ObjectName()

    name.remember("ada")

    assert (name.known, name.take_untold()) == ("ada", None)


def test_a_name_that_was_told_stands_against_the_journals() -> None:
    name = ObjectName("ada")

    name.remember("bea")

    assert (name.known, name.take_untold()) == ("ada", "ada")


def test_a_lone_surrogate_is_not_kept() -> None:
    name = ObjectName("ada")

    name.tell("\ud800")

    assert name.known == "ada"
