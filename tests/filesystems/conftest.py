"""Makes ``fs_machines`` importable whatever else is called ``tests`` on this machine."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
