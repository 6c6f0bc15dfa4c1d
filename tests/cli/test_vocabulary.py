"""One vocabulary: a flag means the same in every command, is explained in the same words, and nothing is
taken for it that isn't it."""

from __future__ import annotations

import argparse
import importlib.util
from collections import defaultdict
from pathlib import Path

import pytest

from batfs.parsing import WORDS, old_spellings, seconds

_spec = importlib.util.spec_from_file_location("cli_parsers", Path(__file__).with_name("parsers.py"))
assert _spec is not None
assert _spec.loader is not None
parsers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(parsers)

EVERY = list(parsers.every_parser())
OURS = [(name, parser) for name, parser in EVERY if name not in parsers.FOREIGN]
SHORT = {flag: short for flag, (short, _, _) in WORDS.items() if short}
#: a platform's comment holds the command that makes it again, and no two dashes: so --set has a letter
TWICE = {"-s": {"--socket-endpoint", "--set"}}


def _flags():
    """(command, action, long form) of every flag of ours that is shown."""
    for name, parser in OURS:
        for action in parser.shown():
            for flag in action.option_strings:
                if flag.startswith("--") and flag not in ("--help", "--version"):
                    yield name, parser, action, flag


@pytest.mark.parametrize("name, parser", EVERY, ids=[name for name, _ in EVERY])
def test_everything_is_explained(name: str, parser) -> None:
    assert parser.allow_abbrev is False
    assert parser.description
    for action in parser.shown():
        if isinstance(action, argparse._SubParsersAction):
            continue
        what = "/".join(action.option_strings) or action.dest
        assert action.help, f"{name} {what}: say with help= what it is"
        said = parser.told(action)
        assert "default" not in said, f"{name} {what}: defaults are told at the end, as [value]"
        if action.nargs != 0 and action.choices is None:
            assert action.metavar, f"{name} {what}: say with metavar= what its value is called"


def test_a_flag_of_several_commands_is_a_word() -> None:
    used = defaultdict(set)
    for name, _, _, flag in _flags():
        used[flag.replace("--no-dynamic", "--dynamic")].add(name)
    for flag, names in used.items():
        assert len(names) < 2 or flag in WORDS, (
            f"{flag} is a flag of {', '.join(sorted(names))}: put what it means into WORDS in "
            "batfs/parsing.py and add it with add_word, or call it differently where it means something else"
        )


def test_words_mean_the_same_everywhere() -> None:
    for name, parser, action, flag in _flags():
        if flag not in WORDS:
            continue
        short, value, meaning = WORDS[flag]
        said = parser.told(action)
        assert said.startswith(meaning), f"{name} {flag}: {said!r}; add it with add_word"
        assert [s for s in action.option_strings if not s.startswith("--")] == ([short] if short else [])
        if value:
            assert action.nargs == 0 or action.choices or action.metavar in [value, *value.split(" or ")], (
                f"{name} {flag}: its value is called {value} elsewhere, not {action.metavar}"
            )
        else:
            assert action.nargs == 0 or action.choices, f"{name} {flag} has a value here alone"


def test_a_letter_stands_for_one_word() -> None:
    letters = defaultdict(set)
    for _, _, action, flag in _flags():
        for short in action.option_strings:
            if not short.startswith("--"):
                letters[short].add(flag)
    for short, flags in letters.items():
        assert len(flags) == 1 or flags == TWICE.get(short), f"{short} stands for {sorted(flags)}"
        assert flags <= set(WORDS), f"{short}: {sorted(flags)} belong into WORDS"


def test_every_word_is_used() -> None:
    assert set(WORDS) - {flag for *_, flag in _flags()} <= {"--version"}


def test_an_old_spelling_is_nothing_else() -> None:
    for name, parser in EVERY:
        now = {flag for action in parser.shown() for flag in action.option_strings}
        old = [flag for action in parser.shown() for flag in old_spellings(action)]
        assert not now & set(old), name
        assert len(old) == len(set(old)), name


@pytest.mark.parametrize("metavar", ["TIME", "SIZE", "SPEED", "BW"])
def test_numbers_need_their_unit(metavar: str) -> None:
    """90 may be seconds, minutes or hours, bytes or gigabytes."""
    found = 0
    for name, parser in EVERY:
        for action in parser.shown():
            if action.metavar != metavar or action.type is seconds:
                continue
            found += 1
            what = f"{name} {'/'.join(action.option_strings) or action.dest}"
            assert callable(action.type), what
            with pytest.raises(argparse.ArgumentTypeError, match="has no unit: write 90"):
                action.type("90")
            action.type("0")  # is 0 in every unit
    assert found
