"""``python -m batfs`` is the ``batfs`` command."""

import sys

from batfs.cli.main import main

sys.exit(main())
