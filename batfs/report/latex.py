"""Tables for papers: LaTeX that needs no package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\u202f": r"\,",
    "–": "--",
    "∞": r"$\infty$",
    "≤": r"$\le$",
    "×": r"$\times$",
    "±": r"$\pm$",
}


def escaped(text: str) -> str:
    """``text`` as LaTeX prints it."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], about: str = "") -> str:
    """A ``tabular``, the first column to the left, the others to the right; ``about`` as a comment above."""
    lines = [f"% {line}" for line in about.splitlines()]
    lines.append(rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}")
    lines += [r"\hline", " & ".join(escaped(cell) for cell in header) + r" \\", r"\hline"]
    lines += [" & ".join(escaped(cell) for cell in row) + r" \\" for row in rows]
    lines += [r"\hline", r"\end{tabular}"]
    return "\n".join(lines) + "\n"
