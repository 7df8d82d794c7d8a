"use strict";
// The controls, and the start.

function option(value, text, chosen) {
  return make("option", { value, selected: String(value) === String(chosen) }, text);
}

function fill() {
  const boards = by("board");
  boards.replaceChildren(...facts.platforms.map((p) => {
    const cores = p.cores === 1 ? say("core") : say("cores", { n: p.cores });
    const name = p.cores ? `${say("soc-alone", { soc: p.id.toUpperCase() })} (${cores})` : say("unknown-soc");
    const own = facts.boards.map((b, n) => [b, n]).filter(([b]) => b[1] === p.id);
    const list = [option(`${p.id}/`, name, `${state.soc}/${state.board}`), ...own.map(([b]) => option(`${p.id}/${b[0]}`, b[0], `${state.soc}/${state.board}`))];
    return make("optgroup", { label: `${p.cores ? p.id.toUpperCase() : "?"} · ${say("builds", { n: p.builds })}` }, ...list);
  }));
  const board = facts.boards.find((b) => b[0] === state.board);
  const sizes = board?.[2].length ? [...board[2]] : [...GB];
  if (state.mem && !sizes.includes(Number(state.mem))) sizes.push(Number(state.mem));
  sizes.sort((a, b) => a - b);
  by("memory").replaceChildren(option("", say("any"), state.mem), ...sizes.map((gb) => option(gb, `${gb} GB`, state.mem)));
  by("runtime").replaceChildren(option("", say("not-known"), state.rt), ...[...facts.runtimes].reverse().map((v) => option(v, v, state.rt)));
  const quants = [...new Set((table?.quants ?? []).flatMap((q) => q.split(" / ")).filter(Boolean))].sort();
  if (state.quant && !quants.includes(state.quant)) quants.push(state.quant);
  by("quant").replaceChildren(option("", say("any"), state.quant), ...quants.map((q) => option(q, q, state.quant)));
  by("context").replaceChildren(option("", say("any"), state.ctx), ...CONTEXTS.map((c) => option(c, String(c), state.ctx)));
  by("sort").replaceChildren(...SORTS.map((s) => option(s, say(`sort-${s}`), state.sort)));
  by("search").value = state.q;
  by("all").checked = Boolean(state.all);
  showPicked();
}

async function show() {
  speak(language());
  paint(["light", "dark"].includes(state.theme) ? state.theme : "auto");
  by("choose").hidden = false;
  const asked = state.soc;
  if (table === null) by("count").textContent = say("loading");
  try {
    const content = await load(platform().table);
    if (asked !== state.soc) return;
    take(content);
  } catch (error) {
    by("count").textContent = say(error.message);
    return;
  }
  fill();
  draw();
}

const follow = (id, key) => by(id).addEventListener("change", (event) => { state[key] = event.target.value; draw(); });
for (const [id, key] of [["memory", "mem"], ["runtime", "rt"], ["quant", "quant"], ["context", "ctx"], ["sort", "sort"]]) follow(id, key);
by("board").addEventListener("change", (event) => {
  const [soc, ...name] = event.target.value.split("/");
  Object.assign(state, { soc, board: name.join("/"), quant: "" });
  const sizes = facts.boards.find((b) => b[0] === state.board)?.[2] ?? [];
  if (sizes.length === 1) state.mem = String(sizes[0]);
  else if (sizes.length && !sizes.includes(Number(state.mem))) state.mem = "";
  show();
});
by("search").addEventListener("input", (event) => { state.q = event.target.value; draw(); });
by("all").addEventListener("change", (event) => { state.all = event.target.checked ? "1" : ""; draw(); });
by("choose").addEventListener("submit", (event) => event.preventDefault());
by("language").addEventListener("click", () => { state.lang = language() === "zh" ? "en" : "zh"; show(); });
by("theme").addEventListener("click", () => {
  state.theme = { "": "light", light: "dark", dark: "" }[state.theme] ?? "";
  paint(state.theme || "auto");
  writeAddress();
});
by("show-script").addEventListener("click", () => { by("script-text").value = script(); by("script").showModal(); });
by("copy-script").addEventListener("click", () => copy(by("script-text").value));
by("close-script").addEventListener("click", () => by("script").close());
by("clear-picked").addEventListener("click", () => { picked = new Map(); draw(); showPicked(); });
window.addEventListener("hashchange", () => { readAddress(); show(); });

window.addEventListener("resize", () => { if (table !== null) { drawPlot(); markPlot(matching()); } });

readAddress();
show();
if (facts.here) ask("/jobs").then((found) => { jobs = found; showJobs(); if (Object.keys(jobs).length) watch(); }, () => {});
