"""Files appear whole or not at all, links and devices are written through, one run a prefix."""

from __future__ import annotations

import os
import re
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from batfs import files
from batfs.cli.main import main
from batfs.errors import InputError

ROOT = Path(__file__).parents[2]
BATFS = [sys.executable, "-m", "batfs"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
IO_EXAMPLE = ["-p", f"{ROOT}/platforms/io_example.xml", "-w", f"{ROOT}/workloads/io_example.json"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_keeps_its_mode_and_a_new_one_gets_the_usual(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before")
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        for path in (old, new):
            files.write_text(path, "after")
    finally:
        os.umask(before)
    assert old.read_text() == new.read_text() == "after"
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    assert names(tmp_path) == ["new", "old"]


@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
@pytest.mark.parametrize("how", ["text", "bytes", "kept"])
def test_a_link_is_written_through(tmp_path: Path, there: bool, how: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    if there:
        target.write_text("precious")
    link.symlink_to(target)
    if how == "bytes":
        files.write_bytes(link, b"after")
    else:
        with files.writing(link, keep_partial=how == "kept") as stream:
            stream.write("after")
    assert link.is_symlink()
    assert target.read_text() == "after"
    assert names(tmp_path / "elsewhere") == ["target"]
    assert names(tmp_path) == ["elsewhere", "link"]


@pytest.mark.parametrize("keep", [False, True])
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path, keep: bool) -> None:
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    with files.writing(pipe, keep_partial=keep) as stream:
        stream.write("through")
    reader.join(10)
    assert got == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    for path in (Path("/dev/null"), link):
        files.write_text(path, "gone")
        files.write_bytes(path, b"gone")
        with files.writing(path, keep_partial=path == link) as stream:
            stream.write("gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert names(tmp_path) == ["null"]


def test_what_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("before")
    (tmp_path / "x.partial").write_text("mine")
    with pytest.raises(RuntimeError), files.writing(path) as stream:
        stream.write("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert (tmp_path / "x.partial").read_text() == "mine"
    assert names(tmp_path) == ["x", "x.partial"]
    with pytest.raises(InputError, match="it is a directory"):
        files.write_text(tmp_path, "x")


def test_two_writers_of_one_file_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "x"

    def write(letter: str) -> None:
        for _ in range(50):
            with files.writing(path) as stream:
                for _ in range(20):
                    stream.write(letter * 1000)
                    stream.flush()

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "abc"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            text = path.read_text()
            assert text == text[:1] * 20000
    assert names(tmp_path) == ["x"]


def test_a_prefix_is_held_by_one(tmp_path: Path) -> None:
    with files.holding(tmp_path / "run", "sim"):
        who = rf"process {os.getpid()} \(.*\) is writing under this prefix"
        with pytest.raises(InputError, match=who), files.holding(tmp_path / "run", "sim", "sched"):
            pass
        with files.holding(tmp_path / "run", "sched"), files.holding(tmp_path / "other", "sim"):
            pass
    assert names(tmp_path) == []
    for prefix in ("", "/", str(tmp_path) + "/", "."):
        with pytest.raises(InputError, match="no prefix of files"), files.holding(prefix, "sim"):
            pass


def test_ctrl_c_while_a_prefix_is_taken_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt), files.holding(tmp_path / "run", "sim"):
        pass
    assert not any(tmp_path.iterdir())


def run(folder: Path, *words: str, **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BATFS, *words], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, **how
    )  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
def test_two_runs_on_one_prefix_are_never_mixed(tmp_path: Path) -> None:
    """Both with the default prefix at once: one says who holds it, the files are those of the other.

    BATFS_TWINS repeats it; 100 times in the long tests.
    """
    words = ["-p", f"{ROOT}/platforms/taurus_storage.xml", "-w", f"{ROOT}/workloads/io.json", "-q"]
    tables = ("jobs.csv", "io_jobs.csv", "storage_states.csv", "machine_states.csv", "schedule.trace")
    policies = ("random", "worst_fit")
    alone = {}
    for policy in policies:
        assert run(tmp_path, "run", *words, "--policy", policy, "-e", policy).returncode == 0
        alone[policy] = [(tmp_path / f"{policy}_{name}").read_bytes() for name in tables]
    refused = 0
    for _ in range(int(os.environ.get("BATFS_TWINS", "3"))):
        twins = [
            subprocess.Popen(
                [*BATFS, "run", *words, "--policy", policy],
                cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
            )
            for policy in policies
        ]  # fmt: skip
        said = [twin.communicate(timeout=120)[1] for twin in twins]
        codes = [twin.returncode for twin in twins]
        assert set(codes) <= {0, 2}
        assert 0 in codes
        found = [(tmp_path / "out" / f"run_{name}").read_bytes() for name in tables]
        assert found in [alone[p] for p, code in zip(policies, codes, strict=True) if code == 0]
        for code, text in zip(codes, said, strict=True):
            if code:
                refused += 1
                assert re.search(r"out/run: process \d+ \(.*\) is writing under this prefix", text)
        assert not [n for n in names(tmp_path / "out") if "partial" in n or "lock" in n]


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    done = run(tmp_path, "workload", "synth", "--jobs", "500", "-o", "w.json", preexec_fn=limited)
    assert done.returncode == 1
    assert done.stderr == f"batfs workload: {tmp_path.name and 'w.json'}: File too large\n"
    assert names(tmp_path) == []
    done = run(tmp_path, "run", *IO_EXAMPLE, "-q", "-e", "r", preexec_fn=limited)
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [["--help"], ["check", f"{ROOT}/platforms/io_example.xml"], ["run", *IO_EXAMPLE]]
)
def test_output_that_goes_nowhere(tmp_path: Path, words: list[str]) -> None:
    """/dev/full is a full disk, `>&-` no output at all, `| true` a reader that has gone."""
    text = " ".join(words)
    for redirection, codes in (
        ("> /dev/full", (1,)),
        (">&-", (0, 1)),
        ("| true; exit ${PIPESTATUS[0]}", (0, 141)),
    ):
        done = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m batfs {text} {redirection}"],
            cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode in codes, (redirection, done)
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr
        assert len(done.stderr.splitlines()) <= 1
    assert all(not n.endswith(".partial") for n in names(tmp_path))


HOLDERS = {
    "gallery": (["gallery", "--jobs", "5", "-o", "here"], "here"),
    "compare": (["compare", *IO_EXAMPLE, "--policy", "random", "-o", "here", "--no-report"], "here"),
    "report's figures": (["report", "r", "-o", "r.html", "--figures", "here", "--formats", "png"], "here"),
    "reproduce": (["reproduce", "kopanski2021", "-o", "here"], "here"),
}


@pytest.mark.parametrize("what", HOLDERS)
def test_a_folder_is_held_by_one(tmp_path: Path, what: str) -> None:
    words, place = HOLDERS[what]
    if "report" in what:
        assert run(tmp_path, "run", *IO_EXAMPLE, "-q", "-e", "r").returncode == 0
    with files.holding_folder(tmp_path / place):
        done = run(tmp_path, *words)
    assert done.returncode == (1 if what == "compare" else 2)
    assert re.search(rf"{place}: process {os.getpid()} \(.*\) is writing into this folder", done.stderr)
    assert set(names(tmp_path / place)) <= {"runs"}


def test_a_report_is_held_by_one(tmp_path: Path) -> None:
    assert run(tmp_path, "run", *IO_EXAMPLE, "-q", "-e", "r").returncode == 0
    with files.holding(tmp_path / "r_report.html", "report"):
        done = run(tmp_path, "report", "r", "--formats", "none")
    assert done.returncode == 2
    assert f"r_report.html: process {os.getpid()}" in done.stderr


def test_scratch_folders_of_killed_processes_go_and_no_others(tmp_path: Path) -> None:
    """A process in its scratch folder is killed; the next that asks for one finds and removes that folder,
    not the one of a process that lives, nor what only looks like one."""
    words = "import sys, time; from batfs.scratch import scratch_folder\n"
    words += "with scratch_folder('test') as p:\n"
    words += " (p / 'x').touch(); print(p, flush=True); time.sleep(float(sys.argv[1]))"
    environment = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", words]
    dead, alive = (
        subprocess.Popen([*command, "60"], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    assert dead.stdout is not None
    assert alive.stdout is not None
    left, kept = Path(dead.stdout.readline().strip()), Path(alive.stdout.readline().strip())
    dead.kill()
    dead.wait()
    others = [tmp_path / "batfs-test-abcdefgh", tmp_path / "batfs-test-abcdefg", tmp_path / "mine"]
    for other in others:
        other.mkdir()
    (tmp_path / "batfs-test-aaaaaaaa").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / ".batfs-owned").touch()
    assert left.is_dir()
    subprocess.run([*command, "0"], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert not left.exists()
    assert (kept / "x").exists()
    assert all(other.is_dir() for other in others)
    assert (tmp_path / "mine" / ".batfs-owned").exists()
    alive.terminate()
    alive.wait()
    for process in (dead, alive):
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("place", [".", "..", "/", "", "out", "out/"])
def test_an_output_that_is_a_folder(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    given = ["-p", f"{ROOT}/platforms/io_example.xml", "-w", f"{ROOT}/workloads/io_example.json"]
    assert main(["run", *given, "-q", "-e", "r"]) == 0
    before = sorted(tmp_path.rglob("*"))
    for words in (
        ["report", "r", "--formats", "none", "-o"],
        ["workload", "cut", given[3], "--first", "3", "-o"],
        ["workload", "convert", given[3], "--to", "batsim5", "-o"],
        ["workload", "describe", given[3], "--figure"],
        ["platform", "convert", given[1], "-o"],
    ):
        if words[-1] == "-o" and not place:
            continue  # as if it weren't given
        assert main([*words, place]) in (0, 2), words
    assert "defect" not in capsys.readouterr().err
    if place:
        assert sorted(tmp_path.rglob("*")) == before
