"""``extra_data``, the one free member that Batsim 5 forwards: its text, and the members it holds.

Of jobs and profiles Batsim 5 passes on the string ``extra_data`` alone. Where it is (the text of) a JSON
object, its members stand in a record's ``extra`` as Batsim 4's unknown members do: ``io_reads`` and the like
are found by whoever looks for them, whichever generation the file is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from batfs import json_text
from batfs.errors import InputError
from batfs.workload.fields import shown
from batfs.workload.model import NO_EXTRA, Json

MEMBER: Final = "extra_data"


class ExtraData(dict[str, Any]):
    """The members of an ``extra_data``. One that is no object is a member of that name itself.

    ``written``: what stood in the file or message; ``text``: what Batsim 5 forwards of it; ``others``:
    members beside it, which Batsim 5 ignores and doesn't forward.
    """

    __slots__ = ("others", "text", "written")

    def __init__(self, written: Json, others: Mapping[str, Json] = NO_EXTRA) -> None:
        self.written = written
        self.others = others
        self.text = "" if written is None else written if isinstance(written, str) else text_of(written)
        members: Json = written
        if isinstance(written, str):
            try:
                members = json_text.loads(written.encode())
            except ValueError:
                members = written
        if isinstance(members, dict):
            super().__init__(members)
        elif members is None or written == "":
            super().__init__()
        else:
            super().__init__({MEMBER: written})

    def __reduce__(self) -> tuple[Any, ...]:
        return ExtraData, (self.written, self.others)


def read_extra(written: Json, others: Mapping[str, Json], place: str) -> Mapping[str, Json]:
    """A record's ``extra`` of an ``extra_data`` (None: there is none) and the members that nobody knows.

    InputError at ``place`` for one that is neither a string nor an object or an array.
    """
    if written is None:
        return ExtraData(None, others) if others else NO_EXTRA
    if not isinstance(written, (str, dict, list)):
        raise InputError(f"found {shown(written)}, expected a string, an object or an array", place=place)
    return ExtraData(written, others)


def forwarded_text(extra: Mapping[str, Json]) -> str:
    """What Batsim 5 forwards of a record with this ``extra``: an empty text for nothing."""
    if isinstance(extra, ExtraData):
        return extra.text
    return written_extra(extra, as_text=True) if extra else ""


def written_extra(extra: Mapping[str, Json], *, as_text: bool = False) -> Json:
    """What to write as ``extra_data`` for a record that doesn't come from a Batsim 5 file."""
    if set(extra) == {MEMBER} and isinstance(extra[MEMBER], str):
        return extra[MEMBER]
    return text_of(dict(extra)) if as_text else dict(extra)


def text_of(value: Json) -> str:
    """JSON without blanks, its doubles as Batsim 5 writes them: ``800000000.0``, ``1e30``."""
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{text_of(str(key))}:{text_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(text_of(item) for item in value) + "]"
    import orjson

    return orjson.dumps(value).decode()


def _double(value: float) -> str:
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        whole, _, fraction = mantissa.partition(".")
        digits = fraction.lstrip("0")
        if whole in ("0", "-0") and len(fraction) - len(digits) >= 6 and digits:
            exponent = str(-(len(fraction) - len(digits)) - 1)  # as 0.0000001 is written
            mantissa = ("-" if whole == "-0" else "") + digits[0] + ("." + digits[1:] if digits[1:] else "")
            return f"{mantissa}e{exponent}"
        return mantissa
    power = int(exponent)
    if 0 <= power < 21:
        return f"{value:.1f}"
    return f"{mantissa.removesuffix('.0')}e{power}"
