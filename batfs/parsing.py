"""The command lines' one parser: behind ``batfs``, ``batfs-sched`` and ``batfs-proxy``.

It is argparse, with what argparse leaves out: no abbreviations, the nearest right spelling of a mistyped
flag, spellings of old that still work, commands whose modules are imported when they are called, and one
vocabulary (:data:`WORDS`): a flag that several commands have means the same in each and is explained in the
same words. Numbers that could be seconds or hours, bytes or gigabytes are refused without a unit.

Why argparse: it is imported in 2 ms and needs nothing; see docs/background/architecture.md for the others.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from batfs.errors import InputError, nearest

T = TypeVar("T")
_notes: list[str] = []
Where: TypeAlias = "argparse.ArgumentParser | argparse._ArgumentGroup"

#: flag -> (its short form, what its value is called, what it means everywhere). A value that is called A or B
#: is said by the command.
WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "--add-role-to-hosts": ("-r", "HOSTS:ROLE", "roles, such as 'nas1,nas2:storage' (repeatable)"),
    "--all": ("", "", "show everything, however much it is"),
    "--allow": ("", "FILE", "the list of keys that are let in"),
    "--anonymise": ("", "", "replace ids, users, accounts and names by numbers, so that it can be shared"),
    "--baseline": ("", "LABEL or FILE", "what is compared with"),
    "--block-size": ("", "SIZE", "split larger requests into blocks"),
    "--calibration": (
        "",
        "FILE",
        "draw the file systems' parameters from what batfs calibrate wrote, once a seed",
    ),
    "--capacity-from": ("", "RULE", "what stands for the space a job needs: sum, written, read, max"),
    "--chassis": ("", "N", "full chassis of nodes, each with a Rabbit"),
    "--column": ("", "ROLE=NAME[:UNIT]", "which column is what"),
    "--com": ("", "SIZE", "bytes from each node to each other"),
    "--compute": ("", "", "what of the run time is computation"),
    "--config": ("", "FILE", "settings, TOML or JSON; flags win over them"),
    "--connect": ("", "ENDPOINT", "where the orchestrator is"),
    "--count": ("-n", "N", "how many"),
    "--courses": ("", "", "also draw each setting's first run: Gantt chart, queue, storages over time"),
    "--default-filesystem": ("", "FS", "where plain io_reads and io_writes go"),
    "--dynamic-jobs": ("", "", "let the scheduler send jobs of its own: staging, drains, phases of I/O"),
    "--events": ("", "FILE", "external events, one JSON object a line (repeatable)"),
    "--executor": ("", "WHERE", "where runs are made: local, dask://HOST:PORT, dask://FILE, dask://local"),
    "--export": ("-e", "PREFIX", "prefix of the files that are written"),
    "--faults": ("", "FILE", "what fails and when, TOML: storages and nodes that are down, degraded, back"),
    "--figure": ("", "FILE", "draw it too (.png, .svg or .pdf)"),
    "--figures": ("", "FOLDER", "where figures go"),
    "--filesystem": ("", "[FS=]MODEL[:k=v,...]", "file-system model"),
    "--formats": ("", "LIST", "formats of the figures; 'none' draws none"),
    "--io": ("", "MODEL", "I/O model"),
    "--io-csv": ("", "FILE", "I/O volumes by job id, job name or user"),
    "--io-on": ("", "FS or FS[:weight=W,scale=S,most=SIZE]", "the file system that the bytes are on"),
    "--io-policy": ("", "NAME[:k=v,...]", "I/O policy: which transfers may move now, and how fast"),
    "--json": ("", "", "print the result for programs, as JSON"),
    "--keep-times": ("", "", "don't move the first submission to 0"),
    "--key": ("", "FILE", "own key pair (NAME.key_secret)"),
    "--list": ("", "", "list what there is"),
    "--load": ("", "L", "the offered load: node-seconds over nodes x time"),
    "--log": ("", "FILE", "the structured log"),
    "--master-host": ("-m", "HOST", "the master"),
    "--measure-io": ("", "", "measure how much I/O slows the jobs"),
    "--min-block-size": ("", "SIZE", "a remainder that is smaller joins the last block"),
    "--mmax": ("", "N", "use only the first N compute nodes; 0: all"),
    "--model": ("", "MODEL or MODEL[=FS[:k=v,...]]", "file-system model"),
    "--name": ("", "NAME", "what it is called"),
    "--no-io": ("", "", "leave the jobs' I/O out: bytes are counted, but not moved, and hold no space"),
    "--no-merge": ("", "", "every record of a job counts by itself"),
    "--node-order": (
        "",
        "",
        "what lowest and contiguous go by: Batsim's id, or name (node_2 before node_10)",
    ),
    "--node-selection": (
        "",
        "RULE",
        "which free nodes a job gets: lowest, contiguous, block, data_locality, near_storage",
    ),
    "--nodes": ("", "N", "compute nodes"),
    "--orchestrator-key": ("", "FILE", "the orchestrator's public key"),
    "--output": ("-o", "FILE or FOLDER", "where the result goes"),
    "--platform": ("-p", "FILE", "the platform, SimGrid XML"),
    "--policy": ("", "NAME[:k=v,...]", "allocation policy: on which storages a job's bytes live"),
    "--primary": (
        "",
        "FIGURE",
        "the one figure that is tested, such as mean_waiting_time",
    ),
    "--processors-per-node": ("", "N", "for jobs that tell processors but no nodes"),
    "--protocol": ("", "", "the generation of Batsim: 4 or 5"),
    "--queue": ("", "NAME[:k=v,...]", "queue policy: which waiting job starts next"),
    "--quiet": ("-q", "", "say nothing but errors"),
    "--root": ("", "FOLDER", "below which folder the space is"),
    "--runs": ("", "", "what a job runs"),
    "--scale": ("", "F", "capacities, times F"),
    "--seed": ("", "N", "what random draws begin with"),
    "--seeds": ("", "N|A-B|A,B", "how many seeds, or which"),
    "--set": ("-s", "SECTION.KEY=VALUE or nodes.KEY=VALUE", "set one key (repeatable)"),
    "--show-storages": ("", "", "show the storages to a scheduler that isn't batfs's own"),
    "--socket-endpoint": ("-s", "ENDPOINT", "where to listen for Batsim"),
    "--speed": ("", "SPEED", "speed of a node"),
    "--staging": ("", "WHEN", "when data is brought to jobs: held, ahead or two_step"),
    "--storalloc-config": ("-c", "FILE", "StorAlloc's configuration, YAML"),
    "--strict": ("", "", "refuse a log with a record that can't be read"),
    "--resample": ("", "HOW", "a workload per seed: none, shake[:amount=0.1], blocks[:length=50]"),
    "--threshold": ("", "TIME", "of bounded slowdown"),
    "--timeout": ("", "TIME", "how long to wait for an answer"),
    "--title": ("", "TEXT", "the report's title"),
    "--validate": ("", "", "check every invariant on the way (slow)"),
    "--verbose": ("-v", "", "say more"),
    "--version": ("", "", "print the version and stop"),
    "--wait": ("", "TIME", "stand in the queue for so long"),
    "--walltime": ("", "RULE", "requested times"),
    "--when-full": ("", "RULE", "what happens to a request that finds no room"),
    "--workers": ("-j", "N", "processes at once"),
    "--workload": ("-w", "FILE or NAME", "a workload, Batsim JSON"),
    "--zone": ("", "ZONE", "the clock of times that name none, such as America/Chicago"),
}


def add_word(
    where: Where, flag: str, more: str = "", *, old: Sequence[str] = (), **settings: Any
) -> argparse.Action:
    """Add a flag of the vocabulary: its short form, its value's name and its meaning are those of
    :data:`WORDS`; ``more`` says what it is here. ``old`` spellings are taken, too, with a note."""
    short, value, meaning = WORDS[flag]
    takes = settings.get("action", "store") in ("store", "append") and "choices" not in settings
    if takes and value and " or " not in value:
        settings.setdefault("metavar", value)
    names = (short, flag) if short else (flag,)
    text = f"{meaning}{more if more[:1] in ('', ' ', ',', ';', ':') else f' {more}'}"
    return add_option(where, *names, old=old, help=text, **settings)


def add_option(where: Where, *flags: str, old: Sequence[str] = (), **settings: Any) -> argparse.Action:
    """Add a flag that one command alone has; ``old`` spellings of it are taken, too, with a note."""
    action = where.add_argument(*flags, **settings)
    setattr(action, "old", tuple(old))  # noqa: B010 (argparse's own class)
    return action


def old_spellings(action: argparse.Action) -> tuple[str, ...]:
    """What the flag was called before."""
    return tuple(getattr(action, "old", ()))


class Parser(argparse.ArgumentParser):
    """argparse with exit code 2 and a single line for a wrong flag; see the module."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings.setdefault("formatter_class", HelpFormatter)
        settings["allow_abbrev"] = False
        # argparse looks for translations of its words on the disk, which Python brings none of
        setattr(argparse, "_", _as_it_is)  # noqa: B010 (a name it doesn't export)
        super().__init__(*args, **settings)
        self.module = ""  # where what it does is written, if it is a command

    def fill(self, words: Sequence[str] = ()) -> Parser:
        """Import the module of this command, if it is one, and take over its flags (once)."""
        name, self.module = self.module, ""
        if name:
            module = importlib.import_module(name)
            if hasattr(module, "choose"):  # a command whose flags depend on one of them
                module = module.choose(words)
            self.description = getattr(module, "HELP", None) or module.__doc__
            module.add_arguments(self)
            if hasattr(module, "run"):  # else its own commands have one each
                self.set_defaults(run=module.run)
        return self

    def names(self) -> dict[str, str]:
        """The commands below this one, each with its line."""
        verbs = self._verbs()
        return {one.dest: str(one.help) for one in verbs._choices_actions} if verbs else {}

    def command(self, name: str, words: Sequence[str] = ()) -> Parser:
        """The parser of a command below this one, filled in; ``words`` are what follows its name."""
        verbs = self._verbs()
        assert verbs is not None
        found: Parser = verbs.choices[name]
        return found.fill(words)

    def commands(self) -> dict[str, Parser]:
        """The commands below this one, filled in."""
        return {name: self.command(name) for name in self.names()}

    def walk(self, name: str) -> Iterator[tuple[str, Parser]]:
        """This parser, called ``name``, and all below it, each with the words that call it."""
        yield name, self
        for word, one in self.commands().items():
            yield from one.walk(f"{name} {word}")

    def _verbs(self) -> argparse._SubParsersAction[Parser] | None:
        self.fill()
        return next((a for a in self._actions if isinstance(a, argparse._SubParsersAction)), None)

    def shown(self) -> list[argparse.Action]:
        """Flags and arguments that the help page tells of."""
        self.fill()
        return [action for action in self._actions if action.help is not argparse.SUPPRESS]

    def action(self, flag: str) -> argparse.Action | None:
        """What a flag is."""
        return self._option_string_actions.get(flag)

    def told(self, action: argparse.Action) -> str:
        """What the help page says of a flag or an argument."""
        return self._get_formatter()._expand_help(action) if action.help else ""

    def format_help(self) -> str:
        self.fill()
        return super().format_help()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        self.fill(words)
        found, rest = super().parse_known_args(self._spelled(words), namespace)
        if rest:
            self.error(f"too much: {' '.join(rest)}")
        return found, rest

    def _spelled(self, words: list[str]) -> list[str]:
        """``words`` with old spellings replaced by new ones; an error for a flag that isn't one."""
        renamed = {name: a for a in self._actions for name in old_spellings(a)}
        known = self._option_string_actions
        # what follows a command, or is passed on, isn't ours to judge
        passed_on = any(a.nargs in (argparse.PARSER, argparse.REMAINDER) for a in self._actions)
        out: list[str] = []
        for place, text in enumerate(words):
            if text == "--" or (passed_on and not text.startswith("-")):
                return out + words[place:]
            name, equals, value = text.partition("=")
            if name in renamed and name not in known:
                now = next(s for s in renamed[name].option_strings if s.startswith("--"))
                say(f"{self.prog}: note: {name} is now {now}")
                text = f"{now}{equals}{value}"
            elif self._unknown(text, name):
                self._no_such(name)
            out.append(text)
        return out

    def _unknown(self, text: str, name: str) -> bool:
        if text[:1] != "-" or len(text) == 1 or " " in text or text in self._option_string_actions:
            return False
        if f"-{name}" in self._option_string_actions:  # -policy would be -p olicy
            return True
        if name in self._option_string_actions or self._negative_number_matcher.match(text):
            return False
        return text.startswith("--") or text[:2] not in self._option_string_actions

    def _no_such(self, name: str) -> NoReturn:
        shown = [s for a in self._actions if a.help is not argparse.SUPPRESS for s in a.option_strings]
        close = nearest(name, shown) or nearest(f"-{name}", shown)
        self.error(f"unknown option {name!r}{f'; did you mean {close}?' if close else ''}")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # -p-- and --platform=--: before Python 3.13 the value is taken away, and an empty list stands for it
        if action.option_strings and "--" in arg_strings:
            raise argparse.ArgumentError(action, "'--' is no value")
        return super()._get_values(action, arg_strings)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        close = nearest(str(value), choices)
        what = "command" if isinstance(action, argparse._SubParsersAction) else "value"
        hint = f"; did you mean {close!r}?" if close else ""
        raise argparse.ArgumentError(
            None if what == "command" else action,
            f"unknown {what} {str(value)!r} (choose from {', '.join(choices)}){hint}",
        )

    def error(self, message: str) -> NoReturn:
        from batfs.process import one_line

        notes()
        self.exit(2, f"{self.prog}: {one_line(message)}\nTry '{self.prog} --help'.\n")


def _as_it_is(words: str) -> str:
    return words


def say(sentence: str) -> None:
    """A note on how to write the command line, for the end: an error comes alone."""
    if sentence not in _notes:
        _notes.append(sentence)


def notes() -> list[str]:
    """The notes made since this was last asked."""
    made = _notes[:]
    _notes.clear()
    return made


def commands(parser: Parser, entries: Mapping[str, tuple[str, str]], dest: str = "command") -> None:
    """Give ``parser`` commands: name -> (module, one line). A module has ``add_arguments(parser)``,
    ``run(args) -> int`` and ``HELP`` (or its docstring), and is imported when its command is called."""
    verbs = parser.add_subparsers(metavar="COMMAND", required=True, dest=dest, title="commands")
    for name, (module, line) in entries.items():
        one: Parser = verbs.add_parser(name, help=line)
        one.module = module


def checked(parse: Callable[[str], T], units: str = "") -> Callable[[str], T]:
    """An argparse type of a function that raises InputError. With ``units`` (such as ``"s, m, h"``) a number
    other than 0 needs one: its reader can't know whether 90 is seconds or minutes."""

    def convert(text: str) -> T:
        try:
            if units and bare(text):
                first, *others = (f"{text.strip()}{unit}" for unit in units.split(", "))
                raise InputError(f"{text!r} has no unit: write {first}, or {', '.join(others)}, as is meant")
            return parse(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def bare(text: str) -> bool:
    """Whether a text is a number other than 0, and nothing else."""
    try:
        return math.isfinite(number := float(text)) and number != 0
    except ValueError:
        return False


def _late(name: str, units: str) -> Callable[[str], Any]:
    """One of the parsers of :mod:`batfs.units`, imported when a value is there."""

    def parse(text: str) -> Any:
        module = importlib.import_module("batfs.units")
        return checked(getattr(module, name), units)(text)

    return parse


#: argparse types; each wants a unit
size: Final[Callable[[str], int]] = _late("parse_size", "GB, MB, B")
duration: Final[Callable[[str], float]] = _late("parse_time", "s, m, h")
bandwidth: Final[Callable[[str], float]] = _late("parse_bandwidth", "MBps, GBps")
speed: Final[Callable[[str], float]] = _late("parse_speed", "Gf, Mf")


def seconds(text: str) -> float:
    """An argparse type: a time, for flags that were in seconds once: those without a unit still are. Not
    longer than anybody waits."""
    if bare(text):
        say(f"note: {text} has no unit; taken as {text}s")
        text = f"{text.strip()}s"
    try:
        value = duration(text)
        if value > MOST:
            raise argparse.ArgumentTypeError
        return value
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"invalid number of seconds value: {text!r} "
            f"(expected a time such as 60s or 2m, at most {MOST:g} s)"
        ) from None


MOST = 10**12


def at_least(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number, ``least`` or more, and no more than anybody counts to."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(
                f"invalid count value: {text!r} (expected a whole number of at least {least})"
            )
        if value > MOST:
            raise argparse.ArgumentTypeError(f"invalid count value: {text!r} (expected at most {MOST})")
        return value

    return whole


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal, with headings in bold where a terminal shows them.

    argparse makes a formatter for every flag that a parser is given, and left alone each would import shutil
    to ask for the terminal's width.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2, max_help_position=28)

    def start_section(self, heading: str | None) -> None:
        super().start_section(bold(heading) if heading else heading)


def _columns() -> int:
    try:
        columns = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 0
        except (ValueError, OSError):
            columns = 0
    return columns or 80


def coloured(stream: Any) -> bool:
    """Whether ``stream`` is to be coloured: a terminal that can, and nobody said NO_COLOR."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def bold(text: str, stream: Any = None) -> str:
    """``text`` in bold for standard output (or ``stream``), as far as it is a terminal."""
    return f"\033[1m{text}\033[0m" if coloured(stream or sys.stdout) else text
