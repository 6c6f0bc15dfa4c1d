"""``python -m batfs`` is the ``batfs`` command."""

from batfs.cli.programs import batfs

batfs()
