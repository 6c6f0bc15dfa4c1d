"""provenance.json: what is needed to repeat a run."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Mapping
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from typing import Any

from batfs import __version__, json_text
from batfs.errors import InputError
from batfs.files import write_text

_SMALL = 1 << 20  # bytes
_PACKAGES = ("numpy", "orjson", "pyyaml", "pyzmq", "pybatsim", "procset")


def provenance_path(prefix: str | Path) -> Path:
    return Path(f"{prefix}_provenance.json")


def sha256(path: str | Path) -> str:
    """Hex digest of a file. InputError when it can't be read."""
    try:
        with open(path, "rb") as stream:
            return _digest_of(stream)
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", file=path) from error


def _digest_of(stream: BufferedReader) -> str:
    # loading OpenSSL takes longer than to do without it for a small file
    if os.fstat(stream.fileno()).st_size < _SMALL:
        with contextlib.suppress(ImportError):
            module = import_module("_sha256" if sys.version_info < (3, 12) else "_sha2")
            return str(module.sha256(stream.read()).hexdigest())
    import hashlib

    return hashlib.file_digest(stream, "sha256").hexdigest()


def write_provenance(
    prefix: str | Path,
    *,
    command: Iterable[str],
    configuration: Mapping[str, Any],
    inputs: Iterable[str | Path],
    results: Mapping[str, Any],
    started: float,
) -> Path:
    """Write ``<prefix>_provenance.json`` and return its path.

    All that may differ between two runs of the same thing (clock, machine, versions below batfs's) is in the
    one member ``environment``; the rest is the same wherever it runs. ``started``: seconds since the epoch.
    """
    document = {
        "batfs": __version__,
        "command": list(command),
        "configuration": dict(configuration),
        "inputs": {str(path): {"sha256": _digest(path)} for path in inputs},
        "results": dict(results),
        "environment": {
            "started": _utc(started),
            "finished": _utc(time.time()),
            "seconds": round(time.time() - started, 3),
            "python": sys.version.split()[0],
            "machine": os.uname().machine,
            "system": os.uname().sysname,
            "packages": _versions(),
        },
    }
    path = provenance_path(prefix)
    if json_text.plain(document):
        text = json_text.by_orjson(document)
    else:
        import orjson

        try:
            text = orjson.dumps(
                document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str
            ).decode()
        except orjson.JSONEncodeError:  # a number beyond 64 bits, a path that is no text
            text = json_text.indented(document)
    write_text(path, text + "\n")
    return path


def _digest(path: str | Path) -> str | None:
    """None for what can't be read again: a pipe, a file that has gone. The run is over, and stands."""
    try:
        return sha256(path) if Path(path).is_file() else None
    except InputError:
        return None


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _versions() -> dict[str, str]:
    """From the names of the installed packages' folders: importlib.metadata takes longer than a short run."""
    found: dict[str, str] = {}
    for place in sys.path:
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        for folder in names:
            if folder.endswith(".dist-info"):
                name, _, version = folder.removesuffix(".dist-info").partition("-")
                found.setdefault(name.lower(), version)
    return {name: found[name] for name in _PACKAGES if name in found}
