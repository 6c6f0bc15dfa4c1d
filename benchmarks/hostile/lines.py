"""Command lines and their files, damaged: every format that batfs reads, in surroundings of every kind."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from batfs.errors import InputError
from batfs.units import parse_time
from benchmarks.hostile.batches import batches, inside
from benchmarks.hostile.children import tell
from benchmarks.hostile.formats import SERVING, USUAL, corpus

ODD = (
    "", "-1", "0", "1e308", "-0.0", "nan", "inf", "9" * 40, "1e-9", "x" * 300, "../..", "/dev/null",
    "/dev/full",
    "/dev/zero", "-", "--", "\n", "\udcff", "é", "a=b", ":", "=", "0-99999999999", "1,2,3", "{}", "[]",
    "none", "/",
    ".", "io.json", "platform.xml", "no/such/file", "true", "18446744073709551616", "1TB", "-5GB", "1h",
    "%s", "{0}",
    "worst_fit:x=1", "pfs:stripe_count=0", "random,random", "missing.py:X", "io.json:X", "\x1b[31m", "=1",
    "1=",
)  # fmt: skip
WORDS = (
    b"1e308", b"-1", b"99999999999999999999", b"null", b'""', b"[]", b"{}", b"NaN", b"Infinity", b"\xff",
    b"&#0;",
    b"0x", b"1e-320", b"-0.0", b"true", b"\0", b"\n", b'"a\\u0000b"', b"9" * 400, b"\xed\xa0\x80",
    b"1e400", b"<!--",
    b"]]>", b"'", b"!!python/object:x", b"&a [*a]", b"2020-13-45", b"\t", b";", b",,,", b"0",
    b"-9223372036854775809",
)  # fmt: skip


def damaged(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 3, 20])):
        if not out:
            break
        at, kind = rng.randrange(len(out)), rng.randrange(9)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            del out[at : at + rng.randrange(1, 80)]
        elif kind == 2:
            out[at:at] = out[at : at + rng.randrange(80)]
        elif kind == 3 and rng.random() < 0.3:
            del out[at:]
        elif kind == 4:
            out[at:at] = rng.choice([b"[", b'{"a":', b"<zone>", b"- ", b"("]) * rng.choice([3, 300, 20_000])
        elif kind == 5:  # one number for another
            numbers = list(re.finditer(rb"\d+(\.\d+)?", bytes(out)))
            if numbers:
                found = rng.choice(numbers)
                out[found.start() : found.end()] = rng.choice(WORDS)
        elif kind == 6:  # one line (or member) for another
            parts = re.split(rb"(?<=[\n,>])", bytes(out))
            parts[rng.randrange(len(parts))] = rng.choice(parts)
            out = bytearray(b"".join(parts))
        else:
            out[at : at + rng.randrange(4)] = rng.choice(WORDS)
    return bytes(out)


def odd_words(rng: random.Random, words: list[str]) -> list[str]:
    """A command line nobody should give."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, kind = rng.randrange(1, len(words)), rng.randrange(6)
        if kind == 0:
            del words[at]
            if len(words) < 2:
                break
        elif kind == 1:
            words.insert(at, words[rng.randrange(1, len(words))])
        elif kind == 2:
            words[at] = words[at][: rng.randrange(len(words[at]) + 1)] + rng.choice(ODD)
        else:
            words[at] = rng.choice(ODD)
    return words


SLOW = 45.0  # seconds, on a busy machine
#: Names of files that a script would stumble over.
NAMES = ("a\nb.json", "\udcff\udcfe.xml", "-x", "--json", "x" * 250, "é \u202e.toml", "a b'\"$(c)`d`.csv",
         "%s{0}", "#", "*", "\\", "~", "a=b,c:d;e", "\x1b[31m", "-", ".", "CON")  # fmt: skip


def surrounded(rng: random.Random, folder: Path, words: list[str], changed: list[str]) -> dict[str, Any]:
    """Something odd around the command: how :func:`inside` is to run it. ``changed``: its damaged files."""
    how = rng.randrange(14)
    name = rng.choice(changed) if changed else None
    if how == 0 and name:  # an odd name
        other = rng.choice(NAMES)
        with contextlib.suppress(OSError):
            (folder / name).rename(folder / other)
            words[:] = [word.replace(name, other) for word in words]
    elif how == 1 and name:  # a folder for a file
        (folder / name).unlink()
        (folder / name).mkdir()
    elif how == 2 and name:
        (folder / name).chmod(rng.choice([0o000, 0o200]))
    elif how == 3 and name:  # a link to nothing, or to itself
        (folder / name).unlink()
        (folder / name).symlink_to(rng.choice(["nowhere", name]))
    elif how == 4:
        for place in (folder, folder / "out", folder / "scripts"):
            if place.is_dir():
                place.chmod(0o555)
    elif how == 5:  # where the results go, there is a folder, something unwritable or a link to itself
        for flag in ("-o", "-e"):
            if flag in words[:-1]:
                out = folder / Path(words[words.index(flag) + 1]).name
                kind = rng.randrange(4)
                with contextlib.suppress(OSError, ValueError):
                    if kind == 0:
                        out.mkdir()
                    elif kind == 1:
                        out.write_text("held")
                        out.chmod(0o444)
                    elif kind == 2:
                        out.symlink_to(out.name)
                    else:
                        out.mkdir()
                        out.chmod(0o000)
    elif how == 6:
        return {"largest": rng.choice([0, 1, 100, 4096, 20_000])}
    elif how == 7:
        return {"stdout": os.open("/dev/full", os.O_WRONLY)}
    elif how == 8:
        read, write = os.pipe()
        os.close(read)
        return {"stdout": write}
    elif how == 9:  # a disk that is full, or nearly
        free = os.statvfs(folder).f_bavail * 4096
        with contextlib.suppress(OSError), open(folder / "filler", "wb") as stream:
            if free < 600 * 2**20:  # only where it is ours
                os.posix_fallocate(stream.fileno(), 0, max(1, free - rng.choice([0, 4096, 16384, 65536])))
    elif how == 10 and name:
        return {"stdin": name}
    return {}


def prepared(
    rng: random.Random, folder: Path, files: Path, lines: list[Sequence[str]]
) -> tuple[list[str], dict[str, Any]]:
    """A command line, its files in ``folder``, and what surrounds it."""
    line = list(rng.choice(lines))
    while "@a.darshan" in line and rng.random() < 0.9:  # a process of its own reads it: a second each
        line = list(rng.choice(lines))
    texts = " ".join(line)
    for file in files.iterdir():  # copies: an odd word may make any of them an output
        if file.name in USUAL or file.name in texts:
            (shutil.copytree if file.is_dir() else shutil.copy)(file, folder / file.name)
    for file in files.glob("out_*") if "out" in line else ():
        shutil.copy(file, folder)
    words, changed = [], []
    for word in line:
        if word.startswith("@"):
            word = word[1:]
            name = word.partition(":")[0]
            data = (files / name).read_bytes()
            if rng.random() < 0.9:
                (folder / name).write_bytes(damaged(rng, data))
            changed.append(name)
            if word.startswith(("out_", "scripts/")) and word != "out_jobs.csv":
                continue  # read because of the others
        words.append(word)
    if rng.random() < 0.3:
        words = odd_words(rng, words)
    return words, surrounded(rng, folder, words, changed) if rng.random() < 0.5 else {}


def waits(words: Sequence[str]) -> bool:
    """Whether a command serves, or was told to be patient: it is ended then."""
    if any(tuple(words[: len(start)]) == start for start in SERVING):
        return True
    for flag, word in pairwise(words):
        if flag == "--timeout":
            with contextlib.suppress(InputError):
                return parse_time(word) > SLOW / 4
    return False


def one(rng: random.Random, folder: Path, files: Path, lines: list[Sequence[str]]) -> tuple[str, str]:
    from batfs.cli.main import main

    here = folder / "here"
    here.mkdir()
    words, around = prepared(rng, here, files, lines)
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file() and "stdin" not in around
              and os.access(path, os.R_OK) and path.name != "filler"}  # fmt: skip
    terminate = 0.4 if waits(words) else None
    ended = inside(lambda: main(words), here, ["batfs", *words], terminate=terminate, **around)
    if "stdout" in around:
        os.close(around["stdout"])
    here.chmod(0o700)
    wrong = ended.wrong()
    if not wrong and ended.seconds > SLOW:
        wrong = f"{ended.seconds:.0f} s"
    if not wrong:
        left = [n for n in os.listdir(here) if "partial" in n or n.endswith(".lock")]
        if left and words[:1] not in (["run"], ["sim"]):  # whose partial results are worth having
            wrong = f"left behind: {left[:3]}"
    if not wrong and ended.code == 2:  # refused: what was there is there
        held = {path: path.read_bytes() for path in before if os.access(path, os.R_OK) and path.is_file()}
        lost = [
            path.name for path in before if not path.is_file() or held.get(path, before[path]) != before[path]
        ]
        if lost and words[:1] != ["service"]:
            wrong = f"refused, and changed: {lost[:3]}"
    if wrong:
        told = ended.said.strip().splitlines()
        about = {name: value for name, value in around.items() if name != "stdout"}
        wrong = f"{json.dumps(words)} {about or ''}: {wrong}: {told[-1][:300] if told else ''}"
    return str(ended.code), wrong


def warm(files: Path, lines: list[Sequence[str]], folder: Path) -> None:
    """Every line once as it should be, in this process: what it imports is there for all later ones."""
    from batfs.cli.main import main

    shutil.copytree(files, folder)
    for line in lines:
        words = [word.removeprefix("@") for word in line if not word.startswith(("@out_", "@scripts"))]
        terminate = 0.5 if waits(words) else None
        inside(lambda words=words: main(words), folder, words, terminate=terminate)  # type: ignore[misc]


def lines(count: int, seed: int, workers: int, only: int | None = None) -> int:
    """``only``: the case of that number, whose files stay."""
    with tempfile.TemporaryDirectory() as name:
        files = Path(name) / "files"
        found = corpus(files)
        if only is not None:
            folder = Path(tempfile.mkdtemp(prefix="hostile-"))
            print(folder, *one(random.Random(f"{seed}-{only}"), folder, files, found))
            return 0
        warm(files, found, Path(name) / "warm")

        def case(rng: random.Random, folder: Path) -> tuple[str, str]:
            return one(rng, folder, files, found)

        return tell("lines", count, seed, batches(range(count), seed, workers, case))
