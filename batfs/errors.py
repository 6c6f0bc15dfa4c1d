"""The one error type that reaches a user, and the words it is made of.

Anything wrong with what the user gave (files, flags, configuration) is raised as an :class:`InputError`.
The command line prints its text, without a traceback, and exits with 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike


class BatfsError(Exception):
    """Something batfs can name and explain; ``exit_code`` is what the command line returns."""

    exit_code = 1


class InputError(BatfsError):
    """Bad input: a file, a flag or a configuration value.

    ``problem`` says what was found and what was expected; ``file`` and ``place`` (``line 12``,
    ``jobs[3].profile``) say where; ``hint`` says what to do about it.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: str | PathLike[str] | None = None,
        place: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.place = place
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.file, self.place) if part)
        text = f"{where}: {self.problem}" if where else self.problem
        return f"{text} ({self.hint})" if self.hint else text

    def at(self, file: str | PathLike[str] | None = None, place: str | None = None) -> InputError:
        """The same error with a file or an outer place filled in where it had none."""
        joined = place if self.place is None else self.place if place is None else f"{place}.{self.place}"
        return type(self)(self.problem, file=self.file or file, place=joined, hint=self.hint)


class MissingExtraError(InputError):
    """An optional dependency is needed and absent."""

    def __init__(self, what: str, extra: str) -> None:
        self._what, self._extra = what, extra
        super().__init__(f"{what} needs an optional dependency", hint=f"pip install 'batfs[{extra}]'")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest in spelling to ``word``, or None when nothing is close."""
    import difflib

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(kind: str, word: str, known: Iterable[str], **where: str | PathLike[str] | None) -> InputError:
    """An :class:`InputError` for an unknown name: lists the known ones and the nearest spelling."""
    names = sorted(known)
    close = nearest(word, names)
    hint = f"did you mean {close!r}?" if close else None
    file, place = where.get("file"), where.get("place")
    return InputError(
        f"unknown {kind} {word!r}; known: {', '.join(names) or 'none'}",
        file=file,
        place=None if place is None else str(place),
        hint=hint,
    )
