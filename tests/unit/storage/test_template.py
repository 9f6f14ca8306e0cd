from __future__ import annotations

import hashlib
from pathlib import Path

import apsw

from perdure.storage._template import PAGE_SIZE, new_database, template_pages


def test_template_never_changes() -> None:
    digest = hashlib.sha256(new_database()).hexdigest()

    # Databases whose file was lost are rebuilt over these bytes: another digest is another storage format.
    assert digest == "239c00e80d45a15763f1671206c0203240e4eb50c1c3a196e819e5ecad25925c"


def test_template_is_a_sound_database_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    path.write_bytes(new_database())

    connection = apsw.Connection(str(path))

    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("integrity_check") == "ok"
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("_cf_KV",)]


def test_template_pages_are_the_file() -> None:
    pages = template_pages()

    assert list(pages) == [1, 2]
    assert {len(page) for page in pages.values()} == {PAGE_SIZE}
    assert b"".join(pages.values()) == new_database()
