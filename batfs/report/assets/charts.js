"use strict";
// Jobs over time and resources.
class Gantt extends Plot {
  constructor(parent, run, x, options) {
    const top = Math.max(run.nodes - 1, run.jobs.bars.high.reduce((m, v) => Math.max(m, v), 0));
    super(parent, { height: Math.min(620, Math.max(200, 60 + 9 * (top + 1))), x, yLabel: "resource id", label: "Gantt chart of jobs", ...options });
    this.run = run; this.full = [-0.6, top + 0.6]; this.y = this.full.slice(); this.mode = "why"; this.focus = -1;
    const j = run.jobs, b = j.bars;
    this.start = Float64Array.from(b.job, k => j.start[k]); this.end = Float64Array.from(b.job, k => j.end[k]);
    this.job = Int32Array.from(b.job); this.low = Int32Array.from(b.low); this.high = Int32Array.from(b.high);
    this.colour("why");
  }
  colour(mode) {
    this.mode = mode;
    const j = this.run.jobs;
    if (mode === "why") {
      this.colours = j.whys.map(w => w[1]); this.code = Uint8Array.from(j.why);
      const counts = j.whys.map(() => 0); j.why.forEach(w => counts[w]++);
      this.legend(j.whys.map(([t, c], i) => [`${t} (${num(counts[i], 9)})`, c]).filter((entry, i) => i < 3 || counts[i]));
    } else if (mode === "system") {
      const words = j.systems.words;
      this.colours = words.map((w, i) => w ? CATEGORIES[i % 8] : BAR); this.code = Uint16Array.from(j.systems.codes);
      this.legend(words.map((w, i) => [w || "no I/O", this.colours[i]]).slice(0, 16));
    } else {
      const value = mode === "wait" ? j.start.map((s, i) => s - j.submitted[i]) : j.read.map((r, i) => r + j.written[i]);
      const top = value.reduce((m, v) => Math.max(m, v), 0), floor = mode === "wait" ? 1 : 1e6;
      const place = v => v <= 0 ? 0 : 1 + Math.floor(14.99 * Math.max(0, Math.log(v / floor + 1) / Math.log(top / floor + 1)));
      this.colours = Array.from({ length: 16 }, (_, i) => i ? cividis((i - 1) / 14) : BAR); this.code = Uint8Array.from(value, place);
      const bound = i => floor * (Math.exp(i / 15 * Math.log(top / floor + 1)) - 1), unit = mode === "wait" ? "s" : "B";
      this.legend([[mode === "wait" ? "did not wait" : "no I/O", BAR], ...[1, 4, 8, 12, 15].map(i => ["≤ " + show(bound(i), unit), this.colours[i]])]);
    }
    this.dirty();
  }
  recolour() { this.colour(this.mode); }
  paint(c) {
    const { start, end, low, high, job, code } = this, [y0, y1] = this.y, rows = Math.ceil(this.ih), columns = Math.ceil(this.iw) + 2;
    const k = this.iw / (this.x.b - this.x.a), h = this.ih / (y1 - y0), gap = h > 5 ? 1 : 0, few = new Map();
    for (let pass = 0; pass < this.colours.length; pass++) {
      // narrow bars: each pixel is painted once however many jobs share it, and none is left out
      const done = new Uint8Array(rows * columns);
      c.fillStyle = this.colours[pass];
      for (let i = 0; i < start.length; i++) {
        if (code[job[i]] !== pass || start[i] > this.x.b || end[i] < this.x.a || high[i] < y0 || low[i] > y1) continue;
        const a = (Math.max(start[i], this.x.a) - this.x.a) * k, b = (Math.min(end[i], this.x.b) - this.x.a) * k;
        const t = (y1 - high[i] - 0.5) * h, s = Math.max(1, (high[i] - low[i] + 1) * h - gap);
        if (b - a < 1.5) {
          const cell = Math.max(0, Math.min(rows - 1, Math.floor(t))) * columns + Math.floor(a);
          if (s < 1.5 && done[cell]) continue;
          done[cell] = 1;
          c.fillRect(this.left + Math.floor(a), this.top + t, 1, s);
        } else {
          c.fillRect(this.left + a, this.top + t, Math.max(1, b - a - (b - a > 4 ? 0.7 : 0)), s);
          if (b - a > 34 && s > 11 && few.size < 400) few.set(i, [a, b, t, s]);
        }
      }
    }
    c.fillStyle = "#fff"; c.textAlign = "center"; c.textBaseline = "middle"; c.font = "10px system-ui, 'DejaVu Sans', sans-serif";
    const one = new Set(this.run.jobs.id.map(n => n.split("!")[0])).size === 1;
    for (const [i, [a, b, t, s]] of few) {
      const full = this.run.jobs.id[job[i]], name = one ? full.slice(full.indexOf("!") + 1) : full;
      c.fillStyle = ["#B8C4CE", BAR, "#fee838", "#E69F00", "#56B4E9", "#F0C75E"].includes(this.colours[code[job[i]]]) ? "#1f2933" : "#fff";
      if (name.length * 6 < b - a - 4) c.fillText(name, this.left + (a + b) / 2, this.top + t + s / 2);
    }
    if (this.focus >= 0) this.outline(c, this.focus);
  }
  prepare() {}
  yTicks(c) {
    c.textAlign = "right"; c.textBaseline = "middle";
    const [found, step] = ticks(Math.max(0, this.y[0]), this.y[1], Math.floor(this.ih / 24));
    for (const v of found) if (step >= 1 || Number.isInteger(v)) c.fillText(num(v, 9), this.left - 6, this.py(v));
  }
  at(px, py) {
    const t = this.tx(px), r = Math.round(this.y[0] + (1 - (py - this.top) / this.ih) * (this.y[1] - this.y[0])), slack = 1.5 / this.iw * (this.x.b - this.x.a);
    for (let i = this.start.length - 1; i >= 0; i--) if (this.low[i] <= r && r <= this.high[i] && this.start[i] - slack <= t && t <= this.end[i] + slack) return this.job[i];
    return -1;
  }
  outline(c, k) {
    const j = this.run.jobs;
    c.strokeStyle = "#D55E00"; c.lineWidth = 2;
    for (let i = 0; i < this.job.length; i++) if (this.job[i] === k) {
      const a = this.px(j.start[k]), b = Math.max(a + 2, this.px(j.end[k])), t = this.py(this.high[i] + 0.5), s = this.py(this.low[i] - 0.5);
      c.strokeRect(a, t, b - a, s - t);
      c.setLineDash([3, 3]); c.beginPath(); c.moveTo(this.px(j.submitted[k]), (t + s) / 2); c.lineTo(a, (t + s) / 2); c.stroke(); c.setLineDash([]);
    }
  }
  hover(px, py) {
    const k = this.at(px, py);
    this.over.style.cursor = k < 0 ? "crosshair" : "pointer";
    if (k < 0) return null;
    this.mark(c => this.outline(c, k));
    return jobText(this.run, k);
  }
  select(p, q) {
    const tall = Math.abs(q[1] - p[1]) > 25, v = py => this.y[0] + (1 - (py - this.top) / this.ih) * (this.y[1] - this.y[0]);
    if (tall) this.y = [Math.max(this.full[0], Math.floor(v(Math.max(p[1], q[1]))) - 0.1), Math.min(this.full[1], Math.ceil(v(Math.min(p[1], q[1]))) + 0.1)];
    super.select(p, q);
  }
  brush(p, q) {
    const tall = Math.abs(q[1] - p[1]) > 25;
    this.mark(c => { c.fillStyle = "rgba(0,114,178,.15)"; c.fillRect(Math.min(p[0], q[0]), tall ? Math.min(p[1], q[1]) : this.top, Math.abs(q[0] - p[0]), tall ? Math.abs(q[1] - p[1]) : this.ih); });
  }
  wide() { this.y = this.full.slice(); }
  find(k) { this.focus = k; const j = this.run.jobs, length = j.end[k] - j.submitted[k]; this.x.set(j.submitted[k] - length * 0.5, j.end[k] + length * 0.5); this.dirty(); }
}

function jobText(run, k) {
  const j = run.jobs, word = f => j[f].words[j[f].codes[k]], wait = j.start[k] - j.submitted[k];
  const lines = [`job ${j.id[k]} · ${word("profile")}`, `${num(j.nodes[k], 9)} nodes: ${allocation(j.bars, k)}`, `submitted ${seconds(j.submitted[k])}, ran ${seconds(j.start[k])} to ${seconds(j.end[k])}`,
    `waited ${seconds(wait)}: ${j.whys[j.why[k]][0]}` + (j.held[k] > 0 ? `, ${seconds(j.held[k])} of it for storage` : "")];
  if (word("hold")) lines.push(`held by ${word("hold")}`);
  if (j.read[k] || j.written[k]) lines.push(`read ${bytes(j.read[k])}, wrote ${bytes(j.written[k])}`);
  if (word("storages")) {
    const names = new Map(run.storages.map(s => [String(s.id), s.name])), ids = word("storages").split(" ").flatMap(expand);
    lines.push(`${word("systems")}: ` + ids.slice(0, 8).map(i => names.get(i) || `storage ${i}`).join(", ") + (ids.length > 8 ? ` and ${ids.length - 8} more` : ""));
  }
  if (word("state") !== "COMPLETED_SUCCESSFULLY") lines.push(word("state"));
  return lines.join("\n");
}
function allocation(bars, k) {
  const found = [];
  bars.job.forEach((job, i) => { if (job === k) found.push(bars.low[i] === bars.high[i] ? `${bars.low[i]}` : `${bars.low[i]}-${bars.high[i]}`); });
  return found.slice(0, 12).join(" ") + (found.length > 12 ? " …" : "");
}
function expand(token) {
  const [a, b] = token.split("-").map(Number);
  return b === undefined ? [String(a)] : Array.from({ length: b - a + 1 }, (_, i) => String(a + i));
}

// Step functions: what holds from each breakpoint to the next.
class Steps extends Plot {
  constructor(parent, lines, x, options) {
    super(parent, { x, ...options });
    this.lines = lines; this.unit = options.unit; this.fill = options.fill; this.level = options.level; this.whole = options.whole;
    const many = lines.length > 8;
    if (!many) this.legend(lines.map((l, i) => [l.name, this.ink(l, i)]));
    else this.legend([[`${lines.length} storages, one line each; point at a line for its name`, CATEGORIES[0]]]);
  }
  // the same storages in another quantity
  show(lines, options) { this.lines = lines; Object.assign(this, options); this.dirty(); }
  ink(line, i) { return line.colour || (this.lines.length > 8 ? CATEGORIES[0] : CATEGORIES[i % 8]); }
  prepare() {
    // the highest value in sight, and the capacity where there is one
    let top = 0;
    for (const { t, v } of this.lines) {
      const i = Math.max(0, below(t, this.x.a)), k = below(t, this.x.b);
      for (let n = i; n <= k; n++) if (v[n] > top) top = v[n];
    }
    if (this.level) top = Math.max(top, ...this.level);
    this.y = [0, (top || 1) * 1.05];
    if (this.whole) this.y[1] = Math.max(this.y[1], 2);
  }
  paint(c) {
    for (const [i, line] of this.lines.entries()) {
      c.strokeStyle = this.ink(line, i); c.lineWidth = 1.3; c.globalAlpha = this.lines.length > 8 ? Math.max(0.15, 5 / this.lines.length) : 0.95;
      c.setLineDash(DASHES[Math.floor(i / 8) % 4]);
      c.beginPath(); this.trace(c, line); c.stroke(); c.setLineDash([]);
      if (this.fill) { c.lineTo(this.left + this.iw, this.py(0)); c.lineTo(this.left, this.py(0)); c.globalAlpha = 0.18; c.fillStyle = this.ink(line, i); c.fill(); }
    }
    c.globalAlpha = 1;
    c.setLineDash([5, 4]); c.strokeStyle = FAINT;
    for (const v of new Set(this.level || [])) { c.beginPath(); c.moveTo(this.left, this.py(v)); c.lineTo(this.left + this.iw, this.py(v)); c.stroke(); }
    c.setLineDash([]);
  }
  // one column of pixels at a time: in, lowest, highest, out; so the picture is that of all breakpoints
  trace(c, { t, v }) {
    let i = below(t, this.x.a), y = this.py(i < 0 ? 0 : v[i]), column = -1, lo = y, hi = y;
    c.moveTo(this.left, y);
    for (i += 1; i < t.length && t[i] <= this.x.b; i++) {
      const x = this.px(t[i]), k = Math.floor(x), next = this.py(v[i]);
      if (k !== column) { if (column >= 0 && lo !== hi) { c.lineTo(column + 0.5, lo); c.lineTo(column + 0.5, hi); c.lineTo(column + 0.5, y); } column = k; lo = hi = y; c.lineTo(k + 0.5, y); }
      lo = Math.min(lo, next); hi = Math.max(hi, next); y = next;
    }
    if (column >= 0) { c.lineTo(column + 0.5, lo); c.lineTo(column + 0.5, hi); c.lineTo(column + 0.5, y); }
    c.lineTo(this.left + this.iw, y);
  }
  hover(px, py) {
    const t = this.tx(px), at = this.lines.map(l => { const i = below(l.t, t); return i < 0 ? 0 : l.v[i]; });
    this.mark(c => { c.strokeStyle = FAINT; c.beginPath(); c.moveTo(px, this.top); c.lineTo(px, this.top + this.ih); c.stroke(); });
    const text = i => `${this.lines[i].name}: ${show(at[i], this.unit || "")}`;
    if (this.lines.length <= 8) return [`at ${seconds(t)}`, ...at.map((_, i) => text(i))].join("\n");
    let best = 0;
    at.forEach((v, i) => { if (Math.abs(this.py(v) - py) < Math.abs(this.py(at[best]) - py)) best = i; });
    return `at ${seconds(t)}\n${text(best)}`;
  }
}

// Storages x time.
class Heat extends Plot {
  constructor(parent, heat, x, options) {
    super(parent, { x, height: Math.min(560, 56 + Math.max(60, Math.min(22, Math.max(5, 400 / heat.ids.length)) * heat.ids.length)), left: 110, yLabel: "", label: "Heat map of storage load", ...options });
    this.heat = heat; this.kind("mean");
  }
  kind(k) {
    this.rows = this.heat.rows[k]; this.unit = { mean: "B/s", peak: "B/s", share: "%", reserved: "%", transfers: "transfers" }[k];
    this.topValue = this.rows.reduce((m, r) => r.reduce((n, v) => Math.max(n, v), m), 0);
    this.legend([0, 0.25, 0.5, 0.75, 1].map(f => [show(f * this.topValue, this.unit), cividis(f)]));
    this.dirty();
  }
  bin(t) { const [a, b] = this.x.full; return Math.floor((t - a) / (b - a) * this.rows[0].length); }
  paint(c) {
    const [a, b] = this.x.full, n = this.rows[0].length, step = (b - a) / n, h = this.ih / this.rows.length;
    const palette = Array.from({ length: 256 }, (_, i) => cividis(i / 255));
    this.rows.forEach((row, r) => row.forEach((v, i) => {
      const x0 = this.px(a + i * step), x1 = this.px(a + (i + 1) * step);
      if (x1 < this.left || x0 > this.left + this.iw) return;
      c.fillStyle = palette[Math.round(255 * (this.topValue ? v / this.topValue : 0))];
      c.fillRect(x0, this.top + r * h, x1 - x0 + 0.6, h + (h < 4 ? 0.6 : -1));
    }));
  }
  axes(c) {
    super.axes(c);
    c.textAlign = "right"; c.textBaseline = "middle"; c.fillStyle = FAINT;
    const h = this.ih / this.rows.length, every = Math.ceil(12 / h);
    this.heat.names.forEach((name, i) => { if (i % every === 0) c.fillText(name.length > 16 ? name.slice(0, 15) + "…" : name, this.left - 6, this.top + (i + 0.5) * h); });
  }
  hover(px, py) {
    const r = Math.floor((py - this.top) / this.ih * this.rows.length), i = this.bin(this.tx(px)), [a, b] = this.x.full, step = (b - a) / this.rows[0].length;
    if (!this.rows[r] || i < 0 || i >= this.rows[r].length) return null;
    const of = k => this.heat.rows[k][r][i];
    return `${this.heat.names[r]} (storage ${this.heat.ids[r]})\n${seconds(a + i * step)} to ${seconds(a + (i + 1) * step)}\nbandwidth: mean ${show(of("mean"), "B/s")}, peak ${show(of("peak"), "B/s")}${this.heat.rows.share ? `, ${num(of("share"))} % of its own` : ""}\nreserved: up to ${num(of("reserved"))} %\ntransfers: up to ${num(of("transfers"))}`;
  }
}

// Where a logarithmic axis begins: times below a second (mostly 0) are drawn at one second.
const logFloor = (metric, least) => metric.unit === "s" ? Math.max(1, least) : Math.max(1e-3, least);

// Distribution functions, on a linear or logarithmic axis.
class Ecdf extends Plot {
  constructor(parent, metric, logarithmic, order) {
    const all = metric.lines.flatMap(l => [l.x[0], l.x[l.x.length - 1]]), floor = logarithmic ? logFloor(metric, Math.min(...all)) : Math.min(...all);
    const f = logarithmic ? v => Math.log10(Math.max(v, floor)) : v => v;
    const x = new Range(f(Math.min(...all)), f(Math.max(...all)));
    super(parent, { x, height: 260, yLabel: "share of jobs", xLabel: metric.title + (metric.unit ? ` (${metric.unit})` : ""), label: `Distribution of ${metric.title}` });
    this.metric = metric; this.f = f; this.logarithmic = logarithmic; this.y = [0, 1.02]; this.order = order;
    this.legend(metric.lines.map(l => [l.label, CATEGORIES[order.indexOf(l.label) % 8]]));
  }
  xTicks(c) {
    if (!this.logarithmic) return super.xTicks(c);
    c.textAlign = "center"; c.textBaseline = "top";
    const wide = this.x.b - this.x.a > 1.2;
    for (let e = Math.floor(this.x.a); e <= this.x.b; e++) for (const m of wide ? [1] : [1, 2, 5]) {
      const p = this.px(Math.log10(m) + e);
      if (p < this.left || p > this.left + this.iw) continue;
      c.beginPath(); c.moveTo(p, this.top); c.lineTo(p, this.top + this.ih); c.stroke(); c.fillText(num(m * 10 ** e), p, this.top + this.ih + 5);
    }
  }
  paint(c) {
    this.metric.lines.forEach(l => {
      const i = this.order.indexOf(l.label);
      c.strokeStyle = CATEGORIES[i % 8]; c.setLineDash(DASHES[Math.floor(i / 8) % 4]); c.lineWidth = 1.6;
      c.beginPath(); c.moveTo(this.px(this.f(l.x[0])), this.py(0));
      let last = 0;
      l.x.forEach((v, k) => { const p = this.px(this.f(v)); c.lineTo(p, this.py(last)); c.lineTo(p, this.py(l.y[k])); last = l.y[k]; });
      c.lineTo(this.left + this.iw, this.py(1)); c.stroke(); c.setLineDash([]);
    });
  }
  hover(px) {
    const v = this.tx(px), value = this.logarithmic ? 10 ** v : v;
    this.mark(c => { c.strokeStyle = FAINT; c.beginPath(); c.moveTo(px, this.top); c.lineTo(px, this.top + this.ih); c.stroke(); });
    return [`${this.metric.title} at most ${show(value, this.metric.unit)}`, ...this.metric.lines.map(l => { const i = below(l.x, value); return `${l.label}: ${num(i < 0 ? 0 : 100 * l.y[i])} % of ${num(l.n, 9)} jobs`; })].join("\n");
  }
}

// Letter values: nested boxes of the fourths, eighths, sixteenths, ...
class Letters extends Plot {
  constructor(parent, metric, logarithmic, order) {
    const all = metric.lines.flatMap(l => [...l.pairs.flat(), ...l.outliers, l.median]);
    const floor = logFloor(metric, Math.min(...all)), f = logarithmic ? v => Math.log10(Math.max(v, floor)) : v => v;
    const x = new Range(f(Math.min(...all)), f(Math.max(...all)));
    super(parent, { x, height: 52 + 34 * metric.lines.length, left: 130, xLabel: metric.title + (metric.unit ? ` (${metric.unit})` : ""), label: `Letter values of ${metric.title}` });
    this.metric = metric; this.f = f; this.logarithmic = logarithmic; this.order = order;
  }
  xTicks(c) { Ecdf.prototype.xTicks.call(this, c); }
  paint(c) {
    const h = this.ih / this.metric.lines.length;
    this.metric.lines.forEach((l, i) => {
      const mid = this.top + (i + 0.5) * h;
      c.fillStyle = CATEGORIES[this.order.indexOf(l.label) % 8];
      for (let d = l.pairs.length - 1; d >= 0; d--) {
        const [a, b] = l.pairs[d].map(v => this.px(this.f(v))), s = h * 0.8 * (1 - d / l.pairs.length * 0.85);
        c.globalAlpha = 0.3 + 0.7 * (1 - d / l.pairs.length); c.fillRect(a, mid - s / 2, Math.max(1, b - a), s);
      }
      c.globalAlpha = 0.8; l.outliers.forEach(v => c.fillRect(this.px(this.f(v)) - 1.2, mid - 1.2, 2.4, 2.4)); c.globalAlpha = 1;
      c.fillStyle = PAGE; c.fillRect(this.px(this.f(l.median)) - 1, mid - h * 0.4, 2, h * 0.8);
    });
  }
  axes(c) {
    super.axes(c);
    const h = this.ih / this.metric.lines.length;
    c.textAlign = "right"; c.textBaseline = "middle"; c.fillStyle = INK;
    this.metric.lines.forEach((l, i) => c.fillText(l.label.length > 20 ? l.label.slice(0, 19) + "…" : l.label, this.left - 8, this.top + (i + 0.5) * h));
  }
  hover(px, py) {
    const l = this.metric.lines[Math.floor((py - this.top) / this.ih * this.metric.lines.length)];
    if (!l) return null;
    const u = this.metric.unit, name = ["half", "three quarters", "7 of 8", "15 of 16", "31 of 32", "63 of 64", "127 of 128"];
    return [`${l.label}: ${num(l.n, 9)} jobs, median ${show(l.median, u)}`, ...l.pairs.slice(0, 7).map(([a, b], i) => `${name[i]}: ${show(a, u)} to ${show(b, u)}`)].join("\n");
  }
}
