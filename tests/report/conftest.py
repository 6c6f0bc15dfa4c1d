"""Hand-made runs for the tests of this room."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_SPEC = importlib.util.spec_from_file_location("handmade_runs", Path(__file__).with_name("handmade.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules["handmade_runs"] = _MODULE
_SPEC.loader.exec_module(_MODULE)


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    """``write_run(prefix, jobs=, nodes=, storages=, seed=, label=, slow=)``."""
    found: Any = _MODULE.write_run
    return found  # type: ignore[no-any-return]
