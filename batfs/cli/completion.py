"""``batfs completion``: commands, flags and names completed by the shell.

The script that a shell reads asks ``batfs completion --for LINE`` at every press of the key, so that what is
offered is what this installation has, plugins included; where nothing is known, the shell completes files.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from batfs.parsing import Parser

HELP = """completion of commands, flags and names for a shell: print the script it reads

  eval "$(batfs completion bash)"                                     in ~/.bashrc
  eval "$(batfs completion zsh)"                                      in ~/.zshrc, after compinit
  batfs completion fish > ~/.config/fish/completions/batfs.fish
"""

BASH: Final = """\
_batfs() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("${line%%$'\\t'*}")
  done < <(batfs completion bash --for "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
  if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}
complete -o default -o bashdefault -F _batfs batfs batfs-sched batfs-proxy
"""
ZSH: Final = """\
#compdef batfs batfs-sched batfs-proxy
_batfs() {
  local -a found
  local name text
  while IFS=$'\\t' read -r name text; do
    found+=("${name//:/\\\\:}:$text")
  done < <(batfs completion zsh --for "${(j: :)words[1,CURRENT]}" 2>/dev/null)
  if (( ${#found} )); then _describe batfs found; else _files; fi
}
compdef _batfs batfs batfs-sched batfs-proxy
"""
FISH: Final = """\
function __batfs
  set -l found (batfs completion fish --for (commandline -cp | string collect) 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
for program in batfs batfs-sched batfs-proxy
  complete -c $program -f -a '(__batfs)'
end
"""
SHELLS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}

# what a value is called -> what is listed of it
_LISTED: Final = {
    "--policy": "policies",
    "--queue": "queues",
    "--io-policy": "io-policies",
    "--filesystem": "models",
    "--model": "models",
    "--node-selection": "selections",
    "--io": "io-models",
    "--iterations": "rhythms",
    "--when-full": "when-full",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SHELLS), metavar="SHELL", help="bash, zsh or fish")
    parser.add_argument("--for", dest="line", metavar="LINE", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    if args.line is None:
        print(SHELLS[args.shell], end="")
        return 0
    for name, text in offered(args.line):
        # bash replaces the word behind the last of the characters it breaks words at
        name = re.split("[:=]", name)[-1] if args.shell == "bash" and not name.startswith("-") else name
        print(f"{name}\t{text}" if text else name)
    return 0


def offered(line: str) -> list[tuple[str, str]]:
    """What may stand in place of the last word of ``line``, each with a line about it; none: a file may."""
    words = _words(line)
    if len(words) < 2:
        return []
    parser, rest = _parser(words[:-1])
    if parser is None:
        return []
    current = words[-1]
    found = dict(_candidates(parser, rest, current))
    return [(name, text) for name, text in found.items() if name.startswith(current)]


def _words(line: str) -> list[str]:
    """The words of an unfinished line; the last is the one that is being written, maybe empty."""
    for end in ("", "'", '"'):
        try:
            words = shlex.split(line + end)
        except ValueError:
            continue
        return words if line[-1:].strip() else [*words, ""]
    return []


def _parser(words: Sequence[str]) -> tuple[Parser | None, list[str]]:
    """The parser of the command that ``words`` call, and what follows its name."""
    program, rest = words[0].rpartition("/")[2], list(words[1:])
    if program == "batfs-sched":
        from batfs.decision.command import make_parser as sched

        return sched(), rest
    if program == "batfs-proxy":
        from batfs.decision.proxy_command import make_parser as proxy

        return proxy(), rest
    from batfs.cli.main import make_parser

    parser = make_parser()
    while rest and rest[0] in parser.names():
        parser, rest = parser.command(rest[0], rest[1:]), rest[1:]
    return (None if rest and parser.names() else parser), rest


def _candidates(parser: Parser, rest: Sequence[str], current: str) -> Iterator[tuple[str, str]]:
    before = rest[-1] if rest else ""
    action = parser.action(before)
    if action is not None and action.nargs != 0:
        yield from _values(action)
        return
    if current.startswith("-"):
        for one in parser.shown():
            for flag in one.option_strings:
                if flag.startswith("--") or len(one.option_strings) == 1:
                    yield flag, _text(parser, one)
        return
    yield from parser.names().items()
    if parser.prog == "batfs help":
        from batfs.cli.main import make_parser

        below: Parser = make_parser()
        for word in rest:
            below = below.commands().get(word, below)
        yield from below.names().items()
    for one in parser.shown():
        if not one.option_strings:
            yield from _values(one)


def _values(action: argparse.Action) -> Iterator[tuple[str, str]]:
    if action.choices is not None and not isinstance(action, argparse._SubParsersAction):
        yield from ((str(choice), "") for choice in action.choices)
    kind = next((_LISTED[flag] for flag in action.option_strings if flag in _LISTED), None)
    if kind is not None:
        from batfs.cli.list import known

        yield from known(kind).items()
    if action.metavar in ("SPEC", "PRESET"):
        from batfs.cli.list import known

        what = "platform" if action.metavar == "SPEC" else "workload"
        for name, text in known("presets").items():
            if name.startswith(what):
                yield name.partition(" ")[2], text


def _text(parser: Parser, action: argparse.Action) -> str:
    return parser.told(action).partition(" [")[0]
