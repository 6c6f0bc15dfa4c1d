"""A mistake in a plugin of one's own: file, line, simulated time and job, exit code 2, no traceback.

Every kind of plugin, and every kind of mistake.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from batfs.cli.main import main

ROOT = Path(__file__).parents[2]
MACHINE = ["-p", str(ROOT / "platforms/taurus_storage.xml"), "-w", str(ROOT / "workloads/io.json")]
PHASES = ["--dynamic-jobs", "--filesystem", "pfs:timing=phases"]

# kind -> flag, the plugin around one statement on line 4, other flags, what it is called
KINDS = {
    "policy": (
        "--policy", "class P:\n    name = 'p'\n    def choose(self, view, request, rng):\n        {}\n", []
    ),
    "queue": ("--queue", "class P:\n    name = 'p'\n    def schedule(self, view):\n        {}\n", []),
    "io": ("--io-policy", "class P:\n    name = 'p'\n    def schedule(self, view):\n        {}\n", PHASES),
    "model": (
        "--filesystem",
        "from batfs.ext import *\nclass P(Model):\n    def plan(self, request, view, rng):\n        {}\n",
        [],
    ),
    "selection": ("--node-selection", "#\n#\ndef P(free, count):\n    {}\n", []),
}  # fmt: skip
CALLED = {
    "policy": "the allocation policy 'p'",
    "queue": "the queue policy ",
    "io": "the I/O policy 'p'",
    "model": "the model 'P' of the file system '",
    "selection": "the node selection '",
}


def said(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, text: str) -> tuple[str, Path]:
    """What a run with the plugin says; it ends with 2 and in one line."""
    flag, _, more = KINDS[kind]
    plugin = tmp_path / "mine.py"
    plugin.write_text(text)
    out = ["-e", str(tmp_path / "out"), "-q"]
    assert main(["run", *MACHINE, flag, f"{plugin}:P", *more, *out]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error, plugin


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for statement, what in (
        ("return 1 / 0", "raised ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "ended the program (SystemExit: 3)"),
        ("return nothing", "raised NameError: name 'nothing' is not defined"),
    ):
        error, plugin = said(tmp_path, capsys, kind, KINDS[kind][1].format(statement))
        assert error.startswith(f"batfs run: {plugin}: line 4: at "), error
        assert "'w0!" in error
        assert CALLED[kind] in error
        assert what in error


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_answer(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = ["return 'nonsense'", "return [3]"]
    answers += [] if kind in ("policy", "selection") else ["return None"]
    for statement in answers:
        error, plugin = said(tmp_path, capsys, kind, KINDS[kind][1].format(statement))
        assert error.startswith(f"batfs run: {plugin}: line 3: at "), error
        assert "'w0!" in error
        assert f"{CALLED[kind]}" in error
        assert "answered" in error


@pytest.mark.parametrize(
    ("kind", "statement", "what"),
    [
        ("queue", "from batfs.ext import Pass; return Pass([3])", "answered what can't be used"),
        ("queue", "from batfs.ext import Pass; return Pass(kills=[3])", "answered what can't be used"),
        ("queue", "from batfs.ext import Pass; return Pass(wake_at='soon')", "wishes to be called at 'soon'"),
        ("io", "from batfs.ext import IoPass; return IoPass([3])", "answered what can't be used"),
        ("io", "from batfs.ext import IoPass; return IoPass([], 'soon')", "answered what can't be used"),
        ("model", "return IoPlan(self.name, placements=[(20, 1)])", "answered what is none"),
        ("model", "return IoPlan(self.name, placements=[Placement(999, 1)])", "placed bytes on 999"),
        ("model", "return IoPlan(self.name, reads=['a'])", "planned reads as str, expected Traffic"),
        ("model", "return IoPlan(self.name, timing='later')", "planned the timing 'later'"),
        ("model", "return IoPlan(self.name)", "were asked for"),
        ("model", "return IoPlan(self.name, stage_in=[1])", "answered 1, expected a Move"),
        ("selection", "return free", "nodes for a job of"),
        ("selection", "return 1 << 500", "which aren't free"),
        ("selection", "return True", "answered True"),
    ],
)  # fmt: skip
def test_an_answer_of_the_right_type_that_is_wrong(
    kind: str, statement: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error, plugin = said(tmp_path, capsys, kind, KINDS[kind][1].format(statement))
    assert error.startswith(f"batfs run: {plugin}: line 3: at "), error
    assert what in error


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_cant_be_loaded(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fine = KINDS[kind][1].format("return None")
    for text, line, what in (
        (fine + "x = ((\n", "line 5", "SyntaxError: '(' was never closed"),
        (fine + "import nosuchmodule\n", "line 5", "ModuleNotFoundError: No module named 'nosuchmodule'"),
        (fine + "from batfs.ext import Shar\n", "line 5", "ImportError: cannot import name 'Shar'"),
        (fine + "1 / 0\n", "line 5", "ZeroDivisionError: division by zero"),
    ):
        error, plugin = said(tmp_path, capsys, kind, text)
        assert error.startswith(f"batfs run: {plugin}: {line}: can't be loaded: {what}"), error


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_isnt_there(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = KINDS[kind][1].format("return None").replace("class P", "class Pp").replace("def P(", "def Pp(")
    error, plugin = said(tmp_path, capsys, kind, text)
    assert f"{plugin}: unknown" in error
    assert "'P'; known: Pp (did you mean 'Pp'?)" in error


@pytest.mark.parametrize("kind", KINDS)
def test_no_plugin_at_all(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error, _ = said(tmp_path, capsys, kind, "P = 3\n")
    assert "can't be called" in error
    if kind == "selection":
        return
    error, plugin = said(tmp_path, capsys, kind, "class P:\n    def __init__(self, *a, **k):\n        pass\n")
    assert f"{plugin}: line 2: " in error, error
    error, plugin = said(
        tmp_path, capsys, kind, "class P:\n    def __init__(self, *a, **k):\n        1 / 0\n"
    )
    assert f"{plugin}: line 3: while it was made, the" in error, error


def test_a_pybatsim_scheduler(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tmp_path / "mine.py"
    body = "from batsim.batsim import BatsimScheduler\nclass Mine(BatsimScheduler):\n"
    body += "    def onJobSubmission(self, job):\n"
    out = ["-e", str(tmp_path / "out"), "-q"]
    for text, code, what in (
        (f"{body}        1 / 0\n", 1, "at t=0.000000 in mine.py, line 4: ZeroDivisionError"),
        (f"{body}        ((\n", 2, "mine.py: line 4: the pybatsim scheduler can't"),
        ("import nosuchmodule\n", 2, "No module named 'nosuchmodule', in mine.py, line 1"),
        ("class Other:\n    pass\n", 2, "mine.py: holds no class or function Mine"),
    ):  # fmt: skip
        plugin.write_text(text)
        assert main(["run", *MACHINE, "--queue", f"pybatsim:{plugin}", *out]) == code
        assert what in capsys.readouterr().err
