"use strict";
// Draws speed against memory, as it was measured, and which of that somebody publishes for the board.

const SVG = "http://www.w3.org/2000/svg";
function shape(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Told apart by their shapes, too.
const KINDS = {
  w4: { label: "w4a16", draw: (x, y) => shape("circle", { cx: x, cy: y, r: 6 }) },
  w8: { label: "w8a8", draw: (x, y) => shape("rect", { x: x - 5.5, y: y - 5.5, width: 11, height: 11 }) },
  other: { label: "w4a8, fp16", draw: (x, y) => shape("path", { d: `M${x} ${y - 7}l7 12h-14z` }) },
};
const kind = (quant) => (quant.startsWith("w4a16") ? "w4" : quant.startsWith("w8") ? "w8" : "other");

const REACH = 14; // pixels from a mark within which a pointer or finger means it: it is 28 of them wide

let plotted = null;
let marks = []; // of each figure: {figure, element, label, x, y, rows, others, status, isAsked}
let tabStop = null; // the mark at which the Tab key stops
let pointed = null; // the mark of which the line beneath tells

function drawPlot() {
  const figures = (facts.measured[state.soc] ?? []).map(([model, series, quant, bytes, speed, source]) => ({ model, series, quant, bytes, speed, source }));
  by("plot-part").hidden = figures.length === 0;
  const width = by("plot").clientWidth || 340; // none while it is folded
  const asked = [state.soc, state.mem, document.documentElement.lang, width].join("/");
  if (plotted === asked) return;
  // Drawn anew for another width, it stays where somebody is.
  const isSame = plotted?.startsWith(`${state.soc}/`);
  const [stopped, pointedAt] = [tabStop, pointed].map((mark) => (isSame ? marks.indexOf(mark) : -1));
  const hadFocus = by("plot").contains(document.activeElement);
  plotted = asked;
  marks = [];
  if (figures.length === 0) return;
  by("plot-title").textContent = say("plot-title", { soc: state.soc.toUpperCase() });
  const at = scales(figures, width);
  const svg = shape("svg", { viewBox: `0 0 ${at.width} ${at.height}`, role: "group", "aria-labelledby": "plot-title" });
  svg.append(...axes(at), ...limitLine(at), ...pairs(figures, at));
  for (const figure of figures) svg.append(drawMark(figure, at));
  for (const mark of marks) svg.append(mark.label);
  svg.addEventListener("keydown", walk);
  svg.addEventListener("pointermove", (event) => {
    const near = event.pointerType === "touch" ? null : nearest(event);
    if (near && near !== pointed) tell(near);
  });
  svg.addEventListener("click", (event) => press(nearest(event), event));
  by("plot").replaceChildren(make("p", { class: "legend" }), svg);
  by("plot-table").replaceChildren(asTable(figures));
  for (const mark of marks) placeLabel(mark, at);
  pointed = marks[pointedAt] ?? null;
  stopAt(marks[stopped]);
  if (hadFocus) tabStop?.element.focus();
}

// A unit of the drawing is a pixel, so that neither its words nor what is to be hit shrink with it.
function scales(figures, width) {
  const [height, left, bottom, top, right] = [width < 600 ? 300 : 330, 44, 44, 22, 14];
  const most = Math.max(...figures.map((f) => f.bytes)) / 1e9;
  const fastest = Math.max(...figures.map((f) => f.speed));
  return {
    width, height, left, bottom, top, right, most: most * 1.05, fastest: fastest * 1.08,
    x: (gb) => left + (gb / (most * 1.05)) * (width - left - right),
    y: (speed) => height - bottom - (speed / (fastest * 1.08)) * (height - bottom - top),
  };
}

function axes({ width, height, left, bottom, top, right, most, fastest, x, y }) {
  const parts = [];
  for (let gb = 0; gb <= most; gb += most > 6.5 ? 2 : 1) {
    parts.push(shape("line", { class: "axis", x1: x(gb), x2: x(gb), y1: top, y2: height - bottom }));
    parts.push(shape("text", { x: x(gb), y: height - bottom + 16, "text-anchor": "middle" }, String(gb)));
  }
  for (let speed = 0; speed <= fastest; speed += fastest > 30 ? 10 : 5) {
    parts.push(shape("line", { class: "axis", x1: left, x2: width - right, y1: y(speed), y2: y(speed) }));
    parts.push(shape("text", { x: left - 8, y: y(speed) + 4, "text-anchor": "end" }, String(speed)));
  }
  const middle = (height - bottom) / 2;
  parts.push(shape("text", { x: (width + left) / 2, y: height - 8, "text-anchor": "middle" }, say("plot-x")));
  parts.push(shape("text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, say("plot-y")));
  return parts;
}

// What the board's memory leaves for a model; further right is what it cannot load.
function limitLine({ height, bottom, top, most, x }) {
  const left = room() - facts.memory.system;
  const limit = Math.max(0, left) / 1e9;
  const values = {
    has: `${Math.round(state.mem * 10) / 10} GB`, all: gigabytes(room()), system: gigabytes(facts.memory.system), left: gigabytes(left),
  };
  const isSeen = Boolean(state.mem) && limit < most;
  const why = say("plot-limit-why", values);
  const notes = state.mem ? [say("plot-note"), why, say(isSeen ? "plot-limit-right" : "plot-limit-beyond")] : [say("plot-note")];
  by("plot-note").textContent = notes.join(say("plot-join"));
  if (!isSeen) return [];
  return [shape("g", { class: "limit" }, shape("title", {}, why),
    shape("line", { x1: x(limit), x2: x(limit), y1: top, y2: height - bottom }),
    shape("text", { x: x(limit), y: top - 8, "text-anchor": "middle" }, say("plot-limit", values)))];
}

function byModel(figures) {
  const models = new Map();
  for (const figure of figures) models.set(figure.model, [...(models.get(figure.model) ?? []), figure]);
  return models;
}

function pairs(figures, { x, y }) {
  return [...byModel(figures).values()].flatMap((found) => found.slice(1).map((figure, n) => shape("line", {
    class: "pair", x1: x(found[n].bytes / 1e9), y1: y(found[n].speed), x2: x(figure.bytes / 1e9), y2: y(figure.speed),
  })));
}

function drawMark(figure, at) {
  const [x, y] = [at.x(figure.bytes / 1e9), at.y(figure.speed)];
  const target = shape("circle", { class: "target", cx: x, cy: y, r: REACH });
  const element = shape("g", { role: "button" }, target, KINDS[kind(figure.quant)].draw(x, y));
  const label = shape("text", { class: "label", y: y - 9 }, figure.model);
  const mark = { figure, element, label, x, y };
  element.addEventListener("focus", () => { tell(mark); stopAt(mark); });
  marks.push(mark);
  return element;
}

function placeLabel(mark, { width }) {
  const length = mark.label.getComputedTextLength();
  mark.start = Math.max(2, Math.min(mark.x + 8, width - length - 2));
  mark.end = mark.start + length;
  mark.label.setAttribute("x", mark.start);
}

// --- which of them somebody publishes for the board -------------------------------------------

let sortedOut = null;
let bySeries = new Map(); // what figures know models by -> their builds

function rowsOf({ series }) {
  if (sortedOut !== table) {
    bySeries = new Map();
    for (const row of rows) {
      const [, , known] = row.model;
      if (bySeries.has(known)) bySeries.get(known).push(row);
      else bySeries.set(known, [row]);
    }
    sortedOut = table;
  }
  return bySeries.get(series) ?? [];
}

const best = (builds) => builds.reduce((a, b) => (taken(b, a) < 0 ? b : a));

// Brings the marks up to date with what is shown: models that are not searched for step back.
function markPlot(found) {
  const asked = state.q ? new Set(found) : null;
  for (const mark of marks) {
    const { element, figure } = mark;
    const builds = rowsOf(figure);
    mark.rows = builds.filter((row) => row.quant.split(" / ").includes(figure.quant));
    mark.others = builds.filter((row) => !mark.rows.includes(row));
    mark.status = mark.rows.length ? best(mark.rows).status : "unpublished";
    mark.isAsked = asked === null || builds.some((row) => asked.has(row));
    mark.words = wordsOf(mark);
    element.setAttribute("aria-label", mark.words);
    element.setAttribute("aria-disabled", String(builds.length === 0));
    element.setAttribute("class", `dot ${kind(figure.quant)} ${looks(mark)}${builds.length ? "" : " idle"}${mark.isAsked ? "" : " faded"}`);
  }
  const first = alongMemory().find((mark) => mark.isAsked) ?? alongMemory()[0];
  stopAt(tabStop?.isAsked ? tabStop : first);
  if (marks.length) by("plot").querySelector(".legend").replaceChildren(...legend());
  tell(pointed);
}

// Until a runtime is chosen, memory alone tells what fits.
function looks({ status }) {
  if (status === "unpublished") return status;
  if (DOES_NOT_FIT.has(status)) return "unfit";
  return RANK[status] === 0 || (status === "unknown" && !state.rt) ? "fits" : "doubtful";
}

// Names for the fastest and the largest that fit, or for what is searched for, as far as there is room.
function labelSome() {
  const fitting = marks.filter((mark) => looks(mark) === "fits");
  const fastest = [...fitting].sort((a, b) => b.figure.speed - a.figure.speed);
  const largest = [...fitting].sort((a, b) => b.figure.bytes - a.figure.bytes);
  const wanted = state.q ? marks.filter((mark) => mark.isAsked) : [fastest[0], largest[0], fastest[1], largest[1]].filter(Boolean);
  const shown = pointed ? [pointed] : [];
  const isFree = (mark) => shown.every((other) => other.figure.model !== mark.figure.model &&
    (Math.abs(other.y - mark.y) > 15 || other.end < mark.start || mark.end < other.start));
  for (const mark of wanted) if (isFree(mark)) shown.push(mark);
  for (const mark of marks) mark.label.setAttribute("visibility", shown.includes(mark) ? "visible" : "hidden");
}

function wordsOf({ figure, status, rows: builds, others }) {
  const said = say("plot-mark", { ...figure, speed: figure.speed.toFixed(1), memory: gigabytes(figure.bytes) });
  const quants = [...new Set(others.map((row) => row.quant).filter(Boolean))].sort().join(say("join-list"));
  const more = builds.length === 0
    ? (quants ? say("plot-other-quants", { quants }) : say("plot-unpublished"))
    : DOES_NOT_FIT.has(status) ? say("plot-unfit")
    : status === "ok" || (status === "unknown" && !state.rt) ? "" : say("plot-status", { status: say(status) });
  return more ? [said, more].join(say("join-sentence")) : said;
}

// --- pointing and choosing ------------------------------------------------------------------------

// Marks lie close to each other: the nearest is meant. What no pointer made (a screen reader's click) means what it is on.
function nearest(event) {
  if (event.type === "click" && event.detail === 0) return marks.find((mark) => mark.element.contains(event.target)) ?? null;
  const { left, top } = event.currentTarget.getBoundingClientRect();
  const distance = (mark) => Math.hypot(mark.x - event.clientX + left, mark.y - event.clientY + top);
  const near = marks.filter((mark) => distance(mark) <= REACH);
  return near.length ? near.reduce((a, b) => (distance(b) < distance(a) ? b : a)) : null;
}

// A finger covers what it points at, so it is told first and asked then.
function press(mark, event) {
  if (mark === null) return;
  if (event.pointerType !== "touch") choose(mark);
  else {
    tell(mark);
    stopAt(mark);
    told(mark.words);
    if (mark.rows.length + mark.others.length) by("plot-said").append(" ", make("button", { type: "button", onclick: () => choose(mark) }, say("plot-show")));
  }
}

function tell(mark) {
  pointed?.element.classList.remove("pointed");
  pointed = mark;
  pointed?.element.classList.add("pointed");
  by("plot-said").textContent = mark?.words ?? say("plot-hint");
  labelSome();
}

// Shows a mark's builds, or else its model's in other quantisations, whatever was filtered before.
function choose(mark) {
  tell(mark);
  const builds = mark.rows.length ? mark.rows : mark.others;
  if (builds.length === 0) return;
  const { model, status } = best(builds);
  state.q = model[0];
  if (DOES_NOT_FIT.has(status)) state.all = "1";
  const shown = new Set(matching());
  if (!builds.some((row) => shown.has(row) && (state.all || !DOES_NOT_FIT.has(row.status)))) Object.assign(state, { quant: "", ctx: "" });
  for (const [id, key] of [["search", "q"], ["quant", "quant"], ["context", "ctx"]]) by(id).value = state[key];
  by("all").checked = Boolean(state.all);
  draw();
  by("results").focus();
}

const alongMemory = () => [...marks].sort((a, b) => a.figure.bytes - b.figure.bytes);

function stopAt(mark) {
  tabStop = mark ?? null;
  for (const other of marks) other.element.setAttribute("tabindex", other === tabStop ? "0" : "-1");
}

// One stop of the Tab key; from there to the sides by memory, up and down by speed.
function walk(event) {
  const now = marks.find((mark) => mark.element === document.activeElement);
  if (!now) return;
  const isUpright = ["ArrowUp", "ArrowDown"].includes(event.key);
  const line = isUpright ? [...marks].sort((a, b) => a.figure.speed - b.figure.speed) : alongMemory();
  const at = line.indexOf(now);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowUp: at + 1, ArrowDown: at - 1, Home: 0, End: line.length - 1 }[event.key];
  if (to === undefined && !["Enter", " "].includes(event.key)) return;
  event.preventDefault();
  if (to === undefined) choose(now);
  else line[to]?.element.focus();
}

// Unfolded, it learns how wide it is.
by("plot-part").addEventListener("toggle", () => { if (table !== null) { drawPlot(); markPlot(matching()); } }, true);

// --- beside it ------------------------------------------------------------------------------------

function legend() {
  const picture = (name, looked) => shape("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" },
    shape("g", { class: `${name} ${looked}` }, KINDS[name].draw(8, 8)));
  const kinds = Object.keys(KINDS).map((name) => [name, new Set(marks.filter((m) => kind(m.figure.quant) === name).map((m) => m.figure.quant))]);
  const seen = new Set(marks.map(looks));
  return [
    ...kinds.filter(([, quants]) => quants.size).map(([name, quants]) => make("span", {}, picture(name, "fits"), ` ${[...quants].sort().join(say("join-list"))}`)),
    ...["doubtful", "unfit", "unpublished"].filter((looked) => seen.has(looked)).map((looked) =>
      make("span", {}, picture(kind(marks[0].figure.quant), looked), ` ${say(`plot-is-${looked}`)}`)),
  ];
}

// One line for each model and source, its quantisations beside each other.
function asTable(figures) {
  const lines = new Map();
  for (const figure of figures) {
    const key = `${figure.model}\n${figure.source}`;
    lines.set(key, [...(lines.get(key) ?? []), figure]);
  }
  const kinds = Object.keys(KINDS).filter((name) => figures.some((f) => kind(f.quant) === name));
  const cell = (found, name) => make("td", { class: "number" }, ...found.filter((f) => kind(f.quant) === name).flatMap((f, n) => [
    n ? make("br") : "", ...[
      f.quant === KINDS[name].label ? "" : `${f.quant} `, `${gigabytes(f.bytes)}${say("join-list")}`, `${f.speed.toFixed(1)} ${say("head-speed")}`,
    ].filter(Boolean).flatMap((text) => [make("span", {}, text), make("wbr")])]));
  return make("table", {},
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, say("plot-model")),
      ...kinds.map((name) => make("th", { scope: "col", class: "number" }, KINDS[name].label)), make("th", { scope: "col" }, say("source")))),
    make("tbody", {}, ...[...lines.values()].map((found) => make("tr", {}, make("th", { scope: "row" }, found[0].model),
      ...kinds.map((name) => cell(found, name)), make("td", {}, link(found[0].source, say("source")))))));
}
