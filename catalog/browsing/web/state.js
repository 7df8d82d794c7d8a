"use strict";
// What the page knows, its language and colours, and what is shown, which is what its address says.
// Text from the catalog only ever becomes a text node, so that nothing an uploader writes is more than text.

const facts = JSON.parse(document.getElementById("facts").textContent);
const FLAGS = { gated: 1, manual: 2, conflict: 4, vision: 8 };
const ORDER = ["ok", "tight", "risky", "unknown", "too-large", "no"];
const AT_ONCE = 25; // models that are drawn before somebody scrolls
const GB = [2, 4, 8, 16, 32];
const CONTEXTS = [4096, 8192, 16384, 32768];
const SORTS = ["best", "name", "small", "fast", "new", "popular"];
const by = (id) => document.getElementById(id);

// --- language and colours ------------------------------------------------------------------

let words = rkfetchWords.en;
const say = (key, values = {}) =>
  (words[key] ?? rkfetchWords.en[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

function speak(language) {
  words = rkfetchWords[language];
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  const search = by("search");
  search.placeholder = say(search.dataset.wordPlaceholder);
  const other = by("language");
  other.textContent = language === "zh" ? "English" : "中文";
  other.lang = language === "zh" ? "en" : "zh";
  paint(document.documentElement.dataset.theme ?? "auto");
}

function paint(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  by("theme").textContent = say(`theme-${theme}`);
}

// --- what is shown, which is what the address says ------------------------------------------

const plain = { soc: "", board: "", mem: "", rt: "", quant: "", ctx: "", sort: "best", q: "", all: "", lang: "", theme: "" };
const state = { ...plain };
let picked = new Map(); // reference -> {soc, row}

function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(plain)) state[key] = said.get(key) ?? plain[key];
  const known = facts.platforms.map((p) => p.id);
  const here = facts.here?.platform;
  if (!known.includes(state.soc)) {
    state.soc = known.includes(here) ? here : largest();
    if (state.soc === here) Object.assign(state, { mem: facts.here.memory ?? "", rt: facts.here.runtime ?? "" });
  }
  if (!facts.runtimes.includes(state.rt)) state.rt = "";
  state.mem = Number(state.mem) > 0 ? String(Number(state.mem)) : "";
  if (!SORTS.includes(state.sort)) state.sort = "best";
}

function largest() {
  const known = facts.platforms.filter((p) => p.cores);
  const first = known.find((p) => p.id === "rk3576" && p.builds);
  return (first ?? known.reduce((a, b) => (b.builds > a.builds ? b : a))).id;
}

function writeAddress() {
  const said = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== plain[key]) said.set(key, value);
  history.replaceState(null, "", `#${said}`);
}

const language = () => {
  if (state.lang in rkfetchWords) return state.lang;
  return navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en";
};
