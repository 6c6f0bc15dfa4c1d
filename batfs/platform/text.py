"""A platform file's bytes as SimGrid's own lexer takes them, made fit for an XML parser.

SimGrid's lexer is generated from the DTD and is no XML parser: it takes blank lines and comments before the
declaration, comments in any encoding and with ``--`` in them, and any name of an encoding (it looks at bytes
only). On the other hand it refuses what every XML parser takes: a byte-order mark, ``standalone``, a blank
before the ``?>`` of the declaration, any other system identifier in the DOCTYPE. What batfs reads although
SimGrid refuses it is told in ``refused``, for ``batfs check`` to count as faults. Measured with SimGrid 3.32.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from batfs import texts
from batfs.errors import InputError
from batfs.records import field, record

DOCTYPE: Final = '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">'

# the end of a comment is an even number of dashes and a '>', as SimGrid's lexer eats dashes in pairs
_COMMENT: Final = rb"<!--(?:[^-]|-[^-]|--(?!>))*+-->"
_INSTRUCTION: Final = rb"(?s:<\?[xX][mM][lL].*?\?>)"
_DECLARATION: Final = (
    rb"""<\?xml(?:\s+version\s*=\s*(?:"[\w.:-]+"|'[\w.:-]+'))?(?:\s+encoding\s*=\s*(?:"[^"]*"|'[^']*'))?\?>"""
)
_DOCTYPE: Final = rb"<!DOCTYPE\s[^>]*>"
_ENTITY: Final = rb"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-fA-F]+);)[^;<\"']{0,10};?"
_KNOWN: Final = b"https://simgrid.org/simgrid.dtd", b"http://simgrid.gforge.inria.fr/simgrid/simgrid.dtd"
_RIGHT: Final = [[b"platform", b"SYSTEM", q + uri + q] for uri in _KNOWN for q in (b'"', b"'")]
_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@record
class PlatformText:
    """``data`` is in ``encoding``, each line of the file where it was, comments and declaration blanked.

    ``refused``: (line, why SimGrid refuses it, or Batsim can't work with it).
    """

    data: bytes
    encoding: str = "utf-8"
    refused: list[tuple[int, str]] = field(default_factory=list)


def platform_text(raw: bytes) -> PlatformText:
    """What to parse of a file of these bytes. InputError when it is no text at all."""
    refused: list[tuple[int, str]] = []
    data = texts.unpacked(raw)
    if data is not raw:
        refused.append((1, "the file is compressed: unpack it for Batsim"))
    if data.startswith(_MARKS):
        found = texts.decode(data)
        refused.append((1, f"a byte-order mark ({found.encoding.upper()[:6].rstrip('-')}) begins the file"))
        data = found.text.encode()
    refused += _prolog(data)
    # a pattern takes as long to compile as a small file to read: those of what isn't there are left alone
    skipped = _COMMENT + b"|" + _INSTRUCTION if b"<!--" in data else _INSTRUCTION
    data = re.sub(skipped, _blank, data)
    strange = None
    if b"&" in data:
        strange = re.compile(_ENTITY).search(data, max(0, data.find(b"<platform")))
    if strange is not None:
        line = data.count(b"\n", 0, strange.start()) + 1
        shown = strange[0].decode(errors="replace")
        raise InputError(
            f"{shown!r} is no character that XML knows", place=f"line {line}", hint="write &amp;"
        )
    encoding = "utf-8"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # SimGrid only sees bytes; what Batsim writes with them is no JSON
        encoding = "iso-8859-1"
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"0x{data[error.start]:02x}"
        refused.append((line, f"the byte {byte} outside comments is not UTF-8, as Batsim's messages must be"))
    return PlatformText(data, encoding, refused)


def _blank(found: re.Match[bytes]) -> bytes:
    return b"\n".join([b" " * len(line) for line in found[0].split(b"\n")])


def _prolog(data: bytes) -> list[tuple[int, str]]:
    """What is wrong with the declaration and the DOCTYPE; a missing DOCTYPE is the parser's to tell."""
    refused: list[tuple[int, str]] = []
    bare = re.sub(_COMMENT, _blank, data) if b"<!--" in data else data
    doctype = re.search(_DOCTYPE, bare)
    begin = bare.find(b"<?xml", 0, doctype.start() if doctype else len(bare))
    declared = bare[begin:] if begin >= 0 else b""
    if declared and not declared.startswith(b"<?xml-") and not re.match(_DECLARATION, declared):
        shown = declared[: declared.find(b">") + 1].decode(errors="replace")
        refused.append(
            (
                bare.count(b"\n", 0, begin) + 1,
                f"{shown!r}: SimGrid takes version and encoding only, and no blank before '?>'",
            )
        )
    if doctype is not None and doctype[0][len(b"<!DOCTYPE") : -1].split() not in _RIGHT:
        line = bare.count(b"\n", 0, doctype.start()) + 1
        refused.append((line, f"the DOCTYPE isn't one that SimGrid knows; write {DOCTYPE}"))
    return refused
