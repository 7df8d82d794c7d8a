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

let plotted = null;
let marks = []; // of each figure: {figure, element, label, x, y, state, rows}

function drawPlot() {
  const isNarrow = innerWidth < 600;
  const asked = [state.soc, state.mem, document.documentElement.lang, isNarrow].join("/");
  if (plotted === asked) return;
  plotted = asked;
  marks = [];
  const figures = (facts.measured[state.soc] ?? []).map(([model, quant, bytes, speed, source]) => ({ model, quant, bytes, speed, source }));
  by("plot-part").hidden = figures.length === 0;
  if (figures.length === 0) return;
  by("plot-title").textContent = say("plot-title", { soc: state.soc.toUpperCase() });
  const at = scales(figures, isNarrow);
  const svg = shape("svg", { viewBox: `0 0 ${at.width} ${at.height}`, role: "group", "aria-labelledby": "plot-title" });
  svg.append(...axes(at), ...limitLine(at), ...pairs(figures, at));
  for (const figure of figures) svg.append(drawMark(figure, at));
  for (const mark of marks) svg.append(mark.label);
  svg.addEventListener("keydown", walk);
  by("plot").replaceChildren(legend(figures), svg);
  by("plot-table").replaceChildren(asTable(figures));
  tell(null);
}

function scales(figures, isNarrow) {
  const [width, height, left, bottom, top, right] = [isNarrow ? 360 : 760, isNarrow ? 300 : 330, 44, 44, 14, 14];
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
  const limit = (room() - facts.memory.system) / 1e9;
  const values = { has: `${state.mem} GB` };
  const isSeen = Boolean(state.mem) && limit < most;
  by("plot-note").textContent = state.mem ? say(isSeen ? "plot-limit-note" : "plot-no-limit", values) : say("plot-note");
  if (!isSeen) return [];
  return [
    shape("line", { class: "limit", x1: x(limit), x2: x(limit), y1: top, y2: height - bottom }),
    shape("text", { x: x(limit) - 5, y: top + 12, "text-anchor": "end" }, say("plot-limit", values)),
  ];
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
  // A finger needs more than the mark.
  const target = shape("circle", { class: "target", cx: x, cy: y, r: 12 });
  const element = shape("g", { role: "button" }, target, KINDS[kind(figure.quant)].draw(x, y));
  const isRight = x > at.width * 0.6;
  const label = shape("text", { class: "label", x: x + (isRight ? -10 : 10), y: y - 8, "text-anchor": isRight ? "end" : "start" }, figure.model);
  const mark = { figure, element, label };
  element.addEventListener("click", () => choose(mark));
  for (const name of ["pointerenter", "focus"]) element.addEventListener(name, () => tell(mark));
  element.addEventListener("pointerleave", () => tell(null));
  marks.push(mark);
  return element;
}

// --- which of them somebody publishes for the board -------------------------------------------

const plainName = (name) => squeeze(name.toLowerCase().replace(/\(.*\)/, "").replace(/-(instruct|chat|it)(?=-|$)/g, "").replace(/-v\d+\.\d+$/, ""));

let namedFor = null;
let named = new Map();

function rowsOf({ model, quant }) {
  if (namedFor !== table) {
    named = new Map();
    for (const row of rows) {
      const name = plainName(row.model[0]);
      if (named.has(name)) named.get(name).push(row);
      else named.set(name, [row]);
    }
    namedFor = table;
  }
  return (named.get(plainName(model)) ?? []).filter((row) => row.quant === quant || row.quant.startsWith(`${quant}_g`));
}

// Brings the marks up to date with what is shown: models that are not searched for step back.
function markPlot(found) {
  const asked = state.q ? new Set(found.map((row) => plainName(row.model[0]))) : null;
  for (const mark of marks) {
    mark.rows = rowsOf(mark.figure);
    mark.state = mark.rows.length === 0 ? "unpublished" : mark.rows.some((row) => RANK[row.status] === 0) ? "fits" : "unfit";
    mark.isAsked = asked === null || asked.has(plainName(mark.figure.model));
    const { element, figure } = mark;
    element.setAttribute("class", `dot ${kind(figure.quant)} ${mark.state}${mark.isAsked ? "" : " faded"}`);
    element.setAttribute("aria-label", wordsOf(mark));
    element.setAttribute("aria-disabled", String(mark.state === "unpublished"));
    element.setAttribute("tabindex", "-1");
  }
  labelSome(asked !== null);
  marks[0]?.element.setAttribute("tabindex", "0");
}

function labelSome(isSearch) {
  const fitting = marks.filter((mark) => mark.state === "fits");
  const greatest = (value) => fitting.reduce((a, b) => (value(b) > value(a) ? b : a), fitting[0]);
  const searched = isSearch ? marks.filter((mark) => mark.isAsked) : [];
  const shown = new Set(isSearch ? (searched.length <= 6 ? searched : []) : [greatest((m) => m.figure.speed), greatest((m) => m.figure.bytes)]);
  for (const mark of marks) mark.label.setAttribute("visibility", shown.has(mark) ? "visible" : "hidden");
}

function wordsOf({ figure, state }) {
  const values = { ...figure, speed: figure.speed.toFixed(1), memory: gigabytes(figure.bytes) };
  const said = say("plot-mark", values);
  return state === "fits" ? said : [said, say(`plot-${state}`)].join(say("join-sentence"));
}

function tell(mark) {
  by("plot-said").textContent = mark ? wordsOf(mark) : say("plot-hint");
}

function choose(mark) {
  if (mark.state === "unpublished") return;
  if (mark.state === "unfit") by("all").checked = Boolean(state.all = "1");
  by("search").value = state.q = mark.rows[0].model[0];
  draw();
  by("results").focus();
}

// One stop of the Tab key; the arrows go through the marks by their memory.
function walk(event) {
  const sorted = [...marks].sort((a, b) => a.figure.bytes - b.figure.bytes);
  const now = sorted.findIndex((mark) => mark.element === document.activeElement);
  if (["Enter", " "].includes(event.key)) {
    event.preventDefault();
    choose(sorted[now]);
    return;
  }
  const to = { ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 0, End: sorted.length - 1 }[event.key];
  if (to === undefined || !sorted[to]) return;
  event.preventDefault();
  for (const mark of marks) mark.element.setAttribute("tabindex", mark === sorted[to] ? "0" : "-1");
  sorted[to].element.focus();
}

// --- beside it ------------------------------------------------------------------------------------

function legend(figures) {
  const picture = (name, state) => shape("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" },
    shape("g", { class: `${name} ${state}` }, KINDS[name].draw(8, 8)));
  const kinds = Object.keys(KINDS).filter((name) => figures.some((f) => kind(f.quant) === name));
  return make("p", { class: "legend" },
    ...kinds.map((name) => make("span", {}, picture(name, "fits"), ` ${KINDS[name].label}`)),
    make("span", {}, picture("w4", "unfit"), ` ${say("plot-hollow")}`));
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
    n ? make("br") : "", f.quant === KINDS[name].label ? "" : `${f.quant} `,
    `${gigabytes(f.bytes)}${say("join-list")}${f.speed.toFixed(1)} ${say("head-speed")}`]));
  return make("table", {},
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, say("plot-model")),
      ...kinds.map((name) => make("th", { scope: "col", class: "number" }, KINDS[name].label)), make("th", { scope: "col" }, say("source")))),
    make("tbody", {}, ...[...lines.values()].map((found) => make("tr", {}, make("th", { scope: "row" }, found[0].model),
      ...kinds.map((name) => cell(found, name)), make("td", {}, link(found[0].source, say("source")))))));
}
