"""``batfs new``: a plugin of one's own to start from, with its test."""

from __future__ import annotations

import argparse
import keyword
import re
from importlib import resources
from pathlib import Path
from typing import Final

from batfs.errors import InputError
from batfs.files import write_text
from batfs.parsing import add_word

HELP = """write a plugin of your own to start from, and its test; both run as they are

  batfs new policy emptiest          emptiest.py and test_emptiest.py: an allocation policy
  batfs new queue narrow_first -o plugins
  batfs new io-policy short_first    which transfers may move now
  batfs new model mirrored

The files name what they need of batfs in one line, from batfs.ext. docs/how-to has more on each kind.
"""

KINDS: Final = {
    "policy": "--policy",
    "queue": "--queue",
    "io-policy": "--io-policy",
    "model": "--filesystem",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=tuple(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("name", metavar="NAME", help="its name, in small letters, such as narrow_first")
    add_word(parser, "--output", "[this folder]", type=Path, default=Path(), metavar="FOLDER")


def run(args: argparse.Namespace) -> int:
    name = args.name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InputError(f"{args.name!r} can't be a name", hint="small letters, digits and _, such as widest")
    folder: Path = args.output
    files = {"plugin": folder / f"{name}.py", "test": folder / f"test_{name}.py"}
    for path in files.values():
        if path.exists():
            raise InputError("is there already", file=path, hint="choose another name, or a folder with -o")
    folder.mkdir(parents=True, exist_ok=True)
    class_name = "".join(word.capitalize() for word in name.split("_"))
    words = {
        "Name": class_name,
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "file": files["plugin"].name,
        "test": files["test"].name,
    }
    for what, path in files.items():
        template = f"{args.kind}.py.txt" if what == "plugin" else f"test_{args.kind}.py.txt"
        text = (resources.files("batfs.cli") / "templates" / template).read_text(encoding="utf-8")
        write_text(path, text.format(**words))
    print(f"{files['plugin']}: try it with {KINDS[args.kind]} {files['plugin']}:{class_name}")
    print(f"{files['test']}: python -m pytest {files['test']}")
    return 0
