"""Platform XML as text laid out for reading: one element a line, blocks with a comment above them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from xml.sax.saxutils import escape, quoteattr

from batfs.errors import InputError

HEAD = "<?xml version='1.0'?>\n<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"

#: What no XML 1.0 document may hold (its production Char), half characters among it.
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Writer:
    """Collects elements; ``text()`` is the file. Attributes are written in the order given.

    A trailing underscore in an attribute's name is dropped, and None leaves an attribute out. InputError for
    a value that can't stand in XML; in comments such characters are shown by their numbers.
    """

    def __init__(self, comment: str = "") -> None:
        self._lines: list[str] = []
        self._depth = 1
        self._comment = comment

    def comment(self, text: str) -> None:
        """A comment on lines of its own, after an empty line."""
        if self._lines and self._lines[-1]:
            self._lines.append("")
        for number, line in enumerate(text.splitlines()):
            opening = "<!-- " if number == 0 else "     "
            self._put(f"{opening}{_plain(line)}")
        self._lines[-1] += " -->"

    def element(
        self, tag: str, properties: Mapping[str, str] | None = None, /, **attributes: str | None
    ) -> None:
        """An element without children but properties."""
        start = f"<{tag}{_attributes(attributes)}"
        if not properties:
            self._put(f"{start}/>")
            return
        self._put(f"{start}>")
        for name, value in properties.items():
            self._put(f"  <prop{_attributes({'id': name, 'value': value})}/>")
        self._put(f"</{tag}>")

    @contextmanager
    def inside(self, tag: str, /, **attributes: str | None) -> Iterator[None]:
        """An element with children."""
        self._put(f"<{tag}{_attributes(attributes)}>")
        self._depth += 1
        yield
        self._depth -= 1
        self._put(f"</{tag}>")

    def link(
        self, name: str, bandwidth: str, latency: str, policy: str | None = None, /, **properties: str
    ) -> None:
        self.element("link", properties, id=name, bandwidth=bandwidth, latency=latency, sharing_policy=policy)

    def route(
        self,
        src: str,
        dst: str,
        *links: str,
        gateways: tuple[str, str] | None = None,
        symmetrical: bool = True,
    ) -> None:
        """A route over links, each ``name`` or ``name:UP`` or ``name:DOWN``; a zoneRoute with gateways."""
        tag = "route" if gateways is None else "zoneRoute"
        gw_src, gw_dst = gateways or (None, None)
        attributes = {"src": src, "dst": dst, "gw_src": gw_src, "gw_dst": gw_dst}
        attributes["symmetrical"] = None if symmetrical else "NO"
        hops = []
        for link in links:
            name, _, direction = link.partition(":")
            hops.append(f"<link_ctn{_attributes({'id': name, 'direction': direction or None})}/>")
        self._put(f"<{tag}{_attributes(attributes)}>{''.join(hops)}</{tag}>")

    def text(self) -> str:
        lines = [f"<!-- {_plain(self._comment)} -->"] if self._comment else []
        return HEAD + "\n".join([*lines, '<platform version="4.1">', *self._lines, "</platform>", ""])

    def _put(self, line: str) -> None:
        self._lines.append("  " * self._depth + line)


def _attributes(attributes: Mapping[str, str | None]) -> str:
    for name, value in attributes.items():
        if value is not None and _NO_XML.search(value):
            raise InputError(f"{name.rstrip('_')} {value!r:.60} can't stand in an XML file")
    return "".join(
        f" {name.rstrip('_')}={quoteattr(value)}" for name, value in attributes.items() if value is not None
    )


def _plain(text: str) -> str:
    # "--" ends a comment in XML
    printable = _NO_XML.sub(lambda found: ascii(found[0])[1:-1], text)
    return escape(printable).replace("--", "- -")
