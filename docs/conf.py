"""Sphinx configuration: Markdown through MyST. Build with ``make docs``."""

import tomllib
from pathlib import Path

_project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

project = "batfs"
author = "the batfs developers"
copyright = "the batfs developers, LGPL-3.0-or-later"
release = version = _project["version"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "deflist", "attrs_inline"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "batfs"
html_static_path: list[str] = []
