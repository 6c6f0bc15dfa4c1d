"""``python -m batfs`` is the ``batfs`` command."""

from batfs.cli.main import script

script()
