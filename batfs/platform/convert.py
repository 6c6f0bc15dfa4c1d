"""A platform of an earlier SimGrid, or one that only XML parsers take, rewritten as SimGrid 3.34 reads it.

The text is edited where it must be and stays as it is elsewhere, comments included.
"""

from __future__ import annotations

import re
from typing import Final

from batfs import texts
from batfs.platform import settings
from batfs.platform.text import DOCTYPE

DECLARATION: Final = '<?xml version="1.0"?>'
_COMMENT: Final = re.compile(r"(<!--.*?-->)", re.DOTALL)
_OLD_HEAD: Final = re.compile(r"<\?xml(?!-).*?\?>\s*|<!DOCTYPE\s[^>\[]*>\s*", re.DOTALL)
_CONFIG: Final = re.compile(r"<config\b[^>]*>.*?</config\s*>", re.DOTALL)
_PROP: Final = re.compile(
    r"""(?<!\s)\s*<prop\s[^>]*?\bid\s*=\s*(?:"([^"]*)"|'([^']*)')[^>]*?(?:/>|>\s*</prop\s*>)"""
)
_LINK: Final = re.compile(r"<link\s(?:[^>\"']|\"[^\"]*\"|'[^']*')*?(?=/?>)")


def modernised(raw: bytes) -> tuple[str, list[str]]:
    """The new text of a platform file of these bytes, and what was changed, a sentence each."""
    done: list[str] = []
    data = texts.unpacked(raw)
    if data is not raw:
        done.append("unpacked")
    found = texts.decode(data)
    text = found.text
    if found.replaced:
        text = data.decode("iso-8859-1")
        done.append("Latin-1 is now UTF-8")
    elif not data.startswith(text[:8].encode()):
        done.append("the byte-order mark is gone")
    body = _outside_comments(_OLD_HEAD, "", text).lstrip()
    new = f"{DECLARATION}\n{DOCTYPE}\n{body}"
    if new.split() != text.split():
        done.append("the declaration and the DOCTYPE are SimGrid's")
    new = _CONFIG.sub(lambda config: _PROP.sub(lambda prop: _option(prop, done), config[0]), new)
    bare = len(done)
    new = _LINK.sub(lambda link: _latency(link[0], done), new)
    if len(done) > bare:
        many = len(done) - bare
        done[bare:] = [
            "a link without a latency has 0" if many == 1 else f"{many} links without a latency have 0"
        ]
    return new, done


def _outside_comments(pattern: re.Pattern[str], by: str, text: str) -> str:
    parts = _COMMENT.split(text)
    return "".join(part if part.startswith("<!--") else pattern.sub(by, part) for part in parts)


def _option(prop: re.Match[str], done: list[str]) -> str:
    old = prop[1] if prop[1] is not None else prop[2]
    new = settings.renamed(old)
    if new is None:
        return prop[0]
    done.append(
        f"the option {old!r} is {new!r} now" if new else f"the option {old!r}, which is gone, is left out"
    )
    return prop[0].replace(old, new, 1) if new else ""


def _latency(link: str, done: list[str]) -> str:
    if re.search(r"\slatency\s*=", link):
        return link
    done.append(link)
    return f'{link.rstrip()} latency="0"'
