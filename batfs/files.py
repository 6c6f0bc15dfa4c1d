"""Output files that appear whole or not at all, and prefixes that one run writes to at a time.

A file is written beside its place under a name of its own (``.NAME.RANDOM.partial``) and renamed when it is
complete; what was there before stays untouched until then, and keeps its mode. A link is written through, and
so is what is no regular file (``/dev/null``, a pipe): those are never replaced. After a failure the new file
is removed. A long run's files, whose partial results are worth having, are called ``NAME.partial`` while the
run lasts and keep that name when it fails; they belong to the run that holds their prefix (:func:`holding`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from batfs.errors import InputError

PARTIAL = ".partial"


def partial_path(path: Path) -> Path:
    """Where a long run writes ``path`` until it is complete."""
    return path.with_name(path.name + PARTIAL)


def standing(path: Path) -> os.stat_result | None:
    """What stands at ``path``, links followed; None if nothing does. InputError for a folder."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", file=path) from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError("cannot write: it is a directory", file=path)
    return found


def _create(path: Path) -> tuple[Path, int]:
    """A new file beside ``path`` that nobody else has, and its descriptor."""
    while True:
        # a long name shortened: with what is added it must still be one
        aside = path.with_name(f".{path.name[:60]}.{os.urandom(4).hex()}{PARTIAL}")
        try:
            return aside, os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        except (OSError, ValueError) as error:
            what = getattr(error, "strerror", None) or str(error)
            raise InputError(f"cannot write: {what}", file=path) from error


def is_aside(name: str) -> bool:
    """Whether a file of this name is one that was being written here (by a process that was killed)."""
    return re.fullmatch(rf"\..{{1,60}}\.[0-9a-f]{{8}}{re.escape(PARTIAL)}", name) is not None


def _put(aside: Path, target: Path, before: os.stat_result | None) -> None:
    """``aside``, complete, takes the place of ``target`` in the same folder, and its mode and owner."""
    if before is not None:
        os.chmod(aside, stat.S_IMODE(before.st_mode))
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            with contextlib.suppress(OSError):  # only root may give files away
                os.chown(aside, before.st_uid, before.st_gid)
    os.replace(aside, target)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A name to write to; what is there when the block ends without an exception replaces ``path``."""
    path = Path(path)
    before = standing(path)
    if before is not None and not stat.S_ISREG(before.st_mode):
        with _named(path):
            yield path
        return
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    aside, descriptor = _create(target)
    os.close(descriptor)
    try:
        with _named(path):
            yield aside
            _put(aside, target, before)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def publish(aside: Path, path: Path) -> None:
    """The complete file ``aside`` takes the name ``path``; links and special files are written through."""
    before = standing(path)
    with _named(path):
        if before is not None and not stat.S_ISREG(before.st_mode):
            import shutil

            with open(aside, "rb") as source, open(path, "wb") as sink:
                shutil.copyfileobj(source, sink)
            aside.unlink()
        elif path.is_symlink():
            import shutil

            with replacing(path) as beside:
                shutil.copyfile(aside, beside)
            aside.unlink()
        else:
            _put(aside, path, before)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error of the system that names no file (a full disk) gets the name of the one that is written."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def writing(path: Path, *, keep_partial: bool = False) -> Iterator[TextIO]:
    """A text file (UTF-8, ``\\n``) that replaces ``path`` when the block ends without an exception.

    ``keep_partial``: it is ``path`` + ``.partial`` until then, and stays so after a failure. What can't be
    written as UTF-8 (a file's name that is none) is escaped.
    """
    if keep_partial:
        standing(path)
        aside = partial_path(path)
        try:
            stream = opened(aside)
        except OSError as error:
            raise InputError(f"cannot write: {error.strerror}", file=path) from error
        with _named(aside), stream:
            yield stream
        publish(aside, path)
        return
    with replacing(path) as aside:
        try:
            stream = opened(aside)
        except OSError as error:
            raise InputError(f"cannot write: {error.strerror}", file=path) from error
        with stream:
            yield stream


def opened(aside: Path, buffering: int = -1) -> TextIO:
    """``aside`` opened for text as all outputs are written. Raises OSError."""
    return open(aside, "w", encoding="utf-8", errors="backslashreplace", newline="\n", buffering=buffering)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with writing(path) as stream:
        stream.write(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with replacing(path) as aside:
        try:
            aside.write_bytes(data)
        except OSError as error:
            raise InputError(f"cannot write: {error.strerror}", file=path) from error


def check_writable(directory: Path) -> None:
    """Create ``directory`` if need be; InputError when nothing can be written into it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot make the directory: {what}", file=directory) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InputError("the directory can't be written", file=directory)
    # root passes access() on read-only file systems and on /proc: try for real
    probe, descriptor = _create(directory / "batfs")
    os.close(descriptor)
    with contextlib.suppress(OSError):
        probe.unlink()


@contextmanager
def holding(prefix: str | Path, *kinds: str) -> Iterator[None]:
    """Nobody else writes files of these kinds under ``prefix`` while the block lasts.

    ``kinds``: ``sim`` (what a simulator writes), ``sched`` (what a decision process writes): those two may
    share a prefix. InputError says who holds it. The lock is the kernel's: it ends with the process, however
    that ends; the file in which it says who it is (``.NAME.KIND.lock``) is removed at the end.
    """
    text = os.fspath(prefix)
    place = Path(text)
    if not text or text.endswith("/") or place.name in ("", ".", ".."):
        raise InputError(
            f"{text!r} is no prefix of files: it needs a name", hint="such as out/run, for out/run_jobs.csv"
        )
    check_writable(place.parent)
    with contextlib.ExitStack() as stack:
        for kind in sorted(kinds):
            stack.enter_context(_lock(place.with_name(f".{place.name[:200]}.{kind}.lock"), place))
        yield


@contextmanager
def holding_folder(folder: Path) -> Iterator[None]:
    """Nobody else writes into ``folder`` (made if need be) while the block lasts; as :func:`holding`."""
    check_writable(folder)
    with _lock(folder / ".lock", folder, "into this folder"):
        yield


def _holder(descriptor: int) -> str:
    """Who holds a lock, as its file says; between taking it and saying so there is a moment."""
    for _ in range(20):
        who = os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip()
        if who:
            return who
        time.sleep(0.005)
    return "another process"


@contextmanager
def _lock(file: Path, prefix: Path, where: str = "under this prefix") -> Iterator[None]:
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except (OSError, ValueError) as error:
            what = getattr(error, "strerror", None) or str(error)
            raise InputError(f"cannot write: {what}", file=prefix) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = _holder(descriptor)
            os.close(descriptor)
            hint = f"wait for it, or give another {where.split()[-1]}"
            raise InputError(f"{who} is writing {where}", file=prefix, hint=hint) from None
        except OSError:
            pass  # a file system without locks: as it was before there were any
        with contextlib.suppress(OSError):
            if os.fstat(descriptor).st_ino == os.stat(file).st_ino:
                break
        os.close(descriptor)  # it was removed by who held it before: once more
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        words = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv else "batfs"
        text = f"process {os.getpid()} ({words[:200]}, since {since})\n"
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.write(descriptor, text.encode("utf-8", "replace"))
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(file)
        os.close(descriptor)
