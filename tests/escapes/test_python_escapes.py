"""Attempts to leave the Python sandbox. Each one first succeeds in a plain CPython, so that it proves something.

An attempt is a snippet whose last expression is true when it got what it wanted. In the sandbox it must raise, be
false, or end the isolate; the host must be none the wiser.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.isolates.conftest import Python
from tests.unit.isolates.fake_host import MEMORY_BYTES, drive

from perdure.errors import GuestCrashedError, GuestError, LimitExceededError
from perdure.isolates import Isolates

SECRET_OF_THE_HOST = "only the host knows this"

PLAIN_PYTHON = """
import ast, sys
SECRET_OF_THE_HOST = "only the host knows this"
tree = ast.parse(sys.argv[1])
tree.body[-1] = ast.Assign([ast.Name("result", ast.Store())], tree.body[-1].value)
names = {"__name__": "attempt"}
exec(compile(ast.fix_missing_locations(tree), "attempt.py", "exec"), names)
print("SUCCEEDED" if names["result"] else "failed")
"""

FILES = {
    "read a file": "open('/etc/passwd').read()",
    "list the root": "import os\nos.listdir('/')",
    "write a file": "import tempfile\ntempfile.NamedTemporaryFile().write(b'x')",
    "read own memory through proc": "open('/proc/self/maps').read()",
    "open by file descriptor": "import os\nos.open('/dev/null', os.O_RDWR) > 2",
    "read a file by URL": "import urllib.request\nurllib.request.urlopen('file:///etc/passwd').read()",
    "open a database file": "import sqlite3\nsqlite3.connect('file:/etc/passwd?mode=ro', uri=True) is not None",
    "attach a database file": (
        "import sqlite3\nsqlite3.connect(':memory:').execute(\"ATTACH '/tmp/escape.db' AS x\") is not None"
    ),
    "make a link": "import os, tempfile\nos.symlink('/etc/passwd', tempfile.mkdtemp() + '/x') is None",
    "load code from disk": (
        "import os, sys\nsys.path.insert(0, os.path.dirname(os.__file__) + '/lib2to3/..')\n"
        "sys.modules.pop('colorsys', None)\nimport colorsys\ncolorsys.__file__ and open(colorsys.__file__).read()"
    ),
    "stat a path": "import os\nos.stat('/etc/passwd').st_size",
}
PROCESSES = {
    "run a shell": "import os\nos.system('true') == 0",
    "run a program": "import subprocess\nsubprocess.run(['true']).returncode == 0",
    "open a pipe": "import os\nos.popen('echo hello').read()",
    "fork": "import os\npid = os.fork()\npid == 0 and os._exit(0)\npid > 0",
    "exec": "import os\nos.fork() or os.execv('/bin/true', ['true'])\nTrue",
    "spawn": "import os\nos.posix_spawn('/bin/true', ['true'], {}) > 0",
    "run a pickle": "import pickle\npickle.loads(b'cposix\\nsystem\\n(S\"true\"\\ntR.') == 0",
    "signal the host": "import os\nos.kill(os.getpid(), 0) is None",
    "find a subclass that runs programs": (
        "import subprocess\n"
        "[c for c in object.__subclasses__() if c.__name__ == 'Popen'][0](['true']).wait() == 0"
    ),
    "start a thread": "import threading\nthread = threading.Thread(target=print)\nthread.start()\nTrue",
    "change a resource limit": "import resource\nresource.getrlimit(resource.RLIMIT_NOFILE)",
    "learn the parent": "import os\nos.getppid() > 0",
}  # fmt: skip
NETWORK = {
    "listen": "import socket\nsocket.socket().bind(('127.0.0.1', 0)) is None",
    "connect": (
        "import socket\nserver = socket.socket()\nserver.bind(('127.0.0.1', 0))\nserver.listen()\n"
        "socket.socket().connect(server.getsockname()) is None"
    ),
    "connect past the refusal": (
        "import socket, _socket\nserver = _socket.socket()\nserver.bind(('127.0.0.1', 0))\nserver.listen()\n"
        "_socket.socket().connect(server.getsockname()) is None"
    ),
    "unix socket": "import socket\nsocket.socket(socket.AF_UNIX).bind('\\0escape-test') is None",
    "resolve a name": "import socket\nsocket.getaddrinfo('localhost', 80)",
    "socket pair": "import socket\nsocket.socketpair()",
    "datagram": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9)) == 1",
}
MEMORY = {
    "native library": "import ctypes\nctypes.CDLL(None) is not None",
    "raw memory": "import ctypes\nctypes.string_at(id(object), 8)",
    "executable memory": "import mmap\nmmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "shared memory": (
        "from multiprocessing import shared_memory\nshared_memory.SharedMemory(create=True, size=10).unlink() is None"
    ),
    "globals of the host through frames": (
        "import sys\nframe, found = sys._getframe(), False\n"
        "while frame is not None:\n"
        "    found = found or 'SECRET_OF_THE_HOST' in frame.f_globals\n    frame = frame.f_back\nfound"
    ),
    "objects of the host through gc": (
        "import gc\nany(isinstance(o, dict) and 'SECRET_OF_THE_HOST' in o for o in gc.get_objects())"
    ),
    "environment": "import os\n{k: v for k, v in os.environ.items() if k == 'PATH'}",
    "arguments of the host": "import sys\n[a for a in sys.argv if a]",
    "interpreter of the host": "import os, sys\nos.path.exists(sys.executable)",
    "user of the host": "import os, pwd\npwd.getpwuid(os.getuid())",
    "standard input of the host": "input()",
}
ATTEMPTS = {**FILES, **PROCESSES, **NETWORK, **MEMORY}

CRASHES = {
    "forged bytecode": (
        "def victim(): return 1\n"
        "victim.__code__ = victim.__code__.replace(co_code=bytes([100, 255] * 64), co_consts=())\nvictim()"
    ),
    "fault handler": "import faulthandler\nfaulthandler._sigsegv()",
    "exit": "import os\nos._exit(7)",
    "abort": "import os\nos.abort()",
}


@pytest.mark.parametrize("source", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_attempt_succeeds_without_a_sandbox_and_fails_inside(
    python: Python, source: str, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = subprocess.run(
        [sys.executable, "-c", PLAIN_PYTHON, source],
        input="typed by somebody\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "SUCCEEDED" in plain.stdout, plain.stderr

    try:
        outcome = python().evaluate(source)
    except (RuntimeError, GuestError):
        outcome = False

    written = capfd.readouterr()
    assert not outcome or outcome in ([[]], {}), outcome
    assert (written.out, written.err) == ("", "")


@pytest.mark.parametrize("source", CRASHES.values(), ids=CRASHES.keys())
def test_crash_of_a_guest_is_not_ours(python: Python, source: str) -> None:
    plain = subprocess.run([sys.executable, "-c", PLAIN_PYTHON, source], capture_output=True, timeout=30, check=False)
    assert plain.returncode != 0
    neighbour = python("kept = 1\n")

    with pytest.raises((GuestCrashedError, LimitExceededError, RuntimeError)):
        python().evaluate(source)

    assert neighbour.evaluate("import sys\nsys.modules['worker'].kept") == 1


def test_raw_output_of_a_guest_goes_nowhere(python: Python, capfd: pytest.CaptureFixture[str]) -> None:
    source = "import os\nos.write(1, b'ESCAPED') + os.write(2, b'ESCAPED') == 14"
    plain = subprocess.run([sys.executable, "-c", PLAIN_PYTHON, source], capture_output=True, timeout=30, check=False)
    assert b"ESCAPED" in plain.stdout
    assert b"ESCAPED" in plain.stderr

    python().evaluate(source)

    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")


# ── the one import ───────────────────────────────────────────────────────────────────────────────────────────

# Hiding it would be in vain: a guest may read every object of its own interpreter.
FIND_IMPORT = (
    "import perdure.guest._entry as entry\n"
    "host_call = entry._guest._ask\nruntime = host_call.__globals__['componentize_py_runtime']\n"
)


def test_host_calls_of_any_number_and_text_reach_the_host_alone(python: Python) -> None:
    guest = python()
    guest.host.answers[4242] = lambda key, payload: f"{len(key)} {payload}"

    answer = guest.evaluate(FIND_IMPORT + "host_call(4242, 'k' * 100000, '\\x00\\u20ac')")

    assert answer == "100000 \x00€"


@pytest.mark.parametrize(
    "forged",
    [
        "host_call(-1, '', '')",
        "host_call(2 ** 40, '', '')",
        "host_call(1, None, b'')",
        "host_call(1, '\\ud800', '')",
        "runtime.call_import(0, [1, 'a'], 1)",
        "runtime.call_import(0, [1, 'a', 'b', 'c'], 1)",
        "runtime.call_import(9999, [], 1)",
        "runtime.call_import(-1, ['a' * 1000], 0)",
        "runtime.call_import(0, ['x', 1, 2], 5)",
        "host_call(15, '', '')",
    ],
)
def test_forged_host_call_ends_at_most_its_own_isolate(python: Python, forged: str) -> None:
    neighbour, guest = python("kept = 1\n"), python()
    guest.host.answers = dict.fromkeys(range(20), lambda key, payload: "")

    with contextlib.suppress(RuntimeError, GuestError):
        guest.evaluate(FIND_IMPORT + forged + "\nNone")

    assert neighbour.evaluate("import sys\nsys.modules['worker'].kept") == 1


# ── life and death ───────────────────────────────────────────────────────────────────────────────────────────


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def _live_and_die(isolates: Isolates, times: int) -> None:
    for _ in range(times):
        isolate = isolates.create("python", memory_bytes=MEMORY_BYTES)
        drive(isolate, {"worker.py": "kept = [bytes(1000) for _ in range(100)]"}).load()
        isolate.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("cycles", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_isolates_leave_nothing_behind(isolates: Isolates, cycles: int) -> None:
    _live_and_die(isolates, 30)
    before = _resident_bytes()

    _live_and_die(isolates, cycles)

    assert _resident_bytes() - before < 4 * 1024 * 1024


def test_unknown_operation_is_the_hosts_to_refuse(python: Python) -> None:
    guest = python()

    with pytest.raises(RuntimeError, match="no answer for 999"):
        guest.evaluate(FIND_IMPORT + "from perdure.guest._host_calls import checked\nchecked(host_call(999, '', ''))")

    assert (999, "", "") in guest.host.calls
