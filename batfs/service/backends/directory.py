"""Real space in a directory: a preallocated file per allocation, or a directory with a quota.

Under the root stands one folder a disk, in it one folder a lease::

    ROOT/DISK/LEASE/space        a file of exactly the granted size (kind "file"), or
    ROOT/DISK/LEASE/data/        a directory with a project quota (kind "quota"; XFS or ext4 with prjquota)
    ROOT/DISK/LEASE/about.json   lease, size, user

A folder is built under a name beginning with ``.new-``, brought to the disk, and renamed when it is whole, so
that a server killed half-way leaves nothing that counts. An ``about.json`` that can't be read all the same
(an older version didn't wait for the disk) is written anew: its size from the space, or from the orchestrator
when it asks for the space again. The data stay.

Nothing of another tenant's can be read: a preallocated file's blocks are unwritten and read as zeros until
they are written (ext4, XFS), and a folder begins empty.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from batfs.errors import InputError
from batfs.service.backends.interface import BackendError
from batfs.units import format_size

_BUILDING = ".new-"
_GOING = ".old-"


class Directory:
    """``kind``: ``file`` (works anywhere) or ``quota`` (needs root and a file system with project quotas)."""

    name = "directory"

    def __init__(self, server: str, root: Path, kind: str = "file") -> None:
        if kind not in ("file", "quota"):
            raise InputError(f"unknown kind of space {kind!r}; known: file, quota")
        self._server, self._root, self._kind = server, root.resolve(), kind
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            for leftover in self._root.glob(f"*/{_BUILDING}*"):
                shutil.rmtree(leftover)
            for leftover in self._root.glob(f"*/{_GOING}*"):
                shutil.rmtree(leftover)
        except OSError as error:
            raise InputError(f"cannot use the root directory: {error.strerror}", file=root) from error

    def _place(self, lease: str, disk: str) -> Path:
        for word in (lease, disk):
            # names come from the network and from a system file: they must stay below the root
            if not word or word.startswith(".") or any(c in word for c in "/\\\0"):
                raise BackendError(f"{word!r} can't be a folder's name")
        return self._root / disk / lease

    def provision(self, lease: str, disk: str, size: int, user: str, host: str) -> Mapping[str, Any]:
        place = self._place(lease, disk)
        if not place.exists():
            self._build(place, lease, size, user)
        found = self._size_of(place)
        if found is None:
            # nobody but the orchestrator knows how large it is
            self._note(place, lease, size, user)
        elif found != size:
            raise BackendError(f"{place} exists with {found} bytes, not {size}")
        inner = "space" if self._kind == "file" else "data"
        return {"server": self._server, "disk": disk, "path": str(place / inner)}

    def _note(self, place: Path, lease: str, size: int, user: str) -> None:
        """Write ``about.json``, whole and on the disk."""
        about = {"lease": lease, "size": size, "user": user, "kind": self._kind}
        aside = place / ".about"
        try:
            with open(aside, "wb") as stream:
                stream.write(orjson.dumps(about))
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(aside, place / "about.json")
            _sync(place)
        except OSError as error:
            raise BackendError(f"cannot write {place / 'about.json'}: {error.strerror}") from error

    def _size_of(self, place: Path) -> int | None:
        """Bytes of the space in ``place``; None if neither its note nor the space itself tells."""
        try:
            about = orjson.loads((place / "about.json").read_bytes())
            if isinstance(about, dict) and type(about.get("size")) is int and about["size"] >= 0:
                return int(about["size"])
        except (OSError, ValueError):
            pass
        try:
            return (place / "space").stat().st_size  # of the kind "file"
        except OSError:
            return None

    def _build(self, place: Path, lease: str, size: int, user: str) -> None:
        building = place.parent / f"{_BUILDING}{lease}"
        shutil.rmtree(building, ignore_errors=True)
        try:
            building.mkdir(parents=True, mode=0o700)
            if self._kind == "file":
                self._allocate(building / "space", size)
            else:
                self._limit(building / "data", size)
            self._note(building, lease, size, user)
            os.rename(building, place)
            _sync(place.parent)
        except OSError as error:
            shutil.rmtree(building, ignore_errors=True)
            raise BackendError(f"cannot make {format_size(size)} in {place}: {error.strerror}") from error
        except BackendError:
            shutil.rmtree(building, ignore_errors=True)
            raise

    @staticmethod
    def _allocate(path: Path, size: int) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            free = os.fstatvfs(handle)
            if size > free.f_bavail * free.f_frsize:
                # asked for all the same, some file systems would fill the disk before they say no
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if size:
                os.posix_fallocate(handle, 0, size)
            os.fsync(handle)
        except OSError as error:
            # a file system that can't preallocate would only promise the space
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
                raise BackendError(f"{path.parent}: this file system can't preallocate") from error
            raise
        finally:
            os.close(handle)

    @staticmethod
    def _limit(path: Path, size: int) -> None:
        path.mkdir(mode=0o700)
        project = zlib.crc32(str(path).encode()) & 0x7FFFFFFF
        mount = path
        while not mount.is_mount():
            mount = mount.parent
        blocks = -(-size // 1024)
        for command in (
            ["chattr", "+P", "-p", str(project), str(path)],
            ["setquota", "-P", str(project), "0", str(blocks), "0", "0", str(mount)],
        ):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise BackendError(f"{command[0]}: {error}") from error
            if done.returncode:
                raise BackendError(f"{command[0]}: {done.stderr.strip()}")

    def remove(self, lease: str, disk: str) -> None:
        place = self._place(lease, disk)
        going = place.parent / f"{_GOING}{lease}"
        try:
            if place.exists():
                # out of sight at once; what a crash leaves is cleared at the next start
                os.rename(place, going)
            if going.exists():
                shutil.rmtree(going)
        except OSError as error:
            raise BackendError(f"cannot remove {place}: {error.strerror}") from error

    def held(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for place in sorted(self._root.glob("*/*/")):
            if place.name.startswith(".") or place.parent.name.startswith("."):
                continue
            size = self._size_of(place)
            if size is not None:
                found[f"{place.name}/{place.parent.name}"] = size
                if not (place / "about.json").is_file() or not (place / "about.json").stat().st_size:
                    self._note(place, place.name, size, "")
        return found


def _sync(folder: Path) -> None:
    """What was renamed in ``folder`` is on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
