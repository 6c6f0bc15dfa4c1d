"""The live page (Bokeh): used capacity and allocations over time and per disk, the queue, the last refusals.

Served on loopback; everything it needs comes from the process itself, nothing from the network. A script of
its own asks the orchestrator every second.
"""

from __future__ import annotations

import html
import logging
import secrets
import signal
import sys
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from batfs.errors import BatfsError, InputError, MissingExtraError
from batfs.service.client import Client

if TYPE_CHECKING:
    from bokeh.document import Document

# Okabe and Ito's palette: told apart by colour-blind readers
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#999999"
PALETTE = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%SZ")


def columns(status: dict[str, Any]) -> dict[str, dict[str, list[Any]]]:
    """The page's tables out of the orchestrator's status; sizes in GB."""
    history = status.get("history", [])
    if history:
        history = [*history, [status["now"], *history[-1][1:]]]  # the line goes on until now
    disks = status["disks"]
    return {
        "history": {
            "time": [1000 * t for t, _, _ in history],
            "used": [used / 1e9 for _, used, _ in history],
            "leases": [count for _, _, count in history],
        },
        "disks": {
            "name": [f"{d['server']}/{d['disk']}" for d in disks],
            "used": [d["reserved"] / 1e9 for d in disks],
            "free": [(d["capacity"] - d["reserved"]) / 1e9 for d in disks],
            "leases": [d["allocations"] for d in disks],
            "state": [d["state"] for d in disks],
            "colour": [BLUE if d["state"] == "up" else GREY for d in disks],
        },
        "queue": {
            "lease": [q["lease"] for q in status.get("queue", [])],
            "user": [q["user"] for q in status.get("queue", [])],
            "size": [q["size"] / 1e9 for q in status.get("queue", [])],
            "reason": [q["reason"] for q in status.get("queue", [])],
        },
        "refusals": {
            "time": [_clock(r["time"]) for r in reversed(status.get("refusals", []))],
            "who": [r["who"] for r in reversed(status.get("refusals", []))],
            "reason": [r["text"] for r in reversed(status.get("refusals", []))],
        },
    }


def series(status: dict[str, Any], by: str) -> dict[str, list[Any]]:
    """Used GB and allocations over time for each disk, or summed for each node, as step lines.

    ``by``: "disk" or "node". Before the first change that is still known, a disk stands at its first value.
    """
    group = {
        f"{d['server']}/{d['disk']}": f"{d['server']}/{d['disk']}"
        if by == "disk"
        else d["node"] or d["server"]
        for d in status["disks"]
    }
    level: dict[str, tuple[int, int]] = {}
    for _, disk, used, count in status.get("changes", []):
        level.setdefault(disk, (used, count))
    lines: dict[str, tuple[list[float], list[float], list[int]]] = {}
    for time, disk, used, count in status.get("changes", []):
        if disk not in group:
            continue
        level[disk] = (used, count)
        mine = [level[d] for d, g in group.items() if g == group[disk] and d in level]
        times, sizes, counts = lines.setdefault(group[disk], ([], [], []))
        times.append(1000 * time)
        sizes.append(sum(m[0] for m in mine) / 1e9)
        counts.append(sum(m[1] for m in mine))
    for times, sizes, counts in lines.values():
        times.append(1000 * status["now"])
        sizes.append(sizes[-1])
        counts.append(counts[-1])
    names = sorted(lines)
    return {
        "name": names,
        "times": [_steps(lines[n][0])[1:] for n in names],
        "used": [_steps(lines[n][1])[:-1] for n in names],
        "leases": [_steps(lines[n][2])[:-1] for n in names],
        "colour": [PALETTE[i % len(PALETTE)] for i in range(len(names))],
    }


def _steps(values: list[Any]) -> list[Any]:
    return [v for v in values for _ in (0, 1)]


def build(document: Document, client: Client, every: float = 1.0) -> None:
    """Lay out the page on a Bokeh document and keep it up to date."""
    from bokeh.layouts import column, row
    from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, TabPanel, Tabs
    from bokeh.models.widgets import DataTable, Div, TableColumn
    from bokeh.plotting import figure

    status = client.status(history=True)
    first = columns(status) | {by: series(status, by) for by in ("disk", "node")}
    sources = {name: ColumnDataSource(data=data, name=name) for name, data in first.items()}
    head = Div(text="", name="head", sizing_mode="stretch_width")

    used = figure(
        title="Reserved capacity (GB)",
        x_axis_type="datetime",
        y_range=DataRange1d(start=0),
        height=260,
        sizing_mode="stretch_width",
    )
    used.step("time", "used", source=sources["history"], mode="after", color=BLUE, line_width=2)
    used.yaxis.axis_label, used.xaxis.axis_label = "GB", "time (UTC)"
    live = figure(
        title="Concurrent allocations",
        x_axis_type="datetime",
        x_range=used.x_range,
        y_range=DataRange1d(start=0),
        height=260,
        sizing_mode="stretch_width",
    )
    live.step("time", "leases", source=sources["history"], mode="after", color=ORANGE, line_width=2)
    live.yaxis.axis_label, live.xaxis.axis_label = "allocations", "time (UTC)"

    names = first["disks"]["name"]
    names_range = FactorRange(factors=names[::-1])
    tips = [("disk", "@name"), ("state", "@state"), ("used", "@used{0.0} GB"), ("free", "@free{0.0} GB")]
    per_disk = figure(
        title="Per disk: used and free (GB)", y_range=names_range, height=max(160, 24 * len(names) + 80),
        sizing_mode="stretch_width", tooltips=[*tips, ("allocations", "@leases")],
    )  # fmt: skip
    bars = per_disk.hbar_stack(
        ["used", "free"], y="name", height=0.7, color=[BLUE, "#dddddd"], source=sources["disks"],
        legend_label=["used", "free"],
    )  # fmt: skip
    bars[0].glyph.fill_color = "colour"
    per_disk.xaxis.axis_label = "GB"

    def lines(by: str, what: str, unit: str) -> figure:
        """What each disk or node held over time, a line each; hover names it."""
        drawn = figure(
            title=f"{unit} per {by} over time", x_axis_type="datetime", x_range=used.x_range,
            y_range=DataRange1d(start=0), height=240, sizing_mode="stretch_width",
            tooltips=[(by, "@name")], tools="pan,wheel_zoom,box_zoom,reset,hover",
        )  # fmt: skip
        drawn.multi_line("times", what, source=sources[by], color="colour", line_width=2)
        drawn.yaxis.axis_label, drawn.xaxis.axis_label = unit, "time (UTC)"
        return drawn

    over_time = Tabs(
        tabs=[
            TabPanel(
                child=row(
                    lines(by, "used", "reserved GB"),
                    lines(by, "leases", "allocations"),
                    sizing_mode="stretch_width",
                ),
                title=f"per {by}",
            )
            for by in ("node", "disk")
        ],
        sizing_mode="stretch_width",
    )

    def table(source: str, titles: dict[str, str]) -> DataTable:
        cells = [TableColumn(field=field, title=title) for field, title in titles.items()]
        return DataTable(
            source=sources[source],
            columns=cells,
            height=180,
            index_position=None,
            sizing_mode="stretch_width",
        )

    queue = table("queue", {"lease": "waiting", "user": "user", "size": "GB", "reason": "reason"})
    refusals = table("refusals", {"time": "refused", "who": "who", "reason": "reason"})

    def update() -> None:
        try:
            status = client.status(history=True)
        except BatfsError as error:
            head.text = f"<b>No news from the orchestrator</b>: {html.escape(str(error))}"
            return
        fresh = columns(status) | {by: series(status, by) for by in ("disk", "node")}
        for name, source in sources.items():
            source.data = dict(fresh[name])
        names_range.factors = fresh["disks"]["name"][::-1]
        share = status["reserved"] / status["capacity"] if status["capacity"] else 0.0
        head.text = (
            f"<b>batfs storage service</b> &nbsp; {status['leases']} leases, {status['queued']} queued, "
            f"{status['reserved'] / 1e9:.1f} of {status['capacity'] / 1e9:.1f} GB reserved ({share:.0%}), "
            f"policy {html.escape(str(status['policy']))}, {_clock(status['now'])}"
        )

    update()
    document.title = "batfs storage service"
    document.add_root(
        column(head, row(used, live, sizing_mode="stretch_width"), over_time, per_disk,
               row(queue, refusals, sizing_mode="stretch_width"), sizing_mode="stretch_width")
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

    bokeh = BokehTornado(
        {"/": application},
        extra_websocket_origins=hosts,
        websocket_max_message_size_bytes=LARGEST,
        # a session is opened with the page, and by nobody who only says that he has one
        sign_sessions=True,
        secret_key=secret,
    )
    http = HTTPServer(
        Door(bokeh, set(hosts), lambda: len(bokeh.get_sessions("/")), opened),
        max_body_size=LARGEST,
        max_header_size=LARGEST // 16,
        idle_connection_timeout=IDLE,
        body_timeout=IDLE,
    )
    http.add_sockets(sockets)
    server = BaseServer(IOLoop.current(), bokeh, http)
    server.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.io_loop.add_callback_from_signal(server.io_loop.stop))
    print(f"http://127.0.0.1:{port}/", flush=True)
    server.io_loop.start()
    server.stop()
    client.close()
    print("stopped", file=sys.stderr)
    return 0
