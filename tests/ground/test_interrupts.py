"""Ctrl-C at any moment: one sentence, 130, nothing left (``benchmarks.hostile interrupts`` does more)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from batfs.cli.main import main
from batfs.decision.link import ZmqLink
from batfs.decision.wire import simulator_side
from batfs.errors import BatfsError
from batfs.process import between_steps
from batfs.service.orchestrator import Orchestrator, Settings
from batfs.storage.policies import make_policy

ROOT = Path(__file__).parents[2]

SLOW_MODULE = """
import time
begun = time.monotonic()
while time.monotonic() - begun < 0.3:
    pass
whole = True
"""
PROGRAM = """
import os, signal, sys, threading
from batfs import process

def main():
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        import slow_module
    except KeyboardInterrupt:
        print("in the midst of an import")
        raise
    while True:
        pass

def guarded():
    try:
        return process.guarded("here", main)
    finally:
        print(sys.modules["slow_module"].whole)

sys.exit(process.program("here", guarded))
"""


def test_an_import_is_not_interrupted(tmp_path: Path) -> None:
    """A signal 0.1 s into an import of 0.3 s is heard when that is done."""
    (tmp_path / "slow_module.py").write_text(SLOW_MODULE)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=30,
        check=False, env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "True\n", "here: interrupted\n")


def test_an_import_without_end_is(tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text(SLOW_MODULE.replace("0.3", "60"))
    text = PROGRAM.replace('sys.modules["slow_module"].whole', '"slow_module" in sys.modules')
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stdout == "in the midst of an import\nFalse\n"


def test_elsewhere_it_is_heard_at_once() -> None:
    heard: list[int] = []
    between_steps(lambda number, frame: heard.append(number))(signal.SIGINT, None)
    assert heard == [signal.SIGINT]


@pytest.mark.parametrize("number", [0, 3, 4, 5, 6, 10, 14, 17])
def test_commands(tmp_path: Path, number: int) -> None:
    sys.path.insert(0, str(ROOT))
    from benchmarks.hostile.interrupts import COMMANDS, one

    class Soon(random.Random):
        """The signal within the first moments."""

        def random(self) -> float:
            return 0.3

    end, wrong = one(Soon(number), number, tmp_path, tmp_path)
    assert not wrong, (COMMANDS[number], end)


def test_a_link_that_was_never_whole(tmp_path: Path) -> None:
    """A signal between the context and its socket."""
    import zmq

    link = ZmqLink(f"ipc://{tmp_path}/here")
    link._context = zmq.Context()
    link.close()
    link.bind()
    assert (tmp_path / "here").is_socket()
    other = ZmqLink(f"ipc://{tmp_path}/here")
    other.close()
    assert (tmp_path / "here").is_socket()
    link.close()
    assert not (tmp_path / "here").exists()


WHO_LISTENS = ("connections.py", "link.py", "orchestrator.py", "socket.py", "wire.py")


def stopped(path: Path, steps: int, work: Callable[[], object]) -> bool:
    """Whether ``work()`` was interrupted so many bytecodes (of who listens, and of pyzmq's socket) after
    ``path`` came to be: a signal can come between any two."""
    left = steps

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if os.path.basename(frame.f_code.co_filename) not in WHO_LISTENS:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and path.exists():
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


class Listening:
    """Programs that listen, from where they begin to bind."""

    def __init__(self, which: str, endpoint: str) -> None:
        self.which, self.endpoint = which, endpoint
        self.made: Any = None
        if which != "orchestrator":
            self.made = simulator_side(endpoint) if which == "proxy" else ZmqLink(endpoint)

    def bind(self) -> None:
        if self.made is None:
            self.made = Orchestrator(Settings(endpoint=self.endpoint), make_policy("random"))
        else:
            self.made.bind()

    def close(self) -> None:
        if self.made is not None:
            self.made.close()


@pytest.mark.parametrize("which", ["sched", "proxy", "orchestrator"])
def test_a_signal_between_bind_and_what_cleans_up(tmp_path: Path, which: str) -> None:
    """At each bytecode from the moment on at which the socket's file is there: none is left behind."""
    path = tmp_path / "here"
    steps = 0
    while True:
        listening = Listening(which, f"ipc://{path}")
        interrupted = stopped(path, steps, listening.bind)
        assert interrupted or path.is_socket()
        listening.close()
        del listening
        assert not path.exists(), f"left behind {steps} bytecodes after bind"
        if not interrupted:
            break
        steps += 1
    assert steps > 10


@pytest.mark.parametrize("which", ["sched", "proxy", "orchestrator"])
def test_a_file_in_the_place_of_a_socket_stays(tmp_path: Path, which: str) -> None:
    """One that is no socket: libzmq would take its place."""
    path = tmp_path / "here"
    path.write_text("a table of mine")
    listening = Listening(which, f"ipc://{path}")
    with pytest.raises(BatfsError, match="Address already in use"):
        listening.bind()
    listening.close()
    assert path.read_text() == "a table of mine"


INTERRUPTED_MAKING = """
import os, signal, sys, time
from batfs.decision.link import ZmqLink
from batfs.decision.wire import simulator_side
from batfs.process import between_steps

ZMQ = ("connections.py", "link.py", "wire.py", "socket.py", "context.py", "attrsettr.py")
signal.signal(signal.SIGINT, between_steps(signal.default_int_handler))
steps = int(sys.argv[1])
while True:
    left, made = steps, MADE
    def trace(frame, event, _):
        global left
        if os.path.basename(frame.f_code.co_filename) not in ZMQ:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == -1:
                os.kill(os.getpid(), signal.SIGINT)
        return trace
    try:
        sys.settrace(trace)
        made.bind()
        sys.settrace(None)
        if left < 0:
            time.sleep(0.1)  # it was put off
        made.close()
    except KeyboardInterrupt:
        sys.settrace(None)
        made.close()  # while the exception still knows what was being made
    if left > 0:
        break
    steps += 7
print("ended")
"""


@pytest.mark.parametrize("made", ["ZmqLink('ipc://here')", "simulator_side('ipc://here')"])
@pytest.mark.parametrize("first", range(7))
def test_a_signal_while_a_socket_is_made(tmp_path: Path, made: str, first: int) -> None:
    """At each bytecode of bind, in parts: no context waits for a socket that nobody knows."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_MAKING.replace("MADE", made), str(first)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "ended\n", done.stderr[-1000:]


INTERRUPTED_BIND = """
import os, signal, socket, sys
import zmq

def interrupted(kind):
    bind = kind.bind
    def bound(self, address):
        bind(self, address)
        os.kill(os.getpid(), signal.SIGINT)
    kind.bind = bound

interrupted(zmq.Socket)
interrupted(socket.socket)
from batfs.cli.programs import batfs, proxy, sched
{}()
"""


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("sched", ["-s", "ipc://here"]),
        ("proxy", ["-s", "ipc://here", "-t", "ipc://there"]),
        ("batfs", ["service", "orchestrator", "--bind", "ipc://here", "--simulate"]),
    ],
)
def test_ctrl_c_just_after_bind(tmp_path: Path, program: str, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_BIND.format(program), *words], cwd=tmp_path, capture_output=True,
        text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 130, done
    assert done.stderr.endswith(": interrupted\n")
    assert os.listdir(tmp_path) == []


def test_a_signal_when_the_answer_has_just_been_sent(tmp_path: Path) -> None:
    """libzmq has it, and the link hasn't noted so: giving up then is no second answer, and no defect."""
    import zmq

    link = ZmqLink(f"ipc://{tmp_path}/here")
    link.bind()
    with zmq.Context() as context, context.socket(zmq.REQ) as batsim:
        batsim.connect(link.endpoint)
        batsim.send(b"{}")
        link.recv_text()
        link._socket.send(b"answer")
        link.give_up("terminated")
        assert batsim.recv() == b"answer"
    link.close()


@pytest.mark.parametrize("endpoint", ["tcp://1=", "nonsense", "tcp://127.0.0.1:99999999", "\udcff"])
def test_endpoints_that_are_none(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["service", "status", "--connect", endpoint, "--timeout", "0.1s"]
    assert main(words) in (1, 2)
    assert "defect" not in capsys.readouterr().err


ENDLESS = {
    "queue": "class Q:\n    name = 'q'\n    def schedule(self, view):\n        while True:\n"
    "            pass\n",
    "policy": "class Q:\n    name = 'q'\n    def choose(self, view, request, rng):\n        while True:\n"
    "            pass\n",
    "module": "while True:\n    pass\nclass Q: pass\n",
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_plugin_that_does_not_come_back(tmp_path: Path, kind: str) -> None:
    """Ctrl-C says where it is; also within its import, which is waited for no longer than others."""
    (tmp_path / "mine.py").write_text(ENDLESS[kind])
    flag = "--policy" if kind == "policy" else "--queue"
    words = ["-p", f"{ROOT}/platforms/taurus_storage.xml", "-w", f"{ROOT}/workloads/io.json", "-e", "r"]
    with subprocess.Popen(
        [sys.executable, "-m", "batfs", "run", *words, "-q", flag, "mine.py:Q"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:  # fmt: skip
        used = 0.0
        while used < 2.5 and child.poll() is None:  # seconds of the processor, however busy the machine is
            time.sleep(0.1)
            stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
            used = int(stat[11]) / os.sysconf("SC_CLK_TCK")
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[1]
    assert child.returncode == 130, said
    assert "interrupted in a plugin: " in said
    assert "mine.py: line " in said
    assert len(said.splitlines()) == 1
