"""Text files as they are found: packed or not, with a byte-order mark or without, in whatever encoding.

What a file is, is told by its first bytes, not by its name: gzip, bzip2 and xz are unpacked, UTF-8, UTF-16
and UTF-32 with a mark are read by it. Text without a mark is UTF-8; bytes that aren't become U+FFFD and are
counted, so that a reader can say so. What isn't text is named.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Final

from batfs.errors import InputError
from batfs.records import record

# its name, and the module that unpacks it: imported when there is something to unpack
_UNPACK: Final[Mapping[bytes, tuple[str, str]]] = {
    b"\x1f\x8b": ("gzip", "gzip"),
    b"BZh": ("bzip2", "bz2"),
    b"\xfd7zXZ\0": ("xz", "lzma"),
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
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", file=path) from error
    return unpacked(data, path)


def unpacked(data: bytes, path: str | PathLike[str] | None = None) -> bytes:
    """``data`` without its packing, whatever number of layers; ``path`` is for the message."""
    while (kind := next((k for mark, k in _UNPACK.items() if data.startswith(mark)), None)) is not None:
        name, module = kind
        try:
            data = import_module(module).decompress(data)
        except _damages() as error:
            raise InputError(f"damaged {name} file: {error}", file=path) from error
    return data


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


def csv_field(text: object) -> str:
    """One field of a CSV file (RFC 4180), quoted where commas, quotes or line ends ask for it."""
    word = text if type(text) is str else str(text)
    if word.isalnum():
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
