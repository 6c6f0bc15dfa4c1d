"""How a process of ours begins and ends."""

from __future__ import annotations

import subprocess
import sys


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_the_end_flushes_and_calls_what_asked_for_it() -> None:
    done = python(
        "import atexit, sys\n"
        "from batfs import process\n"
        "atexit.register(lambda: print('called', flush=False))\n"
        "process.begin()\n"
        "print('printed', flush=False)\n"
        "process.end(3)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "printed\ncalled\n", "")


def test_threads_end_first() -> None:
    done = python(
        "import threading, time\n"
        "from batfs import process\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()\n"
        "process.end(0)"
    )
    assert (done.returncode, done.stdout) == (0, "late\n")


def test_the_number_of_threads_is_the_users() -> None:
    program = (
        "import os; from batfs import process; process.begin(); print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    assert python(program).stdout == "1\n"
    assert python(f"import os; os.environ['OPENBLAS_NUM_THREADS'] = '4'; {program}").stdout == "4\n"
