"""A real `perdure dev` process on a free port, for tests of documents, of the wheel and of the examples."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

START_DEADLINE_S = 180  # the first start compiles the images


@contextmanager
def served(perdure: Path, app: Path, *, path: str | None = None, data: Path | None = None) -> Iterator[str]:
    """Serve `app` with the command `perdure`; gives the address.

    `path` replaces PATH. The data lies beside the app unless `data` says where.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"} | ({} if path is None else {"PATH": path})
    command = [str(perdure), "dev", str(app), "--port", "0", "--data", str(data or app.parent / "data")]
    process = subprocess.Popen(
        command, env=environment, cwd=app.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    watchdog = threading.Timer(START_DEADLINE_S, process.kill)
    watchdog.start()
    # A server whose log nobody reads would stop at a full pipe.
    reader = threading.Thread(target=process.stdout.read)
    try:
        address = _address(process.stdout)
        watchdog.cancel()
        reader.start()
        yield address
    finally:
        watchdog.cancel()
        process.terminate()
        process.wait(timeout=30)
        if reader.ident is not None:
            reader.join()
        process.stdout.close()


def _address(output: IO[str]) -> str:
    """The first address that the server prints. A server that ends without one fails with what it said."""
    said = []
    for line in output:
        said.append(line)
        if match := re.search(r"http://[\w.\[\]:-]+", line):
            return match[0]
    raise AssertionError("the server ended without an address:\n" + "".join(said))


def fetch(url: str, body: str | None = None) -> str:
    """The text at `url`; with a body it is a POST."""
    try:
        with urlopen(Request(url, data=None if body is None else body.encode()), timeout=60) as answer:
            text = answer.read()
    except HTTPError as error:
        with error:
            raise AssertionError(f"{url} answered {error.code}: {error.read().decode()}") from None
    assert isinstance(text, bytes)
    return text.decode()
