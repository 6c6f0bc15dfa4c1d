"""The files of a release, from a commit: a source archive and a wheel a processor, the same bytes for all.

``make dist`` calls this in an environment of its own (``release/requirements.txt``: the versions of the tools
are part of what makes the bytes). Nothing of the working tree is read: what isn't committed isn't released.

One wheel a processor serves Python 3.11 and all later ones (abi3). Both are compiled by Zig's C compiler,
which brings the headers of every processor and of an old C library, so that no container and no second
machine is needed; ``-ffp-contract=off`` in ``setup.py`` holds for both: fused multiply-adds, which arm64 has
by default, would change bits.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

# of the C library: what manylinux2014 has, and with it every distribution since 2014
GLIBC = "2.17"
PROCESSORS = ("x86_64", "aarch64")

# what a wheel must do where nothing but it and its dependencies is there
TRIAL = """
import hashlib, pathlib, platform, sys
from batfs import __version__
from batfs._core import loop, solver
for module in (loop, solver):
    assert module.__file__.endswith(".abi3.so"), f"{module.__name__} is not compiled: {module.__file__}"
from batfs.cli.main import main
code = main(["run", "-p", sys.argv[1], "-w", sys.argv[2], "--policy", "random", "-e", "trial", "--quiet"])
assert not code, code
found = hashlib.sha256(pathlib.Path("trial_io_jobs.csv").read_bytes()).hexdigest()
here = f"Python {platform.python_version()}, {platform.machine()}"
print(f"batfs {__version__}, {here}: trial_io_jobs.csv is {found[:16]}")
"""


class ReleaseError(Exception):
    """What a person has to do before there can be a release."""


def run(command: list[str], where: Path, env: dict[str, str] | None = None) -> str:
    """The output of a command; ReleaseError with the end of its errors where it fails."""
    done = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def export(root: Path, commit: str, into: Path) -> int:
    """Write the files of a commit into a folder; the time of the commit (seconds since 1970)."""
    when = run(["git", "log", "-1", "--format=%ct", commit], root).strip()
    archive = subprocess.run(["git", "archive", commit], cwd=root, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(into, filter="data")
    return int(when)


def same_bytes(archive: Path, when: int) -> None:
    """Write a source archive anew with its members in order, of one time and of nobody."""
    plain = io.BytesIO()
    with (
        tarfile.open(archive) as found,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as out,
    ):
        for member in sorted(found.getmembers(), key=lambda member: member.name):
            content = found.extractfile(member) if member.isfile() else None
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = when
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            out.addfile(member, content)
    whole = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=whole, mode="wb", mtime=when) as packed:
        packed.write(plain.getvalue())
    archive.write_bytes(whole.getvalue())


def compiler(processor: str) -> dict[str, str]:
    """The environment that makes setuptools compile for a processor, with Zig in the compiler's place."""
    zig = f"{shlex.quote(sys.executable)} -m ziglang cc -target {processor}-linux-gnu.{GLIBC} -g0"
    return {"CC": zig, "LDSHARED": f"{zig} -shared -Wl,-s", "CFLAGS": "", "LDFLAGS": ""}


def build(source: Path, when: int, out: Path, processors: list[str]) -> list[Path]:
    """The source archive and the wheels of an exported tree."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(when), "PYTHONHASHSEED": "0", "LC_ALL": "C"}
    pip = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out)]
    run([*pip, "--sdist"], source, env)
    (archive,) = out.glob("*.tar.gz")
    same_bytes(archive, when)
    made = [archive]
    for processor in processors:
        # from the archive, so that what it lacks is missed here and not by whoever builds from it
        with tempfile.TemporaryDirectory() as scratch:
            with tarfile.open(archive) as files:
                files.extractall(scratch, filter="data")
            (tree,) = Path(scratch).iterdir()
            plat = f"manylinux_{GLIBC.replace('.', '_')}_{processor}"
            options = ["--wheel", f"--config-setting=--build-option=--plat-name={plat}"]
            run([*pip, *options], tree, {**env, **compiler(processor)})
        (wheel,) = out.glob(f"*{plat}.whl")
        check(wheel)
        made.append(wheel)
    return made


def check(wheel: Path) -> None:
    """A wheel without a compiled core would install and run, many times slower: refuse to make one."""
    names = zipfile.ZipFile(wheel).namelist()
    compiled = {Path(name).name.split(".")[0] for name in names if name.endswith(".abi3.so")}
    meant = {Path(name).stem for name in names if name.startswith("batfs/_core/") and name.endswith(".py")}
    if not compiled or not compiled <= meant:
        raise ReleaseError(
            f"{wheel.name} holds no compiled core: the C compiler failed (modules: {sorted(compiled)})"
        )
    if not any(name.endswith("licenses/LICENSE") for name in names):
        raise ReleaseError(f"{wheel.name} holds no license")


def trial(wheel: Path, root: Path, python: list[str] | None) -> str:
    """Install a wheel into a bare environment and simulate with it; what it said.

    For another processor than this machine's, `python` is a command that runs that processor's Python (an
    emulator and what it runs): the wheel and its dependencies are put into a folder on its path.
    """
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch)
        script = target / "trial.py"
        script.write_text(TRIAL)
        data = [str(root / "platforms/taurus_storage.xml"), str(root / "workloads/io.json")]
        bare = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        if python is None:
            venv.create(target / "env", with_pip=True)
            own = target / "env/bin/python"
            run([str(own), "-m", "pip", "install", "--quiet", str(wheel)], target, bare)
            return run([str(own), str(script), *data], target, bare).strip()
        version = run(
            [*python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], target, bare
        ).strip()
        processor = next(name for name in PROCESSORS if wheel.stem.endswith(name))
        plats = [f"--platform=manylinux_{c}_{processor}" for c in ("2_17", "2_27", "2_28")]
        plats.append(f"--platform=manylinux2014_{processor}")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--target",
            "site",
            f"--python-version={version}",
        ]
        run([*pip, *plats, "--only-binary=:all:", "--no-deps", str(wheel)], target)
        # what a simulation imports; pybatsim, which only batfs-sched needs, has dependencies without wheels
        needed = ["numpy", "msgspec", "orjson", "pyyaml", "pyzmq", "rich"]
        run([*pip, *plats, "--only-binary=:all:", *needed], target)
        env = {**bare, "PYTHONPATH": str(target / "site")}
        return run([*python, str(script), *data], target, env).strip()


def main() -> int:
    """Build, try and list the files of a release."""
    parser = argparse.ArgumentParser(description="Build and try the files of a release, from a commit.")
    parser.add_argument("commit", nargs="?", default="HEAD", help="tag or commit to release (default: HEAD)")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("dist"), help="folder of the files (default: dist)"
    )
    parser.add_argument("--only", choices=PROCESSORS, help="build the wheel of one processor only")
    parser.add_argument(
        "--arm-python",
        metavar="COMMAND",
        help="a command that runs an arm64 Python here (an emulator): the arm64 wheel is tried with it, too",
    )
    parser.add_argument("--no-trial", action="store_true", help="don't install and run the wheels")
    options = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    try:
        with tempfile.TemporaryDirectory() as scratch:
            source, made_in = Path(scratch, "source"), Path(scratch, "made")
            source.mkdir()
            made_in.mkdir()
            when = export(root, options.commit, source)
            made = build(source, when, made_in, [options.only] if options.only else list(PROCESSORS))
            for wheel in made[1:] if not options.no_trial else []:
                here = wheel.stem.endswith(os.uname().machine)
                if here:
                    print(trial(wheel, root, None))
                elif options.arm_python:
                    print(trial(wheel, root, shlex.split(options.arm_python)))
                else:
                    print(f"{wheel.name}: not tried, it is for another processor (--arm-python COMMAND)")
            options.out.mkdir(parents=True, exist_ok=True)
            for path in made:
                content = path.read_bytes()
                (options.out / f"{path.name}.partial").write_bytes(content)
                (options.out / f"{path.name}.partial").rename(options.out / path.name)
                print(f"{hashlib.sha256(content).hexdigest()}  {options.out / path.name}")
    except (ReleaseError, subprocess.CalledProcessError, OSError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
