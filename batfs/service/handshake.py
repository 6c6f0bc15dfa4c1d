"""Why there is no answer: what became of a socket's attempts to reach the orchestrator.

A CURVE server says nothing to somebody whose key it doesn't take, and neither side says which of them
wanted keys. What libzmq tells of the handshakes (ZMTP 3.1; ``zmq_socket_monitor``) is enough to say so in a
sentence.
"""

from __future__ import annotations

import zmq
from zmq.utils.monitor import recv_monitor_message

# a connection may break for once, as when the orchestrator is started again at that moment
BROKEN = 3
# what libzmq tells of for good: it doesn't try again
_FINAL = (zmq.Event.HANDSHAKE_FAILED_AUTH, zmq.Event.HANDSHAKE_FAILED_PROTOCOL)


class Handshakes:
    """Watches ``socket``, which is to connect to ``endpoint``, with or without ``keys``."""

    def __init__(self, socket: zmq.Socket[bytes], endpoint: str, *, keys: bool) -> None:
        self._monitor = socket.get_monitor_socket(
            zmq.Event.CONNECTED | zmq.Event.CLOSED | zmq.Event.HANDSHAKE_SUCCEEDED
            | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL | _FINAL[0] | _FINAL[1]
        )  # fmt: skip
        self._socket, self._endpoint, self._keys = socket, endpoint, keys
        self._reached = self.succeeded = False
        self._broken = 0
        self._last: int | None = None

    def refused(self) -> str:
        """Why nobody speaks with us, for a person; empty while that may still come or has come about."""
        self._look()
        if self.succeeded or (self._last not in _FINAL and self._broken < BROKEN):
            return ""
        where = f"the orchestrator at {self._endpoint}"
        if not self._keys:
            return (
                f"{where} speaks with those that have a key only, if it is one: give --key and "
                "--orchestrator-key (or BATFS_KEY and BATFS_ORCHESTRATOR_KEY)"
            )
        if self._last == zmq.Event.HANDSHAKE_FAILED_AUTH:
            return f"{where} doesn't take this key: it is not on its allow-list (--allow)"
        # which of the two it is, libzmq doesn't tell for sure
        return (
            f"{where} was started without keys (then leave out --key and --orchestrator-key), or has another "
            "key than --orchestrator-key says"
        )

    def why(self) -> str:
        """What to add where an answer did not come in time."""
        refused = self.refused()
        if refused or self.succeeded:
            return refused
        return "" if self._reached else f"nobody listens at {self._endpoint}"

    def _look(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.Event.CONNECTED:
                self._reached = True
            elif event == zmq.Event.HANDSHAKE_SUCCEEDED:
                self.succeeded, self._broken, self._last = True, 0, None
            elif event != zmq.Event.CLOSED:
                self._broken, self._last = self._broken + 1, event

    def close(self) -> None:
        """Before the socket is closed."""
        self._socket.disable_monitor()
        self._monitor.close(0)
