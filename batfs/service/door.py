"""Who may ask for the live page: what comes from elsewhere, or is too much, never reaches Bokeh.

The page is for browsers of this machine. Bokeh checks where its WebSockets come from; the page itself it
would give to anybody, under any name that leads here, in any number, and each costs a session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

#: Pages that may be open at a time; each is drawn and kept up to date by itself.
MOST_PAGES = 64
#: Of these, pages whose browser hasn't come back for more yet. Whoever asks and goes away leaves one behind,
#: and the page serves nobody while it draws: some tenths of a second each.
MOST_WAITING = 8
#: Bytes of a request's body and of its head, and of a message on a WebSocket.
LARGEST = 1 << 20
#: Seconds that a connection may stand without a request on it.
IDLE = 30.0
#: What opens a page.
_OPENS = ("/", "/autoload.js")


class Door(HTTPServerConnectionDelegate):
    """In front of ``inside``; ``hosts``: the names it may be called by; ``pages``: how many are open, and how
    many of them wait for their browser; ``opened``: whether a token is that of one which was opened here."""

    def __init__(
        self,
        inside: HTTPServerConnectionDelegate,
        hosts: set[str],
        pages: Callable[[], tuple[int, int]],
        opened: Callable[[str], bool],
    ) -> None:
        self._inside, self._hosts, self._pages, self._opened = inside, hosts, pages, opened

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        return _Knock(self, self._inside.start_request(server_conn, request_conn), request_conn)

    def on_close(self, server_conn: object) -> None:
        self._inside.on_close(server_conn)

    def refusal(self, method: str, path: str, host: str | None, token: str) -> tuple[int, str] | None:
        """The status for who may not come in; None for who may. ``token``: the page's, of a WebSocket."""
        if host not in self._hosts:
            return 403, "Forbidden"
        if method not in ("GET", "HEAD"):
            return 405, "Method Not Allowed"
        if path.partition("?")[0] == "/ws" and not self._opened(token):
            return 403, "Forbidden"
        if path.partition("?")[0] in _OPENS:
            many, waiting = self._pages()
            if many >= MOST_PAGES or waiting >= MOST_WAITING:
                return 503, "Service Unavailable"
        return None


class _Knock(HTTPMessageDelegate):
    """One request."""

    def __init__(self, door: Door, inside: HTTPMessageDelegate, connection: HTTPConnection) -> None:
        self._door, self._connection = door, connection
        self._inside: HTTPMessageDelegate | None = inside

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> Any:
        assert isinstance(start_line, RequestStartLine)
        hosts = headers.get_list("Host")
        host = hosts[0] if len(hosts) == 1 else None
        # "bokeh, TOKEN", as Bokeh's own script sends it
        token = headers.get("Sec-WebSocket-Protocol", "").rpartition(",")[2].strip()
        refusal = self._door.refusal(start_line.method, start_line.path, host, token)
        if refusal is None:
            assert self._inside is not None
            return self._inside.headers_received(start_line, headers)
        self._inside = None
        answer = HTTPHeaders({"Content-Length": "0", "Connection": "close"})
        self._connection.write_headers(ResponseStartLine("HTTP/1.1", *refusal), answer)
        self._connection.finish()
        return None

    def data_received(self, chunk: bytes) -> Any:
        return None if self._inside is None else self._inside.data_received(chunk)

    def finish(self) -> None:
        if self._inside is not None:
            self._inside.finish()

    def on_connection_close(self) -> None:
        if self._inside is not None:
            self._inside.on_connection_close()
