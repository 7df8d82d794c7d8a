"use strict";
// What the page knows, its language and colours, and what is shown, which is what its address says.
// Text from the catalog only ever becomes a text node, so that nothing an uploader writes is more than text.

const facts = JSON.parse(document.getElementById("facts").textContent);
const by = (id) => document.getElementById(id);

// --- language and colours: of whoever looks, so a link to others does not hold them ----------

const kept = {
  get(key) {
    try { return localStorage.getItem(`rkfetch-${key}`) ?? ""; } catch { return ""; }
  },
  set(key, value) {
    try { localStorage.setItem(`rkfetch-${key}`, value); } catch { /* for this visit, then */ }
  },
};

let words = rkfetchWords.en;
const say = (key, values = {}) =>
  (words[key] ?? rkfetchWords.en[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

function language() {
  const asked = state.lang || kept.get("lang");
  if (Object.hasOwn(rkfetchWords, asked)) return asked;
  return navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en";
}

function theme() {
  const asked = state.theme || kept.get("theme");
  return ["light", "dark"].includes(asked) ? asked : "auto";
}

function speak() {
  const spoken = language();
  words = rkfetchWords[spoken];
  document.documentElement.lang = spoken === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  const search = by("search");
  search.placeholder = say(search.dataset.wordPlaceholder);
  const other = by("language");
  other.textContent = spoken === "zh" ? "English" : "中文";
  other.lang = spoken === "zh" ? "en" : "zh";
  paint();
}

function paint() {
  const colours = theme();
  if (colours === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = colours;
  by("theme").textContent = say(`theme-${colours}`);
}

// --- what is shown, which is what the address says ------------------------------------------

const SORTS = ["best", "name", "small", "fast", "new", "popular"];
const BOARD = ["soc", "board", "mem", "rt"]; // another of these is another page to go back from
const plain = {
  soc: "", board: "", mem: "", rt: "", quant: "", ctx: "", sort: "best", q: "", all: "", lang: "", theme: "",
};
const state = { ...plain };
let picked = []; // references, in the order in which they were chosen

function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(plain)) state[key] = said.get(key) ?? plain[key];
  picked = said.getAll("pick");
  const known = facts.platforms.map((p) => p.id);
  const here = facts.here?.platform;
  if (!known.includes(state.soc)) {
    state.soc = known.includes(here) ? here : usual();
    if (state.soc === here) Object.assign(state, { mem: facts.here.memory ?? "", rt: facts.here.runtime ?? "" });
  }
  if (!facts.runtimes.includes(state.rt)) state.rt = "";
  state.mem = Number(state.mem) > 0 ? String(Number(state.mem)) : "";
  if (!SORTS.includes(state.sort)) state.sort = "best";
}

function usual() {
  const known = facts.platforms.filter((p) => p.cores);
  const first = known.find((p) => p.id === "rk3576" && p.builds);
  return (first ?? known.reduce((a, b) => (b.builds > a.builds ? b : a))).id;
}

let board = null;

function writeAddress() {
  const said = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== plain[key]) said.set(key, value);
  for (const reference of picked) said.append("pick", reference);
  const shown = BOARD.map((key) => state[key]).join("/");
  const isNew = board !== null && board !== shown;
  board = shown;
  const memory = state.mem ? ` ${state.mem} GB` : "";
  document.title = `${state.board || state.soc.toUpperCase()}${memory} – ${facts.name}`;
  if (`#${said}` === location.hash) return;
  history[isNew ? "pushState" : "replaceState"](null, "", `#${said}`);
}
