"use strict";
// The controls, and the start.

const GB = [2, 4, 8, 16, 32];
const CONTEXTS = [4096, 8192, 16384, 32768];

function option(value, text, chosen) {
  return make("option", { value, selected: String(value) === String(chosen) }, text);
}

function fill() {
  by("board").replaceChildren(...facts.platforms.map(boardsOf));
  const own = facts.boards.find((b) => b[0] === state.board)?.[2] ?? [];
  const sizes = new Set(own.length ? own : GB);
  if (state.mem) sizes.add(Number(state.mem));
  const inOrder = [...sizes].sort((a, b) => a - b);
  by("memory").replaceChildren(option("", say("any"), state.mem), ...inOrder.map((gb) => option(gb, `${Math.round(gb * 10) / 10} GB`, state.mem)));
  by("runtime").replaceChildren(option("", say("not-known"), state.rt), ...[...facts.runtimes].reverse().map((v) => option(v, v, state.rt)));
  const quants = new Set((table?.quants ?? []).flatMap((q) => q.split(" / ")).filter(Boolean));
  if (state.quant) quants.add(state.quant);
  by("quant").replaceChildren(option("", say("any"), state.quant), ...[...quants].sort().map((q) => option(q, q, state.quant)));
  by("context").replaceChildren(option("", say("any"), state.ctx), ...CONTEXTS.map((c) => option(c, String(c), state.ctx)));
  by("sort").replaceChildren(...SORTS.map((s) => option(s, say(`sort-${s}`), state.sort)));
  by("search").value = state.q;
  by("all").checked = Boolean(state.all);
}

function boardsOf({ id, cores, builds }) {
  const soc = id.toUpperCase();
  const chosen = `${state.soc}/${state.board}`;
  const isHere = facts.here?.platform === id ? ` (${say("here-board")})` : "";
  const any = cores ? say("soc-alone", { soc }) + isHere : say("unknown-soc");
  const own = facts.boards.filter((b) => b[1] === id).map(([name]) => option(`${id}/${name}`, name, chosen));
  const npu = cores ? ` · ${cores === 1 ? say("core") : say("cores", { n: cores })}` : "";
  return make("optgroup", { label: `${cores ? soc : "?"}${npu} · ${say("builds", { n: builds })}` }, option(`${id}/`, any, chosen), ...own);
}

async function show() {
  speak();
  const asked = state.soc;
  try {
    const coming = load(platform().table);
    if (rows[0]?.soc !== asked) {
      take(null);
      clear();
      by("count").textContent = say("loading");
    }
    fill();
    const content = await coming;
    if (asked !== state.soc) return;
    if (table !== content) take(content, asked);
  } catch (error) {
    if (asked === state.soc) by("count").textContent = say(error.message);
    return;
  }
  fill();
  draw();
  showPicked();
  (window.requestIdleCallback ?? setTimeout)(prepare);
}

function follow(id, key) {
  by(id).addEventListener("change", (event) => {
    state[key] = event.target.value;
    draw();
    showPicked();
  });
}
for (const [id, key] of [["memory", "mem"], ["runtime", "rt"], ["quant", "quant"], ["context", "ctx"], ["sort", "sort"]]) follow(id, key);

by("board").addEventListener("change", (event) => {
  const [soc, ...name] = event.target.value.split("/");
  // What was chosen for one SoC runs on no other.
  if (soc !== state.soc) picked = [];
  Object.assign(state, { soc, board: name.join("/"), quant: soc === state.soc ? state.quant : "" });
  const sizes = facts.boards.find((b) => b[0] === state.board)?.[2] ?? [];
  if (sizes.length === 1) state.mem = String(sizes[0]);
  else if (sizes.length && !sizes.includes(Number(state.mem))) state.mem = "";
  writeAddress();
  show();
});
by("search").addEventListener("input", (event) => { state.q = event.target.value; draw(); });
by("search").addEventListener("keydown", (event) => { if (event.key === "Enter") by("results").focus(); });
by("all").addEventListener("change", (event) => { state.all = event.target.checked ? "1" : ""; draw(); });
by("choose").addEventListener("submit", (event) => event.preventDefault());
by("skip").addEventListener("click", (event) => { event.preventDefault(); by("results").focus(); });
by("language").addEventListener("click", () => {
  kept.set("lang", language() === "zh" ? "en" : "zh");
  state.lang = "";
  show();
});
by("theme").addEventListener("click", () => {
  kept.set("theme", { auto: "light", light: "dark", dark: "auto" }[theme()]);
  state.theme = "";
  paint();
  writeAddress();
});
by("show-script").addEventListener("click", () => showChosen("script"));
by("forms").addEventListener("change", (event) => showChosen(event.target.value));
by("copy-script").addEventListener("click", (event) => copy(by("script-text").value, event.currentTarget));
by("close-script").addEventListener("click", () => by("script").close());
by("clear-picked").addEventListener("click", () => { picked = []; draw(); showPicked(); });
window.addEventListener("popstate", () => { readAddress(); board = null; show(); });
window.addEventListener("resize", () => { if (table !== null) { drawPlot(); markPlot(matching()); } });

const isWide = matchMedia("(min-width: 66rem)");
function fold() {
  for (const part of document.querySelectorAll("details.fold")) part.open = isWide.matches;
}
isWide.addEventListener("change", fold);

readAddress();
by("broken").remove();
by("top").hidden = false;
fold();
show();
if (facts.here) ask("/installed").then(nowHere, () => {});
if (facts.here) ask("/jobs").then((found) => { jobs = found; showJobs(); if (Object.values(jobs).some(isGoing)) watch(); }, () => {});
