"""Ctrl-C at any moment: one sentence, 130, nothing left (``benchmarks.hostile interrupts`` does more)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batfs.cli.main import main
from batfs.decision.link import ZmqLink
from batfs.process import between_imports

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
    between_imports(lambda number, frame: heard.append(number))(signal.SIGINT, None)
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
