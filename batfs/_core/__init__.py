"""The compiled core: each kernel once, in Python that Cython compiles when batfs is installed.

Where there was no compiler the same files run interpreted, many times slower. Nothing here knows the rest of
batfs.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType


def uncompiled() -> str | None:
    """What to tell a person whose installation has no compiled core; None for the others."""
    from batfs._core import solver

    if solver.COMPILED:
        return None
    return (
        "the core is not compiled: simulations take some ten times longer. Install a C compiler (Debian: "
        "apt install gcc python3-dev) and batfs once more"
    )


@cache
def interpreted(name: str) -> ModuleType:
    """A module of the core as plain Python, whether or not it is compiled: what tests compare with."""
    import importlib.util
    from pathlib import Path

    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"{__name__}.interpreted_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
