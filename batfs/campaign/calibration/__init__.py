"""From measurements of a machine to the numbers of its models, with what isn't known of them."""

from __future__ import annotations

from importlib.util import find_spec

from batfs.errors import MissingExtraError


def need_scipy(what: str) -> None:
    """MissingExtraError where SciPy (the extra ``report``) isn't installed; ``what`` wants it."""
    if find_spec("scipy") is None:
        raise MissingExtraError(what, "report")
