"""Strict reading of platform XML on expat: grammar, attributes, and the line of everything wrong.

Strict as SimGrid is: what its lexer lets pass is made fit for expat first (see :mod:`~batfs.platform.text`).

No entity is expanded, nothing is fetched, size and depth are bounded.
"""

from __future__ import annotations

import os
import pyexpat as expat
from collections.abc import Callable
from pathlib import Path

from batfs.errors import InputError, nearest
from batfs.platform.schema import ATTRIBUTES, CHILDREN, CHOICES, REFUSED, TRACE_FILES, Order
from batfs.platform.text import DOCTYPE, platform_text
from batfs.texts import read_bytes

MAX_BYTES = 1 << 29  # 512 MiB; the largest platforms we know of are below 50
MAX_DEPTH = 128

# called with (tag, attributes with defaults filled in, line)
Handler = Callable[[str, dict[str, str], int], None]


def read_elements(path: str | os.PathLike[str], start: Handler, end: Handler) -> list[tuple[int, str]]:
    """Parse ``path`` and call ``start`` and ``end`` for each element, checked against the format.

    Returns what SimGrid refuses and this reader doesn't: the line, and why.

    InputErrors from parser and handlers get the file and ``line N``.
    """
    file = Path(path)
    if file.is_dir():
        raise InputError("not a file; expected a SimGrid platform in XML", file=file)
    data = read_bytes(file, "the platform")
    if len(data) > MAX_BYTES:
        raise InputError(f"the file has {len(data)} bytes; platforms may have up to {MAX_BYTES}", file=file)
    try:
        text = platform_text(data)
    except InputError as error:
        raise error.at(file) from None
    reader = _Reader(start, end, text.encoding)
    try:
        reader.parse(text.data)
    except InputError as error:
        raise error.at(file, f"line {reader.line}") from None
    except expat.ExpatError as error:
        raise InputError(
            f"not well-formed XML: {expat.ErrorString(error.code)}",
            file=file,
            place=f"line {error.lineno}, column {error.offset + 1}",
        ) from None
    return text.refused


class _Reader:
    def __init__(self, start: Handler, end: Handler, encoding: str) -> None:
        self._start, self._end = start, end
        self._stack: list[Order] = []
        self._open: list[tuple[dict[str, str], int]] = []
        self._begun = 0
        self._doctype = False
        self.parser = parser = expat.ParserCreate(encoding)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._on_doctype
        parser.EntityDeclHandler = self._on_entity
        parser.ElementDeclHandler = self._on_declaration
        parser.AttlistDeclHandler = self._on_declaration
        parser.ProcessingInstructionHandler = self._on_instruction
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        parser.CharacterDataHandler = self._on_text
        parser.StartCdataSectionHandler = self._on_cdata
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    @property
    def line(self) -> int:
        """Where we are; while an element is being finished, where it began."""
        return self._begun or self.parser.CurrentLineNumber

    def parse(self, data: bytes) -> None:
        self.parser.Parse(data, True)

    def _on_doctype(self, name: str, system: str | None, public: str | None, internal: int) -> None:
        if name != "platform":
            raise InputError(f"the DOCTYPE names {name!r}; expected 'platform'")
        self._doctype = True

    def _on_entity(self, name: str, *_: object) -> None:
        raise InputError(f"the entity {name!r} is declared; entities are not allowed in a platform")

    def _on_declaration(self, name: str, *_: object) -> None:
        raise InputError(f"the DOCTYPE declares {name!r}; declarations are not allowed in a platform")

    def _on_instruction(self, target: str, data: str) -> None:
        raise InputError(f"the processing instruction {target!r} is not allowed in a platform")

    def _on_cdata(self) -> None:
        raise InputError("a CDATA section is not allowed in a platform")

    def _on_text(self, text: str) -> None:
        if not text.isspace():
            raise InputError(f"unexpected text {text.strip()[:40]!r}")

    def _on_start(self, tag: str, given: dict[str, str]) -> None:
        if not self._stack:
            if tag != "platform":
                raise InputError(f"the outermost element is <{tag}>; expected <platform>")
            if not self._doctype:
                raise InputError(
                    "the DOCTYPE line is missing, without which SimGrid refuses the file",
                    hint=DOCTYPE,
                )
        else:
            self._check_place(self._stack[-1], tag)
        if tag in REFUSED:
            raise InputError(f"<{tag}> is not supported: {REFUSED[tag]}")
        if len(self._stack) >= MAX_DEPTH:
            raise InputError(f"elements are nested more than {MAX_DEPTH} deep")
        self._stack.append(Order(tag))
        attributes = self._fill(tag, given)
        self._open.append((attributes, self.line))
        self._start(tag, attributes, self.line)

    def _on_end(self, tag: str) -> None:
        self._stack.pop()
        attributes, self._begun = self._open.pop()
        self._end(tag, attributes, self._begun)
        self._begun = 0

    def _check_place(self, order: Order, tag: str) -> None:
        if tag not in ATTRIBUTES:
            close = nearest(tag, ATTRIBUTES)
            raise InputError(f"unknown element <{tag}>", hint=f"did you mean <{close}>?" if close else None)
        allowed = CHILDREN.get(order.tag, frozenset())
        if tag not in allowed:
            takes = ", ".join(f"<{name}>" for name in sorted(allowed - REFUSED.keys())) or "no elements"
            raise InputError(f"<{tag}> is not allowed in <{order.tag}>, which takes {takes}")
        why = order.step(tag)
        if why is not None:
            raise InputError(why)

    def _fill(self, tag: str, given: dict[str, str]) -> dict[str, str]:
        known = ATTRIBUTES[tag]
        for name, value in given.items():
            if name not in known:
                close = nearest(name, known)
                raise InputError(
                    f"<{tag}> has no attribute {name!r}; it takes {', '.join(known)}",
                    hint=f"did you mean {close!r}?" if close else None,
                )
            choices = CHOICES.get((tag, name))
            if choices is not None and value not in choices:
                raise InputError(f"{name}={value!r} in <{tag}>: expected one of {', '.join(choices)}")
            if name in TRACE_FILES and value:
                raise InputError(f"{name} in <{tag}>: availability traces are not simulated by batfs")
        filled: dict[str, str] = {}
        for name, default in known.items():
            if name in given:
                filled[name] = given[name]
            elif default is not None:
                filled[name] = default
            else:
                label = given.get("id")
                what = f"<{tag} id={label!r}>" if label else f"<{tag}>"
                hint = (
                    "SimGrid's parser doesn't apply the documented default; write latency='0'"
                    if (tag, name) == ("link", "latency")
                    else None
                )
                raise InputError(f"{what} needs the attribute {name!r}", hint=hint)
        return filled
