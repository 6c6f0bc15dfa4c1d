"""SimGrid itself, asked in a process of its own (Debian's python3-simgrid), and the recorded cases."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("simgrid_probe.py")

Ask = Callable[..., dict[str, Any]]


def _simgrid_python() -> str | None:
    # distinct installations; SimGrid is where the system's own Python finds it
    for name in (os.environ.get("BATFS_SIMGRID_PYTHON"), "/usr/bin/python3", shutil.which("python3")):
        if name and Path(name).exists():
            found = subprocess.run([name, "-c", "import simgrid"], capture_output=True, check=False)
            if found.returncode == 0:
                return name
    return None


@pytest.fixture(scope="session")
def simgrid_python() -> str:
    """The interpreter that has SimGrid's module."""
    python = _simgrid_python()
    if python is None:
        pytest.skip("SimGrid's Python module (python3-simgrid) is not installed")
    return python


@pytest.fixture(scope="session")
def simgrid(simgrid_python: str) -> Ask:
    """``simgrid(platform, pairs=None, options=())`` -> hosts, links, routes as SimGrid sees them."""
    python = simgrid_python

    def ask(
        platform: Path, pairs: list[tuple[str, str]] | None = None, options: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        done = subprocess.run(
            [python, str(PROBE), str(platform), *options],
            input=json.dumps(pairs),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"SimGrid on {platform}: {done.stderr[-2000:]}"
        answer: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
        return answer

    return ask


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of recordings and data beside the project."""
    place = ROOT.parent / "shared"
    if not place.is_dir():
        pytest.skip("../shared is absent")
    return place


@pytest.fixture(scope="session")
def golden(shared: Path) -> list[Path]:
    """Platforms of the recorded good cases."""
    found = sorted((shared / "golden" / "cases").glob("*/platform.xml"))
    assert found
    return found


@pytest.fixture(scope="session")
def random_platform() -> Callable[[int], str]:
    """``random_platform(seed)``: the text of a platform (see platform_maker.py)."""
    spec = importlib.util.spec_from_file_location(
        "platform_maker", Path(__file__).with_name("platform_maker.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make: Callable[[int], str] = module.random_platform
    return make
