"use strict";
// Draws speed against memory, as it was measured.

const SVG = "http://www.w3.org/2000/svg";
function shape(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.append(text);
  return element;
}

const kind = (quant) => (quant.startsWith("w4") ? "w4" : quant.startsWith("w8") ? "w8" : "other");

let plotted = null;
let marks = []; // [element, model's name without separators]

function drawPlot() {
  const isNarrow = innerWidth < 600;
  const asked = [state.soc, state.mem, document.documentElement.lang, isNarrow].join("/");
  if (plotted === asked) return;
  plotted = asked;
  marks = [];
  const figures = facts.measured[state.soc] ?? [];
  by("plot-part").hidden = figures.length === 0;
  if (figures.length === 0) return;
  const soc = state.soc.toUpperCase();
  by("plot-title").textContent = say("plot-title", { soc });
  by("plot-note").textContent = say("plot-note");
  const [width, height, left, bottom] = [isNarrow ? 360 : 760, isNarrow ? 300 : 330, 44, 44];
  const top = 14;
  const most = Math.max(...figures.map((f) => f[2])) / 1e9;
  const fastest = Math.max(...figures.map((f) => f[3]));
  const x = (gb) => left + (gb / (most * 1.05)) * (width - left - 14);
  const y = (speed) => height - bottom - (speed / (fastest * 1.08)) * (height - bottom - top);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-labelledby": "plot-title" });
  for (let gb = 0; gb <= most * 1.05; gb += most > 6 ? 2 : 1) {
    svg.append(shape("line", { class: "axis", x1: x(gb), x2: x(gb), y1: top, y2: height - bottom }), shape("text", { x: x(gb), y: height - bottom + 16, "text-anchor": "middle" }, String(gb)));
  }
  for (let speed = 0; speed <= fastest * 1.08; speed += fastest > 30 ? 10 : 5) {
    svg.append(shape("line", { class: "axis", x1: left, x2: width - 14, y1: y(speed), y2: y(speed) }), shape("text", { x: left - 8, y: y(speed) + 4, "text-anchor": "end" }, String(speed)));
  }
  svg.append(shape("text", { x: (width + left) / 2, y: height - 8, "text-anchor": "middle" }, say("plot-x")));
  svg.append(shape("text", { x: 14, y: (height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(height - bottom) / 2})` }, say("plot-y")));
  const limit = (room() - facts.memory.system) / 1e9;
  if (state.mem && limit < most * 1.05) {
    svg.append(shape("line", { class: "limit", x1: x(limit), x2: x(limit), y1: top, y2: height - bottom }), shape("text", { x: x(limit) - 5, y: top + 12, "text-anchor": "end" }, `${say("plot-limit")} (${state.mem} GB)`));
  }
  const models = new Map();
  for (const figure of figures) models.set(figure[0], [...(models.get(figure[0]) ?? []), figure]);
  for (const found of models.values()) {
    for (let n = 1; n < found.length; n += 1) {
      svg.append(shape("line", { class: "pair", x1: x(found[n - 1][2] / 1e9), y1: y(found[n - 1][3]), x2: x(found[n][2] / 1e9), y2: y(found[n][3]) }));
    }
  }
  for (const [model, quant, bytes, speed] of figures) {
    const text = say("plot-mark", { model, quant, speed: speed.toFixed(1), memory: gigabytes(bytes) });
    const mark = shape("g", { class: `dot ${kind(quant)}`, tabindex: "0", role: "button", "aria-label": text });
    mark.append(shape("title", {}, text), MARKS[kind(quant)](x(bytes / 1e9), y(speed)));
    const choose = () => { by("search").value = state.q = model.replace(/[()]/g, " ").replaceAll("-", " "); draw(); by("results").focus(); };
    mark.addEventListener("click", choose);
    mark.addEventListener("keydown", (event) => { if (["Enter", " "].includes(event.key)) { event.preventDefault(); choose(); } });
    svg.append(mark);
    marks.push([mark, squeeze(model.toLowerCase())]);
  }
  const kinds = [["w4", "w4a16"], ["w8", "w8a8"], ["other", "w4a8, fp16"]].filter(([name]) => figures.some((f) => kind(f[1]) === name));
  const legend = make("p", { class: "legend" }, ...kinds.map(([name, label]) => {
    const picture = shape("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
    const mark = shape("g", { class: name });
    mark.append(MARKS[name](8, 8));
    picture.append(mark);
    return make("span", {}, picture, ` ${label}`);
  }));
  by("plot").replaceChildren(legend, svg);
  by("plot-table").replaceChildren(make("table", {},
    make("thead", {}, make("tr", {}, ...["plot-model", "head-quant", "head-memory", "head-speed", "source"].map((w) => make("th", { scope: "col" }, say(w))))),
    make("tbody", {}, ...figures.map(([model, quant, bytes, speed, source]) => make("tr", {},
      make("td", {}, model), make("td", {}, quant), make("td", { class: "number" }, gigabytes(bytes)), make("td", { class: "number" }, speed.toFixed(1)), make("td", {}, link(source, say("source"))))))));
}

// Marks of other models than those that are searched for step back.
function markPlot(found) {
  const names = state.q ? [...new Set(found.map((row) => squeeze(row.model[0].toLowerCase())))].filter(Boolean) : null;
  for (const [mark, model] of marks) {
    const isMeant = names === null || names.some((name) => name.includes(model) || model.includes(name));
    mark.classList.toggle("faded", !isMeant);
  }
}

// Told apart by their shapes, too.
const MARKS = {
  w4: (x, y) => shape("circle", { cx: x, cy: y, r: 6 }),
  w8: (x, y) => shape("rect", { x: x - 5.5, y: y - 5.5, width: 11, height: 11 }),
  other: (x, y) => shape("path", { d: `M${x} ${y - 7}l7 12h-14z` }),
};
