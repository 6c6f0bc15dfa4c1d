"""The live page (Bokeh): used capacity and allocations over time, per node and per disk; servers, leases, the
queue, the last refusals.

Served on loopback; everything it needs comes from the process itself, nothing from the network. A script of
its own asks the orchestrator every second.
"""

from __future__ import annotations

import gc
import html
import logging
import secrets
import signal
import sys
import zlib
from typing import TYPE_CHECKING, Any

from batfs.errors import BatfsError, InputError, MissingExtraError
from batfs.service.client import Client
from batfs.service.shown import BLUE, MOST, ORANGE, PALETTE, columns, headline, series, tables

if TYPE_CHECKING:
    from bokeh.document import Document

TEMPLATE = """\
{% extends base %}
{% block preamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body { margin: 0 auto; padding: 0 1rem 2rem; max-width: 1400px; background: #fff }</style>
{% endblock %}
{% block contents %}<main>{{ super() }}</main>{% endblock %}
"""
# of what stands in a Div: Bokeh keeps it apart from the page's own style
STYLE = """
:host { font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1f2933;
  min-width: 0; max-width: 100%; }
.bk-clearfix { width: 100%; }
h1 { font-size: 1.5rem; margin: .8rem 0 0; } h2 { font-size: 1.1rem; margin: 1rem 0 .2rem; }
p { margin: .3rem 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; max-height: 24rem; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .2rem .7rem .2rem 0; font-weight: 400;
  border-bottom: 1px solid #d5dbe1; overflow-wrap: break-word; }
thead th { color: #52606d; font-weight: 600; }
"""
# side by side where there is room, below one another where there isn't
WRAP = ":host { flex-wrap: wrap; } :host > * { flex: 1 1 20rem; min-width: min(100%, 20rem); }"


def build(document: Document, client: Client, every: float = 1.0) -> None:
    """Lay out the page on a Bokeh document and keep it up to date."""
    from bokeh.core.templates import FILE
    from bokeh.layouts import column, row
    from bokeh.models import ColumnDataSource, DataRange1d, FactorRange
    from bokeh.models.annotations import Title
    from bokeh.models.css import InlineStyleSheet
    from bokeh.models.widgets import Div, Select
    from bokeh.plotting import figure

    each: list[str | tuple[Any, str]] = ["node", "disk"]
    by = Select(title="Over time, per", value="node", options=each, name="by", width=160)

    def news() -> tuple[dict[str, dict[str, list[Any]]], dict[str, str]]:
        """Columns for the charts, texts for the rest."""
        status = client.status(history=True)
        leases = client.leases(everybody=True, most=MOST)
        data = columns(status) | {"over time": series(status, by.value)}
        return data, {"head": headline(status), **tables(status, leases)}

    first, texts = news()
    sources = {name: ColumnDataSource(data=data, name=name) for name, data in first.items()}
    style = InlineStyleSheet(css=STYLE)
    divs = {
        name: Div(text=text, name=name, sizing_mode="stretch_width", stylesheets=[style])
        for name, text in texts.items()
    }

    def chart(title: str, label: str, **how: Any) -> figure:
        """Something over time."""
        drawn = figure(
            title=title, x_axis_type="datetime", y_range=DataRange1d(start=0), height=250,
            sizing_mode="stretch_width", toolbar_location=None, **how,
        )  # fmt: skip
        drawn.yaxis.axis_label, drawn.xaxis.axis_label = label, "time (UTC)"
        return drawn

    used = chart("Reserved capacity", "GB")
    used.step("time", "used", source=sources["history"], mode="after", color=BLUE, line_width=2)
    live = chart("Concurrent allocations", "allocations", x_range=used.x_range)
    live.step("time", "leases", source=sources["history"], mode="after", color=ORANGE, line_width=2)
    split = []
    for what, title, label in (("used", "Reserved", "GB"), ("leases", "Allocations", "allocations")):
        drawn = chart(title, label, x_range=used.x_range, tools="hover", tooltips="@name")
        drawn.multi_line(
            "times", what, source=sources["over time"], color="colour", line_width=2, legend_field="name"
        )
        drawn.legend.location, drawn.legend.background_fill_alpha = "top_left", 0.6
        split.append(drawn)

    names_range = FactorRange(factors=first["disks"]["name"][::-1])
    tips = [("disk", "@name"), ("state", "@state"), ("used", "@used{0.0} GB"), ("free", "@free{0.0} GB")]
    per_disk = figure(
        y_range=names_range, x_range=DataRange1d(start=0), sizing_mode="stretch_width", toolbar_location=None,
        tooltips=[*tips, ("allocations", "@leases")],
    )  # fmt: skip
    bars = per_disk.hbar_stack(
        ["used", "free"], y="name", height=0.7, color=[BLUE, "#dddddd"], source=sources["disks"],
        legend_label=["used", "free"],
    )  # fmt: skip
    bars[0].glyph.fill_color = "colour"
    per_disk.xaxis.axis_label = "GB"
    # beside the bars, not over them
    per_disk.add_layout(per_disk.legend[0], "above")
    per_disk.legend.orientation = "horizontal"

    bars_title = Title()
    per_disk.title = bars_title

    def show(fresh: dict[str, dict[str, list[Any]]]) -> None:
        for name, source in sources.items():
            source.data = dict(fresh[name])
        names = fresh["disks"]["name"]
        names_range.factors = names[::-1]
        per_disk.height = max(170, 22 * len(names) + 110)
        bars_title.text = "Per disk: used and free" if len(names) < MOST else f"The {MOST} fullest disks"
        for drawn in split:
            drawn.legend.visible = len(fresh["over time"]["name"]) <= len(PALETTE)

    def update() -> None:
        try:
            fresh, texts = news()
        except BatfsError as error:
            divs["head"].text = (
                f"<h1>batfs storage service</h1><p><strong>No news from the orchestrator</strong>: "
                f"{html.escape(str(error))}</p>"
            )
            return
        show(fresh)
        for name, text in texts.items():
            divs[name].text = text

    show(first)
    by.on_change("value", lambda attr, old, new: update())
    document.title = "batfs storage service"
    document.template = FILE.environment.from_string(TEMPLATE)
    document.template_variables["base"] = FILE

    def beside(*parts: Any) -> Any:
        return row(*parts, sizing_mode="stretch_width", stylesheets=[InlineStyleSheet(css=WRAP)])

    document.add_root(
        column(divs["head"], beside(used, live), by, beside(*split), beside(per_disk, divs["servers"]),
               divs["leases"], beside(divs["queue"], divs["refusals"]), sizing_mode="stretch_width")
    )  # fmt: skip
    document.add_periodic_callback(update, int(1000 * every))


def serve(client: Client, port: int) -> int:
    """Serve the page on loopback until interrupted. Raises MissingExtraError without Bokeh."""
    try:
        from bokeh.application import Application
        from bokeh.application.handlers.function import FunctionHandler
        from bokeh.server.server import BaseServer
        from bokeh.server.tornado import BokehTornado
        from bokeh.util.token import check_token_signature, get_session_id
        from tornado.httpserver import HTTPServer
        from tornado.ioloop import IOLoop
        from tornado.netutil import bind_sockets
    except ImportError:
        raise MissingExtraError("the live page", "live") from None
    from batfs.service.door import IDLE, LARGEST, Door

    client.timeout = 2.0
    application = Application(FunctionHandler(lambda document: build(document, client)))
    try:
        sockets = bind_sockets(port, "127.0.0.1")
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot serve on port {port}: {getattr(error, 'strerror', error)}") from error
    port = sockets[0].getsockname()[1]
    client.status()
    # what a stranger says is no news: one line of it a request would fill a disk
    for name in ("tornado.access", "tornado.general", "bokeh"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    hosts = [f"127.0.0.1:{port}", f"localhost:{port}"]
    secret = secrets.token_bytes(32)

    def opened(token: str) -> bool:
        try:
            return check_token_signature(token, secret, True) and bool(get_session_id(token))
        except (ValueError, KeyError, TypeError, UnicodeError, zlib.error):
            return False

    def pages() -> tuple[int, int]:
        sessions = bokeh.get_sessions("/")
        return len(sessions), sum(session.connection_count == 0 for session in sessions)

    bokeh = BokehTornado(
        {"/": application},
        extra_websocket_origins=hosts,
        websocket_max_message_size_bytes=LARGEST,
        # a session is opened with the page, and by nobody who only says that he has one
        sign_sessions=True,
        secret_key=secret,
    )
    http = HTTPServer(
        Door(bokeh, set(hosts), pages, opened),
        max_body_size=LARGEST,
        max_header_size=LARGEST // 16,
        idle_connection_timeout=IDLE,
        body_timeout=IDLE,
    )
    http.add_sockets(sockets)
    server = BaseServer(IOLoop.current(), bokeh, http)
    # a page that is taken down is searched for cycles, and Bokeh's own thousands of objects are none of its
    gc.collect()
    gc.freeze()
    server.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.io_loop.add_callback_from_signal(server.io_loop.stop))
    print(f"http://127.0.0.1:{port}/", flush=True)
    server.io_loop.start()
    server.stop()
    client.close()
    print("stopped", file=sys.stderr)
    return 0
