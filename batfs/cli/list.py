"""``batfs list``: what there is to choose from, a line each."""

from __future__ import annotations

import argparse
import importlib
import itertools
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Final

from batfs.parsing import add_word, bold

HELP = """list what there is to choose from, installed plugins included

  batfs list policies            where a job's bytes live: --policy
  batfs list queues              which job starts next: --queue
  batfs list io-policies         which transfers may move now: --io-policy
  batfs list models              how a file system moves bytes: --filesystem
  batfs list selections          which free nodes a job gets: --node-selection
  batfs list rhythms             jobs that do I/O over and over: batfs workload synth --iterations
  batfs list presets             platforms and workloads that come with batfs
"""

#: what is listed -> where its registry is
REGISTRIES: Final[Mapping[str, tuple[str, str]]] = {
    "policies": ("batfs.storage.policies", "POLICIES"),
    "queues": ("batfs.scheduling.queues", "QUEUE_POLICIES"),
    "models": ("batfs.filesystems.base", "MODELS"),
    "io-policies": ("batfs.scheduling.io_policies", "IO_POLICIES"),
    "selections": ("batfs.scheduling.nodes", "SELECTIONS"),
    "io-models": ("batfs.workload.iomodels", "IO_MODELS"),
    "rhythms": ("batfs.workload.rhythms", "RHYTHMS"),
    "when-full": ("batfs.storage.replay.waiting", "WHEN_FULL"),
}
_LINE: Final = 100
KINDS: Final = (*REGISTRIES, "presets")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    found = known(args.kind)
    if args.json:
        import json

        print(json.dumps(found, indent=2))
        return 0
    width = max(len(name) for name in found)
    for name, line in found.items():
        print(f"{bold(f'{name:<{width}}')}  {line}".rstrip())
    return 0


def known(kind: str) -> dict[str, str]:
    """Names of one kind, each with the first sentence of what it says about itself."""
    if kind == "presets":
        return _presets()
    module, name = REGISTRIES[kind]
    registry = getattr(importlib.import_module(module), name)
    return {one: sentence(_thing(registry, one)) for one in registry.known()}


def _thing(registry: Any, name: str) -> Callable[..., Any]:
    thing: Callable[..., Any] = registry.get(name)
    return thing


def sentence(thing: Any) -> str:
    """The first sentence of a docstring, on one line."""
    text = " ".join((thing.__doc__ or "").strip().partition("\n\n")[0].split())
    return one_line(text.partition(". ")[0].removesuffix("."))


def one_line(text: str) -> str:
    """``text``, or as much of it as a line holds."""
    return text if len(text) <= _LINE else textwrap.shorten(text.partition(";")[0], _LINE, placeholder=" ...")


def _comment(text: str) -> str:
    """The first sentence of the comment that a file begins with."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.lstrip("# ") for line in lines).partition(". ")[0].removesuffix(".")


def _presets() -> dict[str, str]:
    from batfs.platform.spec import presets
    from batfs.workload.presets import PRESETS

    platforms = {name: one_line(_comment(text)) for name, text in presets().items()}
    workloads = {name: sentence(make) for name, make in PRESETS.items()}
    return {
        **{f"platform {name}": line for name, line in platforms.items()},
        **{f"workload {name}": line for name, line in workloads.items()},
    }
