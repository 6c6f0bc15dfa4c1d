"""Where the orchestrator is, and with which keys it is spoken to.

What a flag says goes first, then the environment, then a small file, then what is usual::

    --connect            BATFS_CONNECT            connect = "tcp://storage:28100"
    --key                BATFS_KEY                key = "alice.key_secret"
    --orchestrator-key   BATFS_ORCHESTRATOR_KEY   orchestrator_key = "main.key"

The file is ``batfs/service.toml`` below ``$XDG_CONFIG_HOME`` (``~/.config``), or the one that
``BATFS_SERVICE`` names; paths in it go from its folder.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from batfs.errors import InputError, unknown

if TYPE_CHECKING:
    from batfs.service.auth import KeyPair
    from batfs.service.client import Client
    from batfs.storage.storalloc_config import StorallocConfig

DEFAULT = "tcp://127.0.0.1:28100"
_NAMES = ("connect", "key", "orchestrator_key")


def configured(args: argparse.Namespace) -> StorallocConfig | None:
    """StorAlloc's configuration, if the flags name one."""
    from batfs.storage.storalloc_config import read_config

    return None if args.config is None else read_config(args.config)


def endpoint(args: argparse.Namespace) -> str:
    """Where the orchestrator is."""
    if args.connect is not None:
        return str(args.connect)
    config = configured(args)
    return config.endpoint if config is not None else _told("connect") or DEFAULT


def keys(args: argparse.Namespace) -> tuple[KeyPair, KeyPair] | None:
    """One's own pair and the orchestrator's public key; None where neither is named."""
    from batfs.service.auth import read_key

    mine = str(args.key or _told("key"))
    its = str(args.orchestrator_key or _told("orchestrator_key"))
    if not mine and not its:
        return None
    if not mine or not its:
        missing = "--orchestrator-key" if mine else "--key"
        raise InputError(
            f"--key and --orchestrator-key go together, and {missing} is missing",
            hint="BATFS_KEY and BATFS_ORCHESTRATOR_KEY say the same",
        )
    own = read_key(Path(mine))
    if own.secret is None:
        raise InputError("holds no secret key", file=mine, hint="give NAME.key_secret")
    return own, read_key(Path(its))


def connected(args: argparse.Namespace) -> Client:
    """A client of the orchestrator."""
    from batfs.service.client import Client

    return Client(endpoint(args), keys=keys(args), timeout=args.timeout)


def _told(name: str) -> str:
    """What the environment says of it, or the file; nothing if neither does."""
    return os.environ.get(f"BATFS_{name.upper()}") or _in_the_file().get(name, "")


def _in_the_file() -> dict[str, str]:
    """The file's members, paths made whole. InputError for what it can't say; nothing if there is none."""
    import tomllib

    from batfs.texts import utf8_text

    named = os.environ.get("BATFS_SERVICE")
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    path = Path(named or f"{home}/batfs/service.toml").expanduser()
    if not named and not path.is_file():
        return {}
    try:
        found = tomllib.loads(utf8_text(path))
    except ValueError as error:
        raise InputError(f"not TOML: {error}", file=path) from error
    for name, value in found.items():
        if name not in _NAMES:
            raise unknown("member", name, _NAMES, file=path)
        if not isinstance(value, str):
            raise InputError(f"expected a text, found {value!r}", file=path, place=name)
    return {n: v if n == "connect" else str(path.parent / Path(v).expanduser()) for n, v in found.items()}
