"""No test asserts a time: a machine that is busy with something else makes none fail."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell's background job has SIGINT ignored, and so would have what it starts: the tests send it to that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("batfs", deadline=None)
settings.load_profile("batfs")
