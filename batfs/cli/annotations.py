"""Findings on files as other programs show them: GitHub's workflow commands and SARIF 2.1.0."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from batfs import __version__
from batfs.records import record

_GITHUB: Final[Mapping[str, str]] = {"error": "error", "warning": "warning", "note": "notice"}


@record
class Annotation:
    """``level`` is error, warning or note; ``line`` counts from 1, 0 where there is none."""

    file: str
    level: str
    rule: str
    text: str
    line: int = 0


def github(found: Iterable[Annotation]) -> str:
    """Workflow commands, which GitHub shows beside the lines they are about."""
    lines = []
    for one in found:
        where = f"file={_property(one.file)}" + (f",line={one.line}" if one.line else "")
        title = _property(f"batfs check: {one.rule}")
        lines.append(f"::{_GITHUB[one.level]} {where},title={title}::{_data(one.text)}")
    return "".join(f"{line}\n" for line in lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif(found: Iterable[Annotation], rules: Mapping[str, str]) -> str:
    """A SARIF log of one run; ``rules`` says what each rule is, in a sentence."""
    from urllib.parse import quote

    results = []
    for one in found:
        place: dict[str, Any] = {"artifactLocation": {"uri": quote(one.file)}}
        if one.line:
            place["region"] = {"startLine": one.line}
        results.append(
            {
                "ruleId": one.rule,
                "level": one.level,
                "message": {"text": one.text},
                "locations": [{"physicalLocation": place}],
            }
        )
    driver = {
        "name": "batfs",
        "version": __version__,
        "rules": [{"id": name, "shortDescription": {"text": text}} for name, text in rules.items()],
    }
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, indent=1) + "\n"
