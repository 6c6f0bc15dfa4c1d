"""`/metrics` for Prometheus, on loopback.

The page is written by the orchestrator's own thread between two rounds, when somebody has asked; the threads
that talk HTTP only wait for it. So nothing is read while it changes, and whoever closes the connection early,
or never says what it wants, costs a thread for some seconds and nothing else.
"""

from __future__ import annotations

import http.server
import threading
from typing import Any

from batfs.errors import InputError
from batfs.service.core import Core
from batfs.service.status import prometheus

PATIENCE = 5.0
# connections at a time; more are closed at once
MOST = 32


class Metrics:
    """Serves on construction until :meth:`close`. Raises InputError when the port can't be had."""

    def __init__(self, port: int, core: Core) -> None:
        self._core, self._text = core, b""
        self._wanted = threading.Event()
        self._written = threading.Condition()
        self._count = 0
        try:
            self._server = _Server(("127.0.0.1", port), self._handler())
        except (OSError, OverflowError) as error:
            raise InputError(f"cannot serve metrics on port {port}: {error}") from error
        threading.Thread(target=self._server.serve_forever, daemon=True, name="metrics").start()

    def serve(self) -> None:
        """Write the page if it is wanted; called by the thread that changes the books."""
        if not self._wanted.is_set():
            return
        self._wanted.clear()
        text = prometheus(self._core).encode("utf-8", "replace")
        with self._written:
            self._text, self._count = text, self._count + 1
            self._written.notify_all()

    def _page(self) -> bytes | None:
        """A page written after this call; None if none comes."""
        with self._written:
            before = self._count
            self._wanted.set()
            fresh = self._written.wait_for(lambda: self._count > before, PATIENCE)
            return self._text if fresh else None

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        page = self._page

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = PATIENCE

            def do_GET(self) -> None:
                if self.path != "/metrics":
                    self.send_error(404)
                    return
                body = page()
                if body is None:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # that wait to be accepted; beyond the default, 5, a burst has to come back a second later
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._free = threading.BoundedSemaphore(MOST)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The other side went away: nothing to be said about."""
