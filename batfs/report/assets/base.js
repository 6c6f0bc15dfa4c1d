"use strict";
// Numbers, colours, scales and the frame every chart stands in. No dependencies; works from a file:// page.
const CATEGORIES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F", "#B8A800"];
const DASHES = [[], [7, 3], [2, 2], [7, 2, 2, 2]];
const WHY = [["started at once", "#B8C4CE"], ["waited for nodes", "#0072B2"], ["waited for storage", "#E69F00"]];
const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
// colours of the surroundings: those of the style sheet, on paper the light ones
let INK, FAINT, LINE, PAGE, BAR;
function theme(paper) {
  const style = getComputedStyle(document.documentElement), of = (name, light) => paper ? light : style.getPropertyValue(name).trim() || light;
  INK = of("--ink", "#1f2933"); FAINT = of("--faint", "#52606d"); LINE = of("--line", "#e4e7eb"); PAGE = of("--page", "#fff"); BAR = of("--bar", "#d5dbe1");
}
theme(matchMedia("print").matches);

function num(v, digits = 4) {
  if (v === null || v === undefined || Number.isNaN(v)) return "–";
  if (!Number.isFinite(v)) return v > 0 ? "∞" : "-∞";
  if (v === 0) return "0";
  const m = Math.floor(Math.log10(Math.abs(v)));
  if (m >= 9 || m < -5) return v.toExponential(digits - 1);
  return v.toLocaleString("en", { maximumFractionDigits: Math.max(0, digits - 1 - m) }).replace(/,/g, "\u202f");
}
function bytes(v) {
  for (const [s, p] of [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) if (Math.abs(v) >= s) return num(v / s) + " " + p + "B";
  return num(v) + " B";
}
function seconds(v) {
  const a = Math.abs(v);
  if (a < 600) return num(v) + " s";
  if (a < 7200) return num(v / 60) + " min";
  if (a < 172800) return num(v / 3600) + " h";
  return num(v / 86400) + " d";
}
function timeUnit(span) {
  return span <= 600 ? [1, "s"] : span <= 7200 ? [60, "min"] : span <= 172800 ? [3600, "h"] : [86400, "d"];
}
function show(v, unit) {
  if (unit === "B") return bytes(v);
  if (unit === "B/s") return bytes(v) + "/s";
  if (unit === "s") return seconds(v);
  return (num(v) + " " + unit).trim();
}
// the factor and name of the unit an axis up to `top` is labelled in
function axisUnit(unit, top) {
  if (unit === "B" || unit === "B/s") {
    for (const [s, p] of [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) if (top >= s) return [s, p + unit];
    return [1, unit];
  }
  return [1, unit];
}
function cividis(x) {
  const p = Math.min(0.99999, Math.max(0, x)) * (CIVIDIS.length - 1), i = Math.floor(p), f = p - i;
  const mix = k => Math.round(parseInt(CIVIDIS[i].slice(k, k + 2), 16) * (1 - f) + parseInt(CIVIDIS[i + 1].slice(k, k + 2), 16) * f);
  return `rgb(${mix(1)},${mix(3)},${mix(5)})`;
}
function ticks(a, b, count) {
  const raw = (b - a) / Math.max(1, count), mag = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 5, 10].map(k => k * mag).find(s => s >= raw * 0.999) || 10 * mag, found = [];
  for (let t = Math.ceil(a / step - 1e-9) * step; t <= b + step * 1e-9; t += step) found.push(Math.abs(t) < step * 1e-9 ? 0 : t);
  return [found, step];
}
// last index whose value is <= x, or -1
function below(sorted, x) {
  let lo = 0, hi = sorted.length;
  while (lo < hi) { const mid = (lo + hi) >> 1; if (sorted[mid] <= x) lo = mid + 1; else hi = mid; }
  return lo - 1;
}
function el(tag, attrs = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) if (k.startsWith("on")) e.addEventListener(k.slice(2), v); else if (v !== undefined) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

const tip = {
  show(text, x, y) {
    const t = document.getElementById("tip");
    t.textContent = text; t.style.display = "block";
    const w = t.offsetWidth, h = t.offsetHeight;
    t.style.left = Math.max(4, x + 16 + w > innerWidth ? x - w - 12 : x + 16) + "px";
    t.style.top = Math.max(4, y + 16 + h > innerHeight ? y - h - 10 : y + 16) + "px";
  },
  hide() { document.getElementById("tip").style.display = "none"; },
};

// A range of x that several charts share: zooming one zooms all.
class Range {
  constructor(a, b) { this.full = [a, b > a ? b : a + 1]; this.a = this.full[0]; this.b = this.full[1]; this.users = []; }
  set(a, b) {
    const [lo, hi] = this.full, least = (hi - lo) * 1e-7;
    if (b - a < least) { const m = (a + b) / 2; a = m - least / 2; b = m + least / 2; }
    if (b - a >= hi - lo) { a = lo; b = hi; }
    else if (a < lo) { b += lo - a; a = lo; } else if (b > hi) { a -= b - hi; b = hi; }
    this.a = a; this.b = b; this.users.forEach(u => u.dirty());
  }
  zoom(f, at) { this.set(at - (at - this.a) * f, at + (this.b - at) * f); }
  pan(share) { const d = (this.b - this.a) * share; this.set(this.a + d, this.b + d); }
  reset() { this.set(...this.full); }
}

// A canvas with axes. Subclasses give paint(c), hover(px, py) and, where they have one, a y range.
// Drag zooms, double click shows everything, Ctrl+wheel zooms, Shift+drag moves; keys + - arrows 0.
// Without Ctrl the wheel scrolls the page, as everywhere.
let PAINTED = 0;
const PLOTS = [];
function repaint(paper, all) { theme(paper); PLOTS.forEach(p => { if (p.box.isConnected && (all || p.stale)) { p.recolour(); p.draw(); } }); }
window.addEventListener("beforeprint", () => repaint(true, true));
window.addEventListener("afterprint", () => repaint(false, true));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { theme(false); PLOTS.forEach(p => { p.recolour(); p.dirty(); }); });

// A link that the browser saves what it leads to under this name.
function download(blob, name) {
  const a = el("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(a); a.click(); a.remove();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}
const fileName = text => (text.normalize("NFKD").replace(/[^\w.=-]+/g, "_").replace(/^_+|_+$/g, "") || "figure");
// An SVG of the page as a file of its own: with the colours it has here.
function saveSvg(svg, name) {
  const copy = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((e, i) => { const s = getComputedStyle(e); for (const k of ["fill", "stroke", "font-size", "font-family", "stroke-width", "text-anchor"]) to[i].style.setProperty(k, s.getPropertyValue(k)); });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  download(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }), name + ".svg");
}
class Plot {
  constructor(parent, { height = 220, x, title = "", yLabel = "", xLabel = "", left = 60, right = 14, bottom = 36, top = 8, zoom = true, label = "" }) {
    Object.assign(this, { height, x, yLabel, xLabel, left, right, bottom, top });
    this.name = label || title || yLabel;
    const save = el("button", { type: "button", class: "save", "aria-label": `save the figure ${this.name} as PNG`, onclick: () => this.save() }, "save");
    parent.append(el("div", { class: "head" }, title ? el("h4", {}, title) : el("span"), save));
    this.legendBox = el("div", { class: "legend" });
    this.box = el("div", { class: "plot" });
    this.main = el("canvas", {});
    this.over = el("canvas", { class: "over", tabindex: zoom ? "0" : undefined, role: "img", "aria-label": this.name + (zoom ? ". Keys: plus and minus zoom, arrows move, 0 shows everything" : "") });
    this.box.append(this.main, this.over);
    parent.append(this.legendBox, this.box);
    x.users.push(this);
    for (const c of [this.main, this.over]) c.style.height = height + "px";
    PLOTS.push(this);
    this.seen = this.box.getBoundingClientRect().top < innerHeight + 300;
    new ResizeObserver(() => this.dirty()).observe(this.box);
    // drawn when first near the window, kept as a picture then: scrolling repaints nothing
    const near = new IntersectionObserver(es => { this.seen = es.some(e => e.isIntersecting); if (this.seen && this.stale) this.dirty(); }, { rootMargin: "300px" });
    near.observe(this.box);
    this.listen(zoom);
    this.dirty();
  }
  legend(entries) {
    this.legendBox.replaceChildren(...entries.map(([text, colour]) => el("span", {}, el("span", { class: "swatch", style: `background:${colour}` }), text)));
  }
  dirty() {
    this.stale = true;
    if (this.queued || !this.seen) return;
    this.queued = true;
    // a frame where there are frames, a timer where the page is drawn without any (headless, background tabs)
    const go = () => { if (this.queued) { this.queued = false; this.draw(); } };
    requestAnimationFrame(go); setTimeout(go, 100);
  }
  draw() {
    const w = this.box.clientWidth, r = window.devicePixelRatio || 1;
    if (!w) return;
    this.stale = false;
    for (const c of [this.main, this.over]) { c.width = Math.round(w * r); c.height = Math.round(this.height * r); c.style.height = this.height + "px"; }
    this.w = w; this.iw = w - this.left - this.right; this.ih = this.height - this.top - this.bottom;
    const c = this.main.getContext("2d");
    c.setTransform(r, 0, 0, r, 0, 0); c.fillStyle = PAGE; c.fillRect(0, 0, w, this.height);
    c.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    this.prepare();
    this.axes(c);
    c.save(); c.beginPath(); c.rect(this.left, this.top, this.iw, this.ih); c.clip();
    this.paint(c);
    c.restore();
    PAINTED += 1; document.documentElement.dataset.painted = PAINTED;
  }
  recolour() {}
  // the figure as it is shown now, with its legend below
  save() {
    this.draw();
    const r = window.devicePixelRatio || 1, names = [...this.legendBox.children].map(s => [s.textContent, s.firstElementChild.style.background]), row = 18 * r;
    const all = document.createElement("canvas"), c = all.getContext("2d");
    all.width = this.main.width; c.font = `${12 * r}px system-ui, 'DejaVu Sans', sans-serif`;
    const lines = [[]]; let x = 0;
    for (const [text, colour] of names) { const w = c.measureText(text).width + 34 * r; if (x + w > all.width) { lines.push([]); x = 0; } lines[lines.length - 1].push([text, colour, x]); x += w; }
    all.height = this.main.height + row * (1 + lines.length + 1);
    c.fillStyle = PAGE; c.fillRect(0, 0, all.width, all.height);
    c.font = `bold ${13 * r}px system-ui, 'DejaVu Sans', sans-serif`; c.fillStyle = INK; c.textBaseline = "middle"; c.fillText(this.name, 8 * r, row * 0.6);
    c.drawImage(this.main, 0, row * 1.2);
    c.font = `${12 * r}px system-ui, 'DejaVu Sans', sans-serif`;
    lines.forEach((line, i) => line.forEach(([text, colour, x0]) => { const y = this.main.height + row * (1.7 + i); c.fillStyle = colour; c.fillRect(x0 + 8 * r, y - 5 * r, 10 * r, 10 * r); c.fillStyle = INK; c.fillText(text, x0 + 23 * r, y); }));
    all.toBlob(blob => download(blob, fileName(`${document.title} ${this.name}`) + ".png"));
  }
  prepare() {}
  px(t) { return this.left + this.fx(t) * this.iw; }
  fx(t) { return (t - this.x.a) / (this.x.b - this.x.a); }
  tx(p) { return this.x.a + (p - this.left) / this.iw * (this.x.b - this.x.a); }
  py(v) { return this.top + (1 - (v - this.y[0]) / (this.y[1] - this.y[0])) * this.ih; }
  axes(c) {
    c.strokeStyle = LINE; c.fillStyle = FAINT; c.lineWidth = 1;
    this.xTicks(c);
    if (this.y) this.yTicks(c);
    c.fillStyle = FAINT; c.textAlign = "center"; c.textBaseline = "alphabetic";
    c.fillText(this.xLabel || `time (${timeUnit(this.x.full[1])[1]})`, this.left + this.iw / 2, this.height - 4);
    if (this.yLabel) { c.save(); c.translate(12, this.top + this.ih / 2); c.rotate(-Math.PI / 2); c.fillText(this.yLabel + (this.yUnitText || ""), 0, 0); c.restore(); }
  }
  xTicks(c) {
    const [scale] = this.xLabel ? [1] : timeUnit(this.x.full[1]);
    c.textAlign = "center"; c.textBaseline = "top";
    for (const t of ticks(this.x.a / scale, this.x.b / scale, Math.floor(this.iw / 90))[0]) {
      const p = this.px(t * scale);
      c.beginPath(); c.moveTo(p, this.top); c.lineTo(p, this.top + this.ih); c.stroke();
      c.fillText(num(t, 7), p, this.top + this.ih + 5);
    }
  }
  yTicks(c) {
    const [scale, unit] = axisUnit(this.unit || "", this.y[1]);
    this.yUnitText = unit ? ` (${unit})` : "";
    c.textAlign = "right"; c.textBaseline = "middle";
    for (const v of ticks(this.y[0] / scale, this.y[1] / scale, Math.floor(this.ih / 34))[0]) {
      const p = this.py(v * scale);
      c.beginPath(); c.moveTo(this.left, p); c.lineTo(this.left + this.iw, p); c.stroke();
      c.fillText(num(v), this.left - 6, p);
    }
  }
  listen(zoom) {
    const o = this.over, at = e => { const r = o.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
    let from = null, moved = null;
    o.addEventListener("pointermove", e => {
      if (this.w === undefined) return;
      const [x, y] = at(e);
      if (moved) { this.x.set(moved.a - (x - moved.x) / this.iw * (moved.b - moved.a), moved.b - (x - moved.x) / this.iw * (moved.b - moved.a)); return; }
      this.mark();
      if (from) { this.brush(from, [x, y]); return; }
      const inside = x >= this.left && x <= this.left + this.iw && y >= this.top && y <= this.top + this.ih;
      const text = inside ? this.hover(x, y) : null;
      if (text) tip.show(text, e.clientX, e.clientY); else tip.hide();
    });
    o.addEventListener("pointerleave", () => { tip.hide(); if (!from) this.mark(); });
    if (!zoom) return;
    o.addEventListener("pointerdown", e => {
      if (e.button) return;
      o.setPointerCapture(e.pointerId);
      if (e.shiftKey) moved = { x: at(e)[0], a: this.x.a, b: this.x.b }; else from = at(e);
    });
    o.addEventListener("pointerup", e => {
      const to = at(e);
      if (from && Math.hypot(to[0] - from[0], to[1] - from[1]) > 6) this.select(from, to); else if (from && this.click) this.click(...to);
      from = moved = null; this.mark();
    });
    o.addEventListener("dblclick", () => { this.wide(); this.x.reset(); });
    o.addEventListener("wheel", e => { if (!(e.ctrlKey || e.metaKey)) return; e.preventDefault(); this.x.zoom(Math.exp(e.deltaY * 0.002), this.tx(at(e)[0])); }, { passive: false });
    o.addEventListener("keydown", e => {
      const mid = (this.x.a + this.x.b) / 2;
      const act = { "+": () => this.x.zoom(0.6, mid), "=": () => this.x.zoom(0.6, mid), "-": () => this.x.zoom(1 / 0.6, mid), ArrowLeft: () => this.x.pan(-0.2), ArrowRight: () => this.x.pan(0.2), 0: () => { this.wide(); this.x.reset(); } }[e.key];
      if (act) { e.preventDefault(); act(); }
    });
  }
  wide() {}
  select(p, q) { this.x.set(this.tx(Math.min(p[0], q[0])), this.tx(Math.max(p[0], q[0]))); }
  mark(drawing) {
    const c = this.over.getContext("2d"), r = window.devicePixelRatio || 1;
    c.setTransform(r, 0, 0, r, 0, 0); c.clearRect(0, 0, this.w, this.height);
    if (drawing) { c.save(); c.beginPath(); c.rect(this.left, this.top, this.iw, this.ih); c.clip(); drawing(c); c.restore(); }
  }
  brush(p, q) {
    this.mark(c => { c.fillStyle = "rgba(0,114,178,.15)"; c.fillRect(Math.min(p[0], q[0]), this.top, Math.abs(q[0] - p[0]), this.ih); });
  }
  hover() { return null; }
}
