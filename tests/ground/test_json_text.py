"""JSON by Python's own parser where orjson needn't be imported: what is read and written is the same."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batfs import json_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def by_orjson(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return (error.msg, error.lineno, error.colno)


def by_ours(text: bytes) -> Any:
    try:
        return json_text.loads(text)
    except json.JSONDecodeError as error:
        return (error.msg, error.lineno, error.colno)


def shown(value: Any) -> str:
    """Values and their kinds."""
    return ascii(value)


@given(VALUES, st.booleans())
@settings(max_examples=300)
def test_what_is_written_is_read_as_by_orjson(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode(errors="surrogatepass")
    assert shown(by_ours(text)) == shown(by_orjson(text))


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"",
            b" ",
            b"[1,]",
            b"{",
            b'{"a":1,"a":2}',
            b"NaN",
            b"[Infinity]",
            b"-Infinity",
            b"nan",
            b"01",
            b"1.",
        ),
        *(b"1e400", b"-1E+400", b"1e-400", b"1E5", b"-0", b"-0.0", b"18446744073709551616", b"0.1e1", b"+1"),
        *(b"123456789012345678901", b"-9223372036854775809", b"0." + b"1" * 40, b"1" * 400, b"0e000"),
        *(
            b'"\\ud800"',
            b'"\\uD83D\\uDE00"',
            b'"\xff"',
            b'"\x7f"',
            b'"\t"',
            b'"a\nb"',
            b"\xef\xbb\xbf1",
            b"\xa01",
        ),
        *(b'"\xed\xa0\x80"', "\N{NO-BREAK SPACE}1".encode(), "1\N{EN SPACE}".encode(), b"1\x0c", b'{"a" 1}'),
        *(
            b"[" * 900 + b"]" * 900,
            b"[" * 1100 + b"]" * 1100,
            b"[" * 100_000,
            b"{1:2}",
            b"'a'",
            b"[1 2]",
            b"tru",
        ),
    ],
)
def test_what_is_odd_is_read_as_by_orjson(text: bytes) -> None:
    assert shown(by_ours(text)) == shown(by_orjson(text))


@given(VALUES)
@settings(max_examples=300)
@example({"\x7f": "\x7f"})
def test_what_is_plain_is_written_as_by_orjson(value: Any) -> None:
    if json_text.plain(value):
        assert json_text.by_orjson(value) == orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-400, 400).map(lambda e: 10.0**e if abs(e) < 300 else 0.0)
)
@settings(max_examples=1000)
def test_plain_numbers_are_written_as_by_orjson(number: float) -> None:
    for value in (number, number * 1e-12, number / 3.0):
        if json_text.plain(value):
            both = [{"a": value}, value]
            assert json_text.by_orjson(both) == orjson.dumps(both, option=orjson.OPT_INDENT_2).decode()
