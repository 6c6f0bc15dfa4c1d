"""What the parser behind the three programs does with words that aren't quite right, and how it explains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batfs import parsing
from batfs.cli import list as listing
from batfs.cli.completion import SHELLS, offered
from batfs.cli.main import COMMANDS, main, make_parser

ROOT = Path(__file__).parents[2]


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    """What a call of ``batfs`` says on standard error."""
    try:
        found = main(words)
    except SystemExit as error:
        found = int(str(error.code))
    assert found == code
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["run", "--platfrom", "x.xml"], "batfs run: unknown option '--platfrom'; did you mean --platform?"),
        (["run", "-policy", "random"], "unknown option '-policy'; did you mean --policy?"),
        (["compare", "--seed", "3"], "batfs compare: unknown option '--seed'; did you mean --seeds?"),
        (["workload", "synt"], "unknown command 'synt' (choose from synth, from-log"),
        (["workload", "synt"], "did you mean 'synth'?"),
        (["workload", "synth", "--nods=4"], "synth: unknown option '--nods'; did you mean --nodes?"),
        (["service", "reqest", "1GB"], "did you mean 'request'?"),
        (["reproduce", "kopanski"], "did you mean 'kopanski2021'?"),
        (["rnu"], "batfs: unknown command 'rnu'; did you mean 'run'?"),
        (["run", "--engine", "batsm"], "'batsm' (choose from batfs, batsim); did you mean 'batsim'?"),
        (["list", "polices"], "did you mean 'policies'?"),
        (["help", "wrokload"], "did you mean 'workload'?"),
        (["run", "-p", "a", "-w", "b", "more"], "batfs run: too much: more"),
        (["alloc", "replay", "-Z", "a", "b"], "batfs alloc replay: unknown option '-Z'"),
    ],
)  # fmt: skip
def test_the_nearest_spelling(capsys: pytest.CaptureFixture[str], words: list[str], hint: str) -> None:
    assert hint in said(capsys, *words)


def test_no_flag_takes_the_end_of_flags_for_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse before Python 3.13 makes an empty list of ``--flag=--`` and of ``-f--``, for every flag."""
    tried = 0
    for name, parser in make_parser().walk("batfs"):
        for action in parser.shown():
            if not action.option_strings or action.nargs == 0:
                continue
            for flag in action.option_strings:
                tried += 1
                words = [*name.split()[1:], f"{flag}{'=' if flag.startswith('--') else ''}--"]
                assert "'--'" in said(capsys, *words), words
    assert tried > 300


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--plat", "platforms/taurus_storage.xml", "-w", "workloads/io.json"],
        ["workload", "synth", "--node", "4"],
        ["verify", "--cou", "3"],
        ["sim", "--plat", "x.xml"],
    ],
)
def test_no_abbreviations(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert "unknown option" in said(capsys, *words)


@pytest.mark.parametrize("program", ["command", "proxy_command"])
def test_the_other_programs_say_the_same(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    import importlib

    parser = importlib.import_module(f"batfs.decision.{program}").make_parser()
    with pytest.raises(SystemExit):
        parser.parse_args(["--polcy", "random"])
    assert "unknown option '--polcy'; did you mean --policy?" in capsys.readouterr().err


def test_old_spellings_work_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("-n", "--count", "--jobs"):
        out = tmp_path / f"{flag}.json"
        assert main(["workload", "synth", flag, "5", "-o", str(out)]) == 0
        noted = capsys.readouterr().err
        assert noted == ("batfs workload synth: note: --jobs is now --count\n" if flag == "--jobs" else "")
    assert len({file.read_text() for file in tmp_path.iterdir()}) == 1
    assert (
        main(["workload", "scale", str(out), "--runtime=2", "--nodes", "2", "-o", str(tmp_path / "x.json")])
        == 0
    )
    assert capsys.readouterr().err.splitlines() == [
        "batfs workload scale: note: --runtime is now --runtime-by",
        "batfs workload scale: note: --nodes is now --nodes-by",
    ]


def test_a_note_is_made_once() -> None:
    parser = parsing.Parser(prog="p")
    parsing.add_option(parser, "--new", old=("--old", "-o"), action="append")
    found = parser.parse_args(["--old", "1", "--old=2", "-o", "3", "--new", "4"])
    assert found.new == ["1", "2", "3", "4"]
    assert parsing.notes() == ["p: note: --old is now --new", "p: note: -o is now --new"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["workload", "cut", "w.json", "--begin", "90"], "'90' has no unit: write 90s, or 90m, 90h"),
        (["explain", "-p", "p.xml", "--reads", "800"], "'800' has no unit: write 800GB, or 800MB, 800B"),
        (["service", "request", "200", "--for", "1h"], "'200' has no unit: write 200GB"),
        (["workload", "synth", "--speed", "3"], "'3' has no unit: write 3Gf, or 3Mf, as is meant"),
        (["platform", "new", "--disks", "1e12"], "'1e12' has no unit: write 1e12GB"),
        (["workload", "synth", "--shortest", "1 fortnight"], "unknown unit"),
        (["service", "status", "--timeout", "1e308s"], "'1e308s' (expected a time such as 60s or 2m, at m"),
        (["compare", "-j", "0"], "invalid count value: '0' (expected a whole number of at least 1)"),
    ],
)  # fmt: skip
def test_numbers_have_units(capsys: pytest.CaptureFixture[str], words: list[str], problem: str) -> None:
    assert problem in said(capsys, *words)


def test_help_is_one_page_however_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["run"], ["workload", "synth"], ["service", "request"], ["reproduce", "theta"]):
        assert main(["help", *words]) == 0
        page = capsys.readouterr().out
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        assert capsys.readouterr().out == page
        assert page.startswith(f"usage: batfs {' '.join(words)} ")
    assert main(["help"]) == 0
    page = capsys.readouterr().out
    assert all(f"\n  {name} " in page for name in COMMANDS)


@pytest.mark.parametrize("kind", listing.KINDS)
def test_lists_have_a_line_each(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == list(listing.known(kind))
    for line in lines:
        assert len(line.partition("  ")[2].strip()) > 5, f"{line!r}: its docstring says nothing"


def test_lists_hold_what_the_flags_take(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is listed isn't refused; the lists are the registries', so a plugin is in them."""
    from batfs.storage.policies import known_policies

    assert list(listing.known("policies")) == known_policies()
    import json

    assert main(["list", "queues", "--json"]) == 0
    assert "fcfs" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("batfs ", "run"),
        ("batfs che", "check"),
        ("/usr/bin/batfs workload sc", "scale"),
        ("batfs workload synth --ov", "--overestimate"),
        ("batfs run --policy worst", "worst_case"),
        ("batfs run -p 'a b.xml' --queue ea", "easy"),
        ("batfs run --engine ", "batfs"),
        ("batfs help serv", "service"),
        ("batfs help service ord", ""),
        ("batfs run -p plat", ""),
        ("batfs-sched --po", "--policy"),
        ("batfs-proxy --sch", "--scheduler"),
        ("batfs platform new tau", "taurus_storage"),
        ("batfs list ", "policies"),
        ("batfs nothing ", ""),
    ],
)
def test_completion(line: str, first: str) -> None:
    assert next((name for name, _ in offered(line)), "") == first


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, tmp_path: Path) -> None:
    """The script, in the shell that it is for."""
    import shutil

    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    asked = {
        "bash": "source s; COMP_LINE='batfs run --qu'; COMP_POINT=14; _batfs; echo ${COMPREPLY[@]}",
        "zsh": "compdef() { :; }; _describe() { print -l $found; }; source s; "
        "words=(batfs run --qu); CURRENT=3; _batfs",
        "fish": "source s; complete -C 'batfs run --qu'",
    }[shell]
    script = subprocess.run(
        [sys.executable, "-m", "batfs", "completion", shell], capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "s").write_text(script)
    done = subprocess.run(
        [program, "-c", asked],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "--queue" in done.stdout, done.stderr
    assert "--quiet" in done.stdout


def imported(*words: str) -> set[str]:
    code = f"import sys; sys.argv = ['batfs', *{list(words)!r}]\nfrom batfs.cli.main import main\n"
    code += "try: main()\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_quick_answers_import_next_to_nothing() -> None:
    """--version and --help answer within 0.04 s of Python's own start: no numpy, no parser where none is
    needed. What a time would say on an idle machine, the list of modules says on a busy one."""
    assert not {"numpy", "argparse", "orjson", "dataclasses", "inspect"} & imported("--version")
    assert not {"numpy", "argparse", "orjson", "dataclasses", "inspect"} & imported("--help")
    for command in ("run", "explain", "check", "platform new", "platform diff", "workload synth",
                    "workload from-log", "workload from-darshan", "alloc sweep", "service request", "report",
                    "compare", "gallery", "verify", "reproduce theta", "sim", "help", "list"):  # fmt: skip
        heavy = {"numpy", "pandas", "matplotlib", "zmq", "batsim", "scipy"}
        assert not heavy & imported(*command.split(), "--help"), command


def test_what_help_pages_say_holds() -> None:
    """Help pages don't import what they tell of, and tell the same."""
    from batfs.cli.platforms.diff import ROUTES
    from batfs.cli.workloads.synth import DEFAULTS, PRESETS
    from batfs.platform.difference import MAX_ROUTES
    from batfs.workload import presets
    from batfs.workload.synth import SynthOptions

    assert {name: getattr(SynthOptions(), name) for name in DEFAULTS} == DEFAULTS
    assert tuple(presets.PRESETS) == PRESETS
    assert MAX_ROUTES == ROUTES


def test_colour_is_for_terminals() -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    kept = {name: os.environ.pop(name, None) for name in ("NO_COLOR", "TERM")}
    try:
        assert parsing.bold("word", Terminal()) == "\033[1mword\033[0m"
        os.environ["NO_COLOR"] = "1"
        assert parsing.bold("word", Terminal()) == "word"
        del os.environ["NO_COLOR"]
        os.environ["TERM"] = "dumb"
        assert parsing.bold("word", Terminal()) == "word"
        assert parsing.bold("word", sys.__stdin__) in ("word", "\033[1mword\033[0m")
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    done = subprocess.run(
        [sys.executable, "-m", "batfs", "help", "run"], cwd=ROOT, capture_output=True, check=True
    )
    assert b"\033" not in done.stdout
