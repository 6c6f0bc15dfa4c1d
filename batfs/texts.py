"""Text files as they are found: packed or not, with a byte-order mark or without, in whatever encoding.

What a file is, is told by its first bytes, not by its name: gzip, bzip2 and xz are unpacked, UTF-8, UTF-16
and UTF-32 with a mark are read by it. Text without a mark is UTF-8; bytes that aren't become U+FFFD and are
counted, so that a reader can say so. What isn't text is named.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from importlib import import_module
from os import PathLike
from typing import Any, Final

from batfs.errors import InputError
from batfs.records import record

#: Bytes of an input, unpacked or not: what is longer would not fit in memory as jobs or links either.
MOST: Final = 2**31
#: What comes out of a pipe, and of a device (``/dev/zero``), at most: there is no size to be told beforehand.
MOST_PIPED: Final = 2**29
MOST_OF_DEVICE: Final = 2**24
#: Seconds after which nobody is expected to write into a pipe any more that nobody has opened.
PATIENCE: Final = 10.0
_LAYERS: Final = 8  # of packing

# its name, the module that unpacks it (imported when there is something to unpack), and who does it there
_UNPACK: Final[Mapping[bytes, tuple[str, str, str, tuple[int, ...]]]] = {
    b"\x1f\x8b": ("gzip", "zlib", "decompressobj", (31,)),
    b"BZh": ("bzip2", "bz2", "BZ2Decompressor", ()),
    b"\xfd7zXZ\0": ("xz", "lzma", "LZMADecompressor", ()),
}
# longest first: UTF-32's little-endian mark begins with UTF-16's
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# what people give by mistake, by its first bytes
_OTHERS: Final[Mapping[bytes, str]] = {
    b"PK\x03\x04": "a zip archive (or an office document): unpack it first",
    b"\x28\xb5\x2f\xfd": "packed with zstd: unpack it first (zstd -d)",
    b"\x1f\x9d": "packed with compress: unpack it first (uncompress)",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive: unpack it first",
    b"PAR1": "a Parquet file",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"SQLite format 3\0": "an SQLite data base",
    b"%PDF": "a PDF document",
}
_SAMPLE: Final = 4096


@record
class Text:
    """A file's text, without a byte-order mark; ``replaced`` bytes weren't text in its ``encoding``."""

    text: str
    encoding: str = "utf-8"
    replaced: int = 0

    @property
    def notes(self) -> list[str]:
        """What a user should hear of how the file was read; nothing for plain UTF-8."""
        if not self.replaced:
            return []
        return [f"{_count(self.replaced, 'byte')} not {self.encoding.upper()}: replaced"]


def _count(number: int, what: str) -> str:
    return f"1 {what} that is" if number == 1 else f"{number:,} {what}s that are"


def read_unpacked(path: str | PathLike[str]) -> bytes:
    """The bytes of a file, unpacked if it is gzip, bzip2 or xz; InputError when it can't be read."""
    return unpacked(read_bytes(path), path)


def read_bytes(path: str | PathLike[str], what: str = "") -> bytes:
    """The bytes of an input file; ``what`` it is for the message (``the platform``).

    A pipe or a device may be given as well. InputError for what can't be read, is too large, has no end
    (:data:`MOST` and its brothers), or is a pipe that nobody writes into.
    """
    named = f" {what}" if what else ""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read{named}: {why}", file=path) from error
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"cannot read{named}: {os.strerror(errno.EISDIR)}", file=path)
        if stat.S_ISREG(found.st_mode):
            if found.st_size > MOST:
                raise InputError(f"{found.st_size} bytes; an input may have {MOST}", file=path)
            with open(descriptor, "rb", buffering=0, closefd=False) as stream:
                data: bytes = stream.read(found.st_size + 1)
            if len(data) == found.st_size:
                return data
            # one that grows, or whose size isn't told (/proc)
            return data + drained(descriptor, MOST - len(data), path)
        pipe = stat.S_ISFIFO(found.st_mode)
        return drained(descriptor, MOST_PIPED if pipe else MOST_OF_DEVICE, path, PATIENCE if pipe else None)
    except OSError as error:
        raise InputError(f"cannot read{named}: {error.strerror}", file=path) from error
    finally:
        os.close(descriptor)


def drained(descriptor: int, most: int, path: str | PathLike[str], patience: float | None = None) -> bytes:
    """What comes out of ``descriptor`` until its end. ``patience``: seconds to wait for the first who opens a
    pipe to write; one who has may take his time. InputError after ``most`` bytes."""
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    data, begun = bytearray(), patience is None
    while True:
        try:
            more = os.read(descriptor, 1 << 20)
        except BlockingIOError:  # somebody has opened it, and thinks
            begun = True
            poll.poll()
            continue
        if more:
            data += more
            if len(data) > most:
                raise InputError(f"has no end to be seen: {most} bytes were read", file=path)
        elif data or begun:
            return bytes(data)
        else:
            found = poll.poll((patience or 0.0) * 1000)
            if not found:
                raise InputError(f"is a pipe that nobody writes into (for {patience:g} s)", file=path)
            begun = not found[0][1] & select.POLLIN  # opened and closed


def unpacked(data: bytes, path: str | PathLike[str] | None = None) -> bytes:
    """``data`` without its packing, whatever number of layers; ``path`` is for the message."""
    for _ in range(_LAYERS):
        kind = next((k for mark, k in _UNPACK.items() if data.startswith(mark)), None)
        if kind is None:
            return data
        name, module, maker, options = kind
        make = getattr(import_module(module), maker)
        try:
            data = _unpacked_once(data, partial(make, *options), path)
        except _damages() as error:
            raise InputError(f"damaged {name} file: {error}", file=path) from error
    raise InputError(f"packed more than {_LAYERS} times", file=path)


def _unpacked_once(data: bytes, make: Any, path: str | PathLike[str] | None) -> bytes:
    """All streams of a packed file, one after the other. EOFError for one without its end."""
    parts: list[bytes] = []
    room = MOST
    while data:
        stream = make()
        part = stream.decompress(data, room + 1)
        room -= len(part)
        if room < 0:
            raise InputError(f"unpacks to more than {MOST} bytes", file=path)
        if not stream.eof:
            raise EOFError("it ends before its end")
        parts.append(part)
        data = stream.unused_data.lstrip(b"\0")  # padding, as tapes have it
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _damages() -> tuple[type[Exception], ...]:
    """What is raised by those that unpack."""
    import lzma
    import zlib

    return EOFError, OSError, ValueError, zlib.error, lzma.LZMAError


def decode(data: bytes, path: str | PathLike[str] | None = None) -> Text:
    """The text of ``data``; InputError with what it seems to be when it isn't text at all."""
    other = next((what for mark, what in _OTHERS.items() if data.startswith(mark)), None)
    if other is not None:
        raise InputError(f"not a text file but {other}", file=path)
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], encoding)
    sample = data[:_SAMPLE]
    if b"\0" in sample:
        wide = _unmarked_utf16(sample)
        if wide is None:
            raise InputError("not a text file: it holds zero bytes", file=path)
        return _decoded(data, wide)
    return _decoded(data, "utf-8")


def aligned(rows: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    """The lines of a table whose rows have as many cells each; columns in ``right`` are set to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if k in right else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def csv_field(text: object) -> str:
    """One field of a CSV file (RFC 4180), quoted where commas, quotes or line ends ask for it."""
    word = text if type(text) is str else str(text)
    if word.isalnum() or not word:
        return word
    if "," in word or '"' in word or "\n" in word or "\r" in word:
        return '"' + word.replace('"', '""') + '"'
    return word


def as_utf8(data: bytes, path: str | PathLike[str] | None = None) -> bytes:
    """``data`` without a byte-order mark, in UTF-8 where a mark says that it isn't; itself where none is."""
    marked = data.startswith(tuple(mark for mark, _ in _MARKS))
    return decode(data, path).text.encode() if marked else data


def _unmarked_utf16(sample: bytes) -> str | None:
    """UTF-16 without a mark, told by its zeros: western text has them in every other byte."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 3 * len(sample) // 8 and even == 0:
        return "utf-16-le"
    if even > 3 * len(sample) // 8 and odd == 0:
        return "utf-16-be"
    return None


def _decoded(data: bytes, encoding: str) -> Text:
    try:
        return Text(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, errors="replace")
        genuine = data.count("\ufffd".encode(encoding))
        return Text(text, encoding, max(1, text.count("\ufffd") - genuine))


def read_text(path: str | PathLike[str]) -> Text:
    """The text of a file, see the module. InputError when it can't be read or isn't text."""
    return decode(read_unpacked(path), path)


def utf8_text(path: str | PathLike[str]) -> str:
    """The text of a file that has to be right to the last byte, such as settings.

    As :func:`read_text`, but InputError for bytes that aren't text.
    """
    found = read_text(path)
    if found.replaced:
        raise InputError(f"not {found.encoding.upper()} text: {found.replaced} bytes are not", file=path)
    return found.text
