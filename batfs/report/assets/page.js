"use strict";
// Unpacks the data and lays the charts out.
async function unpack(id) {
  const text = document.getElementById(id).textContent.trim(), raw = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old to unpack the data (it lacks DecompressionStream); any browser since 2023 does");
  return JSON.parse(await new Response(new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"))).text());
}

function select(label, options, change) {
  const s = el("select", { onchange: e => change(e.target.value) }, ...options.map(([v, t]) => el("option", { value: v }, t)));
  return el("label", {}, label + " ", s);
}

async function showRun(index) {
  const home = document.getElementById("run");
  home.replaceChildren(el("p", { class: "note" }, "unpacking…"));
  const run = await unpack(`run-${index}`), x = new Range(...run.span), j = run.jobs;
  home.replaceChildren();
  home.append(el("p", { class: "note by-hand" }, "Drag over a chart to zoom, double-click to see everything again, Shift+drag to move, Ctrl+wheel to zoom where you point. The charts of a run move together."));

  const holder = el("div"), count = j.id.length;
  const tools = el("div", { class: "tools" });
  home.append(el("h3", {}, `Jobs (${num(count, 9)})`), tools, holder);
  const gantt = new Gantt(holder, run, x, {});
  const search = el("input", { placeholder: "find job…", "aria-label": "find job", size: 14, onchange: e => {
    const word = e.target.value.trim(), k = j.id.findIndex(n => n === word || n.slice(n.indexOf("!") + 1) === word);
    if (word && k >= 0) gantt.find(k); else { gantt.focus = -1; gantt.dirty(); if (word) tip.show(`no job ${word}`, 80, 80); }
  } });
  tools.append(select("colour:", [["why", "why it waited"], ["wait", "how long it waited"], ["bytes", "bytes read and written"], ["system", "file system"]], v => gantt.colour(v)), search,
    el("button", { type: "button", onclick: () => { gantt.focus = -1; gantt.wide(); x.reset(); } }, "show all"));

  new Steps(home, [{ name: "all waiting jobs", colour: WHY[1][1], ...run.queue }, { name: "waiting for storage", colour: WHY[2][1], ...run.storageQueue }], x, { title: "Queue length", height: 170, yLabel: "jobs", fill: true, whole: true, label: "Queue length over time" });
  new Steps(home, [{ name: "nodes with a job", colour: CATEGORIES[2], ...run.busy }], x, { title: "Busy nodes", height: 130, yLabel: "nodes", fill: true, level: [run.nodes], label: "Busy nodes over time" });

  const systems = [...new Set(run.storages.map(s => s.fs))];
  if (systems.length) {
    // storages of one file system on axes of their own: bytes, or each in shares of what it has
    const bar = el("div", { class: "tools" }), changes = [];
    home.append(el("h3", {}, "Storages by file system"), bar);
    bar.append(select("show:", [["bytes", "bytes"], ["share", "shares of each storage's own capacity and bandwidth"]], v => changes.forEach(f => f(v))));
    for (const fs of systems) {
      const mine = run.storages.filter(s => s.fs === fs), line = k => mine.filter(s => s[k]).map(s => ({ name: s.name, ...s[k] }));
      home.append(el("h3", {}, `${fs}: ${mine.length} storage${mine.length > 1 ? "s" : ""}`));
      const share = mine.filter(s => s.reserved && s.capacity).map(s => ({ name: s.name, t: s.reserved.t, v: s.reserved.v.map(v => 100 * v / s.capacity) }));
      const both = (title, of, bytes, shares, withShares) => {
        if (!bytes.length) return;
        const plot = new Steps(home, bytes, x, { title, label: `${title}, ${fs}`, height: 190, ...of, ...(of.level ? { level: mine.map(s => s.capacity) } : {}) });
        if (shares.length) changes.push(v => v === "share" ? plot.show(shares, { unit: "%", level: withShares }) : plot.show(bytes, { unit: of.unit, level: of.level ? mine.map(s => s.capacity) : undefined }));
      };
      both("Reserved capacity (dashed: capacity)", { unit: "B", yLabel: "reserved", level: true }, line("reserved"), share, [100]);
      both("Bandwidth used, reads and writes (each job's bytes spread evenly over its run)", { unit: "B/s", yLabel: "bandwidth" }, line("bandwidth"), line("share"), [100]);
      if (line("transfers").length) new Steps(home, line("transfers"), x, { title: "Transfers under way", label: `Transfers under way, ${fs}`, height: 140, yLabel: "transfers", whole: true });
    }
  }
  if (run.heat && run.heat.ids.length) {
    home.append(el("h3", {}, "Storage load"));
    const bar = el("div", { class: "tools" }), place = el("div");
    home.append(bar, place);
    const heat = new Heat(place, run.heat, x, {});
    bar.append(select("show:", [["mean", "mean bandwidth"], ["peak", "peak bandwidth"], ...(run.heat.rows.share ? [["share", "share of a storage's own bandwidth (mean)"]] : []), ["reserved", "share of capacity reserved (peak)"], ["transfers", "transfers at once (peak)"]], v => heat.kind(v)));
    if (run.heat.ids.length < run.storages.length) bar.append(`the ${run.heat.ids.length} storages that moved most of ${run.storages.length}`);
  }
  if (j.refused.length) {
    home.append(el("h3", {}, `Refused jobs (${num(j.refused.length, 9)})`), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Refused jobs" }, el("table", {}, el("tr", {}, ...["job", "submitted", "nodes", "why"].map(h => el("th", { scope: "col", class: h === "why" ? "text" : "" }, h))),
      ...j.refused.slice(0, 200).map(r => el("tr", {}, el("th", { scope: "row" }, r.id), el("td", {}, seconds(r.submitted)), el("td", {}, String(r.nodes)), el("td", { class: "wide" }, r.why || "–"))))));
  }
}

async function distributions() {
  const found = await unpack("distributions"), home = document.getElementById("distribution-charts"), order = JSON.parse(document.getElementById("labels").textContent);
  const bar = el("div", { class: "tools" }), place = el("div", { class: "two" });
  home.append(bar, place);
  let metric = found[0], scale = "auto";
  const draw = () => {
    const tall = metric.lines.some(l => l.median > 0 && l.x[l.x.length - 1] > 100 * l.median), logarithmic = scale === "auto" ? tall : scale === "log";
    place.replaceChildren(el("div"), el("div"));
    new Ecdf(place.children[0], metric, logarithmic, order); new Letters(place.children[1], metric, logarithmic, order);
  };
  bar.append(select("figure:", found.map(m => [m.name, m.title]), v => { metric = found.find(m => m.name === v); draw(); }),
    select("axis:", [["auto", "as fits"], ["linear", "linear"], ["log", "logarithmic"]], v => { scale = v; draw(); }));
  draw();
}

// The way to the results for keyboards, and to each section; every one of them has a heading of its own.
function contents() {
  document.body.prepend(el("a", { class: "skip", href: "#main" }, "Skip to the results"));
  const nav = document.getElementById("contents");
  nav.append(el("ul", {}, ...[...document.querySelectorAll("main h2")].map(h => el("li", {}, el("a", { href: "#" + h.id }, h.textContent)))));
  nav.hidden = false;
}

async function start() {
  window.addEventListener("error", e => { document.documentElement.dataset.error = e.message; });
  try {
    contents();
    document.querySelectorAll("button[data-save=svg]").forEach(b => b.addEventListener("click", () => { const f = b.closest("figure"); saveSvg(f.querySelector("svg"), fileName(f.querySelector("figcaption span").textContent)); }));
    if (document.getElementById("distributions")) await distributions();
    const chooser = document.getElementById("which");
    if (chooser) chooser.addEventListener("change", e => showRun(e.target.value));
    if (document.getElementById("run")) await showRun(0);
    document.getElementById("loading").remove();
    document.documentElement.dataset.ready = "yes";
  } catch (e) {
    document.documentElement.dataset.error = e.message;
    document.getElementById("loading").textContent = "The charts can't be drawn: " + e.message;
  }
}
start();
