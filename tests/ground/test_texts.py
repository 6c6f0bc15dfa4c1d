"""Text by content: packings, byte-order marks, encodings, and what isn't text."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs.errors import InputError
from batfs.texts import aligned, decode, read_text, read_unpacked, unpacked

PACK = [bytes, gzip.compress, bz2.compress, lzma.compress]
MARKED = ["utf-8-sig", "utf-16", "utf-32"]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff")), st.sampled_from(PACK))
def test_utf8_and_marked_text_comes_back(text: str, pack: type[bytes]) -> None:
    signatures = ("PK\x03\x04", "PAR1", "%PDF", "SQLite format 3", "BZh")
    for encoding in MARKED if text.startswith(signatures) else [*MARKED, "utf-8"]:
        found = decode(unpacked(pack(text.encode(encoding))))
        assert (found.text, found.replaced, found.notes) == (text, 0, [])


def test_utf16_without_a_mark_is_known_by_its_zeros() -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert decode("JobID|Submit\n1|2\n".encode(encoding)).text == "JobID|Submit\n1|2\n"


def test_bytes_that_are_no_text_are_replaced_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "names.gz"  # Latin-1, and a replacement character that was in the file already
    path.write_bytes(gzip.compress("café, ".encode("latin-1") + "naïf \ufffd".encode()))
    found = read_text(path)
    assert (found.text, found.replaced) == ("caf\ufffd, naïf \ufffd", 1)
    assert found.notes == ["1 byte that is not UTF-8: replaced"]
    assert decode(b"\xe9 \xe8").notes == ["2 bytes that are not UTF-8: replaced"]


@pytest.mark.parametrize("pack", PACK[1:])
def test_a_damaged_archive_is_named(pack: type[bytes], tmp_path: Path) -> None:
    path = tmp_path / "w.swf"
    path.write_bytes(pack(b"; a log\n" * 1000)[:-9])
    with pytest.raises(InputError, match=r"w\.swf: damaged (gzip|bzip2|xz) file"):
        read_unpacked(path)


def test_a_damaged_archive_with_trailing_rubbish_is_named() -> None:
    with pytest.raises(InputError, match="damaged gzip"):
        unpacked(gzip.compress(b"x") + b"rubbish")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x28\xb5\x2f\xfdrest", "zstd"),
        (b"PAR1rest", "Parquet"),
        (b"\x7fELF\0\0\1\0\0\0", "zero bytes"),
    ],
)
def test_what_is_no_text_is_named(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(InputError, match=says):
        read_text(path)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="cannot read"):
            read_text(path)


@given(
    st.integers(1, 5).flatmap(
        lambda columns: st.lists(
            st.lists(st.text("abc0 é", min_size=1).filter(str.strip), min_size=columns, max_size=columns),
            min_size=1,
        )
    ),
    st.sets(st.integers(0, 4)),
)
def test_cells_of_a_table_keep_apart(rows: list[list[str]], right: set[int]) -> None:
    """However long they are: each stands in its column, with two spaces before the next."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row, line in zip(rows, aligned(rows, right), strict=True):
        place = 0
        for k, (cell, width) in enumerate(zip(row, widths, strict=True)):
            there = line[place : place + width].ljust(width)
            assert there == (cell.rjust(width) if k in right else cell.ljust(width))
            place += width + 2
            assert line[place - 2 : place].strip() == ""
